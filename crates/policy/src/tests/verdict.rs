//! How verdicts combine, what the standard policy says, what rules may look at.

use std::collections::BTreeSet;

use mainstay_vocabulary::place::Evidence;

use super::*;
use crate::{MAX_NAMED, VerdictKind::*};

const PERMIT: &str = "@id(\"p\") permit (principal, action, resource);";
const FORBID: &str = "@id(\"f\") @reason(\"Never.\") forbid (principal, action, resource);";
const PERMIT_ASK: &str = "@id(\"pa\") @verdict(\"ask\") @reason(\"Who?\") permit (principal, action, resource);";
const FORBID_ASK: &str = "@id(\"fa\") @verdict(\"ask\") forbid (principal, action, resource);";
/// Overflows for every call.
const FAILS: &str = "@id(\"x\") permit (principal, action, resource) when { 9223372036854775807 + context.at_ms > 0 };";

#[test]
fn verdicts_combine_by_strength() {
    let table: &[(&[&str], VerdictKind, &[&str])] = &[
        (&[], Deny, &[]),
        (&[PERMIT], Allow, &["p"]),
        (&[FORBID], Deny, &["f"]),
        (&[PERMIT_ASK], Ask, &["pa"]),
        (&[FORBID_ASK], Deny, &[]),
        (&[PERMIT, FORBID], Deny, &["f"]),
        (&[PERMIT, PERMIT_ASK], Ask, &["pa"]),
        (&[PERMIT, FORBID_ASK], Ask, &["fa"]),
        (&[PERMIT_ASK, FORBID_ASK], Ask, &["fa", "pa"]),
        (&[PERMIT_ASK, FORBID], Deny, &["f"]),
        (&[PERMIT, FORBID_ASK, FORBID], Deny, &["f"]),
        (&[PERMIT, FAILS], Deny, &["x"]),
        (&[PERMIT, FORBID, FAILS], Deny, &["x"]),
        (&[PERMIT_ASK, FAILS], Deny, &["x"]),
    ];
    for (texts, kind, ids) in table {
        let mut asked = call(mcp());
        asked.at = Timestamp(1);
        let verdict = load(&texts.concat()).decide(&asked);
        assert_eq!(
            (verdict.kind, verdict.policies.iter().map(String::as_str).collect()),
            (*kind, ids.to_vec()),
            "{texts:?}"
        );
        assert_eq!(verdict.ask.is_some(), *kind == Ask, "{texts:?}");
    }
}

#[test]
fn reasons_are_those_of_the_policies_that_decided() {
    assert_eq!(load(&[PERMIT_ASK, FORBID].concat()).decide(&call(mcp())).reasons, ["Never."]);
    assert_eq!(load(PERMIT_ASK).decide(&call(mcp())).reasons, ["Who?"]);
    assert_eq!(load("").decide(&call(mcp())).reasons, ["No policy permits this."]);
    let mut late = call(mcp());
    late.at = Timestamp(1);
    assert_eq!(load(&[PERMIT, FAILS].concat()).decide(&late).reasons, ["Policy \"x\" could not be evaluated."]);
}

#[test]
fn an_approval_lifts_what_asks_and_nothing_else() {
    let mut approved = call(mcp());
    approved.history.approved.insert("d1".to_owned());
    for (texts, kind) in [
        (vec![PERMIT_ASK], Allow),
        (vec![PERMIT, FORBID_ASK], Allow),
        (vec![FORBID_ASK], Deny),
        (vec![PERMIT_ASK, FORBID], Deny),
        (vec![], Deny),
    ] {
        assert_eq!(self::kind(&load(&texts.concat()), &approved), kind, "{texts:?}");
    }
    let mut other = call(ToolCall { digest: "d2".to_owned(), ..mcp() });
    other.history.approved.insert("d1".to_owned());
    assert_eq!(kind(&load(PERMIT_ASK), &other), Ask, "another call's approval");
    let mut nameless = call(ToolCall { digest: String::new(), ..mcp() });
    nameless.history.approved.insert(String::new());
    assert_eq!(kind(&load(PERMIT_ASK), &nameless), Ask, "no digest is no approval");
}

#[test]
fn an_approval_lifts_asks_on_connections_and_inferences_too() {
    let acts = [
        Act::Connect(Egress { digest: "d".to_owned(), ..egress("a.example") }),
        Act::Infer(Inference { digest: "d".to_owned(), ..inference(Place::default()) }),
    ];
    for act in acts {
        let mut asked = question(act);
        assert_eq!(kind(&load(PERMIT_ASK), &asked), Ask);
        asked.history.approved.insert("d".to_owned());
        assert_eq!(kind(&load(PERMIT_ASK), &asked), Allow);
    }
}

