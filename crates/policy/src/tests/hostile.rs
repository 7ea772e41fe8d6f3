//! Whatever comes: nothing falls, and what cannot be looked at whole is denied where a rule would look.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::VerdictKind::{Allow, Deny};

const LOOKS: &str = r#"
    @id("looks") permit (principal, action == Action::"call_tool", resource)
    unless { context.arguments.text.hasTag("command") && context.arguments.text.getTag("command") like "*rm -rf*" };"#;
const BLIND: &str = "permit (principal, action, resource);";

fn with(arguments: Value) -> Question {
    call(ToolCall { arguments, ..mcp() })
}

#[test]
fn a_rule_looks_at_all_of_a_long_text() {
    let policies = load(LOOKS);
    let padded = format!("{}; rm -rf /", "x".repeat(1_000_000));
    assert_eq!(kind(&policies, &with(json!({"command": "ls"}))), Allow);
    assert_eq!(kind(&policies, &with(json!({"command": padded}))), Deny);
}

#[test]
fn arguments_too_large_to_look_at_are_denied_where_a_rule_looks() {
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!({"a": deep});
    }
    for arguments in [deep, json!("x".repeat(2 << 20)), json!(vec![1; 5_000]), json!({"k".repeat(600): 1})] {
        let verdict = load(LOOKS).decide(&with(arguments.clone()));
        assert_eq!((verdict.kind, verdict.policies), (Deny, vec!["looks".to_owned()]));
        assert_eq!(verdict.reasons, ["The arguments are larger than policies can look at."]);
        assert_eq!(kind(&load(BLIND), &with(arguments)), Allow, "no rule looks");
    }
}

#[test]
fn too_many_facts_are_denied() {
    let mut asked = with(json!({}));
    asked.history.labels = (0..5_000).map(|label| label.to_string()).collect();
    assert_eq!(kind(&load(BLIND), &asked), Deny);
    let mut asked = with(json!({}));
    asked.roles = vec!["r".to_owned(); 5_000];
    assert_eq!(kind(&load(BLIND), &asked), Deny);
}

#[test]
fn odd_names_are_only_names() {
    for odd in
        ["", "\"", "\\", "a\"; permit", "\u{0}", "\u{202e}", "é𝄞", "*", "Tool::\"x\"", "a\nb", &"x".repeat(1 << 20)]
    {
        let mut asked = call(ToolCall { tool: odd.to_owned(), server: Some(odd.to_owned()), ..mcp() });
        asked.tenant = odd.to_owned();
        asked.session = odd.to_owned();
        asked.agent = Some(odd.to_owned());
        assert_eq!(kind(&load(BLIND), &asked), Allow, "{}", odd.len());
        let other = "permit (principal, action, resource == Tool::\"mcp:bank/pay\");";
        assert_eq!(kind(&load(other), &asked), Deny, "{}", odd.len());
    }
    let accent = load("permit (principal, action, resource == Tool::\"mcp:bank/caf\u{e9}\");");
    let named = |tool: &str| call(ToolCall { tool: tool.to_owned(), ..mcp() });
    assert_eq!(kind(&accent, &named("caf\u{e9}")), Allow);
    assert_eq!(kind(&accent, &named("cafe\u{301}")), Deny, "letters are compared, not looks");
}

#[test]
fn counts_and_times_at_their_ends_do_not_overflow_here() {
    let mut asked = with(json!({"n": u64::MAX, "m": i64::MIN, "f": f64::MAX}));
    asked.at = Timestamp(u64::MAX);
    asked.history.spend_micro_usd = u64::MAX;
    asked.history.calls = BTreeMap::from([("a".to_owned(), u64::MAX), ("b".to_owned(), u64::MAX)]);
    let scope = "permit (principal, action == Action::\"call_tool\", resource) when {";
    for condition in ["context.at_ms > 0 && context.calls_total > 0", "context.spend_micro_usd == 9223372036854775807"]
    {
        assert_eq!(kind(&load(&format!("{scope} {condition} }};")), &asked), Allow, "{condition}");
    }
    assert_eq!(kind(&load(&format!("{scope} context.at_ms + 1 > 0 }};")), &asked), Deny, "an overflow in a rule");
}

fn random_value(random: &mut Seeded, depth: usize) -> Value {
    match random.below(if depth > 4 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 => json!(i64::from_ne_bytes((random.next() << random.below(40)).to_ne_bytes())),
        3 => json!(f64::from_bits(random.next() << 15)),
        4 => json!(random_text(random)),
        5 => (0..random.below(5)).map(|_| random_value(random, depth + 1)).collect(),
        _ => Value::Object(
            (0..random.below(5)).map(|_| (random_text(random), random_value(random, depth + 1))).collect(),
        ),
    }
}

fn random_text(random: &mut Seeded) -> String {
    (0..random.below(12))
        .map(|_| char::from_u32(u32::try_from(random.below(0x3000)).unwrap_or(0)).unwrap_or('.'))
        .collect()
}

#[test]
fn ten_thousand_random_questions_have_a_verdict_and_always_the_same() {
    let text = format!("{}\n{LOOKS}", Source::standard().text);
    let policies = load(&text);
    let again = load(&text);
    let mut random = Seeded(0x5eed);
    for round in 0..10_000 {
        let mut asked = match round % 3 {
            0 => call(ToolCall {
                runner: [Runner::Mcp, Runner::Client, Runner::BuiltIn, Runner::Http][random.below(4)],
                server: (random.below(2) == 0).then(|| random_text(&mut random)),
                tool: random_text(&mut random),
                arguments: random_value(&mut random, 0),
                destructive: [None, Some(true), Some(false)][random.below(3)],
                ..mcp()
            }),
            1 => question(Act::Connect(egress(&random_text(&mut random)))),
            _ => question(Act::Infer(inference(Place { region: Some(random_text(&mut random)), ..Place::default() }))),
        };
        asked.tenant = random_text(&mut random);
        asked.history.labels = (0..random.below(4)).map(|_| random_text(&mut random)).collect();
        asked.at = Timestamp(random.next());
        let verdict = policies.decide(&asked);
        assert_eq!(verdict, again.decide(&asked), "round {round}");
        assert_eq!(verdict.ask.is_some(), verdict.kind == VerdictKind::Ask);
        assert!(verdict.kind != Deny || !verdict.reasons.is_empty());
    }
}
