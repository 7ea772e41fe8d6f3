//! What the guide says: its examples load and do what is written above them, and it names all there is.

use super::*;
use crate::VerdictKind::{Allow, Ask, Deny};

const GUIDE: &str = include_str!("../../../../docs/guides/policies.md");

/// The examples, in their order; the first is the one at the top.
fn examples() -> Vec<&'static str> {
    GUIDE.split("```cedar\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

fn tool(runner: Runner, server: Option<&str>, tool: &str) -> ToolCall {
    ToolCall { runner, server: server.map(str::to_owned), tool: tool.to_owned(), ..mcp() }
}

#[test]
fn the_examples_do_what_the_guide_says() {
    let examples = examples();
    let [top, limit, quorum, leak, shell, hours] = examples[..] else { panic!("{} examples", examples.len()) };
    assert_eq!(kind(&load(top), &call(mcp())), Allow);

    let pay = |amount| call(ToolCall { arguments: json!({ "amount": amount }), ..mcp() });
    for (amount, wanted) in [
        (json!(100), Allow),
        (json!(99.99), Allow),
        (json!(100.01), Ask),
        (json!(101), Ask),
        (json!("5"), Ask),
        (json!(null), Ask),
        (json!([5]), Ask),
        (json!(1e300), Ask),
    ] {
        assert_eq!(kind(&load(limit), &pay(amount.clone())), wanted, "{amount}");
    }

    let ask = load(quorum).decide(&call(tool(Runner::Mcp, Some("bank"), "close_account"))).ask.unwrap();
    assert_eq!((need(&ask), ask.expires_ms), (vec![(Some("finance"), 2)], Some(86_400_000)));

    let open = "permit (principal, action, resource);";
    let leak = load(&[open, leak].concat());
    for (label, host, wanted) in [
        ("mail", "a.net", Allow),
        ("web", "a.net", Deny),
        ("web", "api.example.com", Allow),
        ("web", "xexample.com", Deny),
    ] {
        let mut asked = question(Act::Connect(egress(host)));
        asked.history.labels.insert(label.to_owned());
        assert_eq!(kind(&leak, &asked), wanted, "{label} {host}");
    }

    let shell = load(&[open, shell].concat());
    let mut asked = call(tool(Runner::BuiltIn, None, "shell"));
    assert_eq!(kind(&shell, &asked), Deny);
    asked.agent = Some("other".to_owned());
    assert_eq!(kind(&shell, &asked), Allow);

    let hours = load(&[open, hours].concat());
    let thursday = |hour: u64| {
        let mut asked = call(mcp());
        asked.at = Timestamp(hour * 3_600_000);
        asked
    };
    for (hour, wanted) in [(7, Ask), (8, Allow), (17, Allow), (18, Ask), (24 + 9, Allow), (48 + 9, Ask)] {
        assert_eq!(kind(&hours, &thursday(hour)), wanted, "hour {hour}");
    }
}

#[test]
fn the_guide_names_every_attribute_and_annotation() {
    let schema = crate::load::SCHEMA.lines().filter_map(|line| line.trim().split_once(':'));
    let attributes = schema
        .map(|(name, _)| name.trim_end_matches('?'))
        .filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
    for name in attributes.filter(|name| !["context", "principal", "resource", "arguments"].contains(name)) {
        assert!(GUIDE.contains(&format!(".{name}")), "{name}");
    }
    for name in ["id", "reason", "tenant", "verdict", "quorum", "approvers", "expires", "edit"] {
        assert!(GUIDE.contains(&format!("`@{name}(\"")), "{name}");
    }
}