#[test]
fn a_declaration_adds_asks_and_lifts_only_the_standard_policy_s() {
    let standard = Policies::standard();
    let operator = load(PERMIT_ASK);
    let copied = load(&format!("{}\n// changed", Source::standard().text));
    let with = |approval_asked| call(ToolCall { approval_asked, ..mcp() });
    assert_eq!(kind(&standard, &with(None)), Ask);
    assert_eq!(kind(&standard, &with(Some(false))), Allow);
    assert_eq!(kind(&operator, &with(Some(false))), Ask);
    assert_eq!(kind(&copied, &with(Some(false))), Ask, "a copy is the operator's own");
    assert_eq!(kind(&load(FORBID), &with(Some(false))), Deny);
    let both = Policies::load(&[Source::standard(), source(&[FORBID_ASK].concat())]).unwrap();
    assert_eq!(both.decide(&with(Some(false))).policies, ["fa"], "the operator's ask stays");

    assert_eq!(kind(&load(PERMIT), &with(None)), Allow);
    let verdict = load(PERMIT).decide(&with(Some(true)));
    assert_eq!((verdict.kind, verdict.policies.len()), (Ask, 0));
    assert_eq!(need(&verdict.ask.unwrap()), [(None, 1)]);
    assert_eq!(verdict.reasons, ["The tool's declaration asks for approval."]);
    assert_eq!(kind(&load(FORBID), &with(Some(true))), Deny);
    assert_eq!(kind(&load(""), &with(Some(true))), Deny, "asking permits nothing");
    let mut approved = with(Some(true));
    approved.history.approved.insert("d1".to_owned());
    assert_eq!(kind(&load(PERMIT), &approved), Allow);
}

#[test]
fn what_an_approval_takes_is_put_together() {
    let text = r#"
        @id("a") @verdict("ask") @approvers("finance") @quorum("2") @expires("24h") @edit("allow")
        permit (principal, action, resource);
        @id("b") @verdict("ask") @approvers("finance") @quorum("1") @expires("30m") @edit("allow")
        permit (principal, action, resource);
        @id("c") @verdict("ask") @approvers("legal") permit (principal, action, resource == Tool::"mcp:bank/close");"#;
    let ask = load(text).decide(&call(mcp())).ask.unwrap();
    assert_eq!((need(&ask), ask.expires_ms, ask.edit), (vec![(Some("finance"), 2)], Some(1_800_000), true));
    let ask = load(text).decide(&call(ToolCall { tool: "close".to_owned(), ..mcp() })).ask.unwrap();
    assert_eq!((need(&ask), ask.edit), (vec![(Some("finance"), 2), (Some("legal"), 1)], false));

    let person = |roles: &[&str]| roles.iter().map(|role| (*role).to_owned()).collect::<BTreeSet<_>>();
    assert!(!ask.met_by(&[person(&["finance"]), person(&["legal"])]));
    assert!(!ask.met_by(&[person(&["finance"]), person(&["finance"])]));
    assert!(ask.met_by(&[person(&["finance"]), person(&["finance", "legal"])]));
    assert!(!ask.met_by(&[]));
    assert!(!super::Ask { needs: vec![crate::Need { role: None, quorum: 1 }], ..super::Ask::default() }.met_by(&[]));
}

#[test]
fn the_standard_policy_asks_for_what_may_destroy() {
    use EffectClass::{Idempotent, Once, ReadOnly};
    let standard = Policies::standard();
    for runner in [Runner::Mcp, Runner::Http] {
        for (class, destructive, kind) in [
            (ReadOnly, None, Allow),
            (ReadOnly, Some(false), Allow),
            (ReadOnly, Some(true), Ask),
            (Idempotent, None, Ask),
            (Idempotent, Some(false), Allow),
            (Idempotent, Some(true), Ask),
            (Once, None, Ask),
            (Once, Some(false), Allow),
            (Once, Some(true), Ask),
        ] {
            let asked = call(ToolCall { runner, class, destructive, ..mcp() });
            assert_eq!(self::kind(&standard, &asked), kind, "{runner:?} {class:?} {destructive:?}");
        }
    }
    for runner in [Runner::Client, Runner::BuiltIn] {
        let asked = call(ToolCall { runner, server: None, destructive: Some(true), ..mcp() });
        assert_eq!(kind(&standard, &asked), Allow, "{runner:?}");
    }
    assert_eq!(kind(&standard, &question(Act::Connect(egress("a.example")))), Allow);
    let metadata = Egress { address: AddressClass::Metadata, ..egress("169.254.169.254") };
    assert_eq!(kind(&standard, &question(Act::Connect(metadata))), Deny);
    assert_eq!(kind(&standard, &question(Act::Infer(inference(Place::default())))), Allow);
}

#[test]
fn rules_of_a_tenant_are_for_it_alone() {
    for text in [
        "permit (principal in Tenant::\"acme\", action, resource);",
        "@tenant(\"acme\") permit (principal, action, resource);",
        "@tenant(\"acme\") permit (principal in Agent::\"billing\", action, resource in Server::\"bank\");",
    ] {
        let policies = load(text);
        let mut asked = call(mcp());
        assert_eq!(kind(&policies, &asked), Allow, "{text}");
        asked.tenant = "other".to_owned();
        assert_eq!(kind(&policies, &asked), Deny, "{text}");
        assert_eq!(policies.explain(&asked).in_slice, 0, "{text}");
    }
}

/// A permission under a condition, asked about a question: does it hold?
fn holds(scope: &str, condition: &str, question: &Question) -> bool {
    let text = format!("permit ({scope}) when {{ {condition} }};");
    kind(&load(&text), question) == Allow
}

#[test]
fn rules_see_who_acts_and_what_is_called() {
    let asked = call(mcp());
    for (scope, condition, wanted) in [
        ("principal in Agent::\"billing\", action, resource", "true", true),
        ("principal in Agent::\"other\", action, resource", "true", false),
        ("principal in Role::\"clerk\", action, resource", "true", true),
        ("principal in Role::\"boss\", action, resource", "true", false),
        ("principal in Principal::\"alice\", action, resource", "true", true),
        ("principal == Session::\"sess_1\", action, resource", "true", true),
        ("principal, action == Action::\"infer\", resource", "true", false),
        ("principal, action in [Action::\"infer\", Action::\"call_tool\"], resource", "true", true),
        ("principal, action, resource == Tool::\"mcp:bank/pay\"", "true", true),
        ("principal, action, resource in Server::\"bank\"", "true", true),
        ("principal, action, resource in Server::\"pay\"", "true", false),
        ("principal, action, resource is Tool in Runner::\"mcp\"", "resource.name == \"pay\"", true),
        ("principal, action, resource is Host", "true", false),
        ("principal, action, resource is Tool", "resource has server && resource.server == \"bank\"", true),
        ("principal, action, resource is Tool", "principal has agent && principal.agent like \"bill*\"", true),
    ] {
        assert_eq!(holds(scope, condition, &asked), wanted, "{scope} {condition}");
    }
}

#[test]
fn rules_see_arguments_by_path() {
    let scope = "principal, action == Action::\"call_tool\", resource";
    let arguments = json!({"amount": 120, "fee": 1.25, "to": ["a", "b"], "order": {"rush": true}, "a.b": "x"});
    let asked = call(ToolCall { arguments, ..mcp() });
    let tag = |kind: &str, path: &str, test: &str| {
        let tags = format!("context.arguments.{kind}");
        holds(scope, &format!("{tags}.hasTag(\"{path}\") && {tags}.getTag(\"{path}\"){test}"), &asked)
    };
    assert!(tag("number", "amount", " <= 120") && !tag("number", "amount", " <= 119"));
    assert!(tag("micro", "fee", " == 1250000") && !tag("number", "fee", " >= 0"));
    assert!(tag("text", "fee", " == \"1.25\"") && tag("text", "a~1b", " == \"x\"") && !tag("text", "a.b", " == \"x\""));
    assert!(tag("flag", "order.rush", "") && tag("text", "to.1", " == \"b\""));
    assert!(tag("set", "to", ".contains(\"a\")") && !tag("set", "to", ".contains(\"c\")"));
    assert!(tag("size", "to", " == 2") && tag("size", "", " == 5"));
}

#[test]
fn rules_see_what_the_journal_knows() {
    let mut asked = call(mcp());
    // A Thursday, 09:30 in UTC.
    asked.at = Timestamp(9 * 3_600_000 + 1_800_000);
    asked.history.labels.insert("web".to_owned());
    asked.history.calls = [("mcp:bank/pay".to_owned(), 3), ("client:x".to_owned(), 4)].into();
    asked.history.spend_micro_usd = 5_000_000;
    let scope = "principal, action == Action::\"call_tool\", resource";
    for (condition, wanted) in [
        ("context.labels.contains(\"web\")", true),
        ("context.labels.contains(\"mail\")", false),
        ("context.calls_of_tool == 3 && context.calls_total == 7", true),
        ("context.calls.hasTag(\"client:x\") && context.calls.getTag(\"client:x\") == 4", true),
        ("context.calls.hasTag(\"client:y\")", false),
        ("context.spend_micro_usd < 5000000", false),
        ("context.hour_utc == 9 && context.weekday_utc == 4 && context.at_ms == 34200000", true),
        ("context.approved", false),
    ] {
        assert_eq!(holds(scope, condition, &asked), wanted, "{condition}");
    }
}

#[test]
fn rules_see_hosts_and_the_domains_above() {
    let ask = |scope: &str, condition: &str, host: &str| {
        holds(
            &format!("principal, action == Action::\"connect\", {scope}"),
            condition,
            &question(Act::Connect(egress(host))),
        )
    };
    for host in ["api.example.com", "API.Example.COM.", "example.com"] {
        assert!(ask("resource in Domain::\"example.com\"", "true", host), "{host}");
    }
    for host in ["badexample.com", "example.com.evil.net", "com", "1.2.3.4", ""] {
        assert!(!ask("resource in Domain::\"example.com\"", "true", host), "{host}");
    }
    assert!(ask("resource == Host::\"a.example\"", "context.port == 443 && context.purpose == \"fetch\"", "A.example"));
    assert!(!ask("resource in Domain::\"4\"", "true", "1.2.3.4"), "an address is in no domain");
    assert!(ask("resource", "resource.name == \"::1\" && context.address == \"public\"", "::1"));
}

#[test]
fn rules_see_places() {
    let place = Place { jurisdiction: Some("eu".to_owned()), evidence: Evidence::Reported, ..Place::default() };
    let asked = question(Act::Infer(Inference { retention_days: Some(30), ..inference(place) }));
    for (scope, condition, wanted) in [
        ("resource", "resource has jurisdiction && resource.jurisdiction == \"eu\"", true),
        ("resource", "resource has region", false),
        ("resource", "resource.evidence >= 3", true),
        ("resource", "resource.evidence >= 4", false),
        ("resource", "resource has retention_days && resource.retention_days <= 30", true),
        ("resource in Model::\"m1\"", "true", true),
        ("resource in Provider::\"p2\"", "true", false),
        ("resource == Deployment::\"m1-eu\"", "true", true),
    ] {
        let scope = format!("principal, action == Action::\"infer\", {scope}");
        assert_eq!(holds(&scope, condition, &asked), wanted, "{scope} {condition}");
    }
}

#[test]
fn grades_of_evidence_are_ordered() {
    use Evidence::{Attested, AttestedGpu, Declared, Encoded, Reported, Unknown};
    for (number, evidence) in [Unknown, Declared, Encoded, Reported, Attested, AttestedGpu].into_iter().enumerate() {
        let asked = question(Act::Infer(inference(Place { evidence, ..Place::default() })));
        let scope = "principal, action == Action::\"infer\", resource";
        assert!(holds(scope, &format!("resource.evidence == {number}"), &asked), "{evidence:?}");
    }
}

#[test]
fn tools_never_share_a_name() {
    let id = |runner, server: Option<&str>, tool: &str| {
        ToolCall { runner, server: server.map(str::to_owned), tool: tool.to_owned(), ..mcp() }.id()
    };
    assert_eq!(id(Runner::Mcp, Some("a/b"), "c"), "mcp:a%2Fb/c");
    assert_ne!(id(Runner::Mcp, Some("a/b"), "c"), id(Runner::Mcp, Some("a"), "b/c"));
    assert_ne!(id(Runner::Mcp, Some("a%2Fb"), "c"), id(Runner::Mcp, Some("a/b"), "c"));
    assert_ne!(id(Runner::Mcp, Some(""), "c"), id(Runner::Client, None, "c"));
    assert_eq!(id(Runner::BuiltIn, None, "shell"), "built_in:shell");
}

#[test]
fn an_explanation_names_every_policy_that_matched() {
    let text = [PERMIT, "\n", FORBID_ASK, "\n", FAILS, "\npermit (principal in Agent::\"nobody\", action, resource);"]
        .concat();
    let mut asked = call(mcp());
    asked.at = Timestamp(1);
    let explanation = load(&text).explain(&asked);
    let shown: Vec<_> =
        explanation.matched.iter().map(|found| (found.id.as_str(), found.line, found.failed.is_some())).collect();
    assert_eq!(shown, [("fa", 2, false), ("p", 1, false), ("x", 3, true)]);
    assert_eq!((explanation.in_slice, explanation.evaluated), (4, 3));
    assert_eq!(explanation.verdict.kind, Deny);
}

#[test]
fn a_verdict_names_a_bounded_number_of_policies() {
    let text: String =
        (0..MAX_NAMED + 8).map(|n| format!("@reason(\"r{n}\") forbid (principal, action, resource);\n")).collect();
    let verdict = load(&text).decide(&call(mcp()));
    assert_eq!((verdict.policies.len(), verdict.reasons.len()), (MAX_NAMED, MAX_NAMED));
}
