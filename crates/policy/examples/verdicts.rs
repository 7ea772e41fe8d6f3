//! How much CPU a verdict takes, at 1,000 policies for each of four tenants. Run it with `--release`.
//! Two mixes: policies that mostly name a tool, an agent, a host or a model; and 64 that all must be evaluated.

use std::{collections::BTreeMap, fmt::Write as _};

use mainstay_policy::{
    Act, AddressClass, EffectClass, Egress, History, Inference, Policies, Question, Runner, Source, ToolCall,
    VerdictKind,
};
use mainstay_vocabulary::{
    Timestamp,
    place::{Evidence, Place},
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

const TENANTS: usize = 4;
const POLICIES: usize = 1_000;
const OPEN: usize = 64;
const VERDICTS: usize = 120_000;

fn main() -> Result<(), mainstay_policy::Error> {
    println!("{VERDICTS} verdicts each, {TENANTS} tenants with {POLICIES} policies each; CPU of this thread");
    measure("mostly named", 4)?;
    measure("all evaluated", OPEN)
}

fn measure(mix: &str, open: usize) -> Result<(), mainstay_policy::Error> {
    let sources: Vec<Source> = (0..TENANTS).map(|tenant| source(tenant, open)).collect();
    let before = cpu_ns();
    let policies = Policies::load(&sources)?;
    println!("{mix}: {} policies loaded in {} ms", policies.len(), (cpu_ns() - before) / 1_000_000);
    for (act, questions) in [("call_tool", calls()), ("connect", connects()), ("infer", infers())] {
        let mut took = Vec::with_capacity(VERDICTS);
        let mut kinds = [0_usize; 3];
        for place in 0..VERDICTS {
            let question = &questions[place % questions.len()];
            let before = cpu_ns();
            let verdict = policies.decide(question);
            took.push(cpu_ns() - before);
            kinds[match verdict.kind {
                VerdictKind::Allow => 0,
                VerdictKind::Deny => 1,
                VerdictKind::Ask => 2,
            }] += 1;
        }
        took.sort_unstable();
        let explanation = policies.explain(&questions[0]);
        let [allow, deny, ask] = kinds;
        println!(
            "{mix}, {act}: median {} ns, p99 {} ns; slice {}, evaluated {}, left to Cedar {}; allow {allow}, deny {deny}, ask {ask}",
            took[VERDICTS / 2],
            took[VERDICTS * 99 / 100],
            explanation.in_slice,
            explanation.evaluated,
            explanation.left_to_cedar,
        );
    }
    Ok(())
}

fn cpu_ns() -> i64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// A tenant's policies: `open` for each action that name nothing but the tenant, the rest by name, with conditions.
fn source(tenant: usize, open: usize) -> Source {
    let mut text = String::new();
    for number in 0..POLICIES {
        let scope = format!("principal in Tenant::\"tenant-{tenant}\"");
        let name = number % 97;
        _ = match (number < open * 3, number % 3) {
            (true, 0) => writeln!(
                text,
                "permit ({scope}, action == Action::\"call_tool\", resource) when {{ \
                 context.arguments.number.hasTag(\"amount\") && context.arguments.number.getTag(\"amount\") <= {number} && \
                 !context.labels.contains(\"web-{number}\") }};"
            ),
            (true, 1) => writeln!(
                text,
                "forbid ({scope}, action == Action::\"connect\", resource) when {{ \
                 resource.name like \"*.blocked-{number}.example\" || context.port == {number} }};"
            ),
            (true, _) => writeln!(
                text,
                "forbid ({scope}, action == Action::\"infer\", resource) when {{ \
                 resource has jurisdiction && resource.jurisdiction == \"zone-{number}\" && resource.evidence < 3 }};"
            ),
            (false, 0) => writeln!(
                text,
                "@verdict(\"ask\") @quorum(\"2\") permit ({scope}, action == Action::\"call_tool\", \
                 resource == Tool::\"mcp:payments/tool-{name}\") when {{ context.calls_of_tool > {number} || \
                 !(context.arguments.number.hasTag(\"amount\") && context.arguments.number.getTag(\"amount\") <= 100) }};"
            ),
            (false, 1) => writeln!(
                text,
                "permit ({scope}, action == Action::\"connect\", resource in Domain::\"host-{name}.example\") when {{ \
                 context.port == 443 && context.address == \"public\" }};"
            ),
            (false, _) => writeln!(
                text,
                "permit ({scope}, action == Action::\"infer\", resource in Model::\"model-{name}\") when {{ \
                 resource.evidence >= 1 && context.spend_micro_usd < {number}000000 }};"
            ),
        };
    }
    Source { name: format!("tenant-{tenant}.cedar"), text }
}

fn question(number: usize, act: Act) -> Question {
    let history = History {
        labels: ["web", "mail", "customer"].map(str::to_owned).into(),
        approved: (0..4).map(|digest| format!("digest-{digest}")).collect(),
        calls: (0..12).map(|tool| (format!("mcp:payments/tool-{tool}"), tool)).collect::<BTreeMap<_, _>>(),
        spend_micro_usd: 1_250_000,
    };
    Question {
        tenant: format!("tenant-{}", number % TENANTS),
        principal: "alice".to_owned(),
        roles: vec!["clerk".to_owned(), "support".to_owned()],
        agent: Some("billing".to_owned()),
        session: format!("sess_{number}"),
        at: Timestamp(1_790_000_000_000),
        act,
        history,
    }
}

fn calls() -> Vec<Question> {
    let call = |number: usize| ToolCall {
        runner: Runner::Mcp,
        server: Some("payments".to_owned()),
        tool: format!("tool-{}", number % 97),
        arguments: json!({
            "amount": number, "currency": "EUR", "to": ["a@example.com", "b@example.com"], "dry_run": false,
            "note": "An invoice of some length, as a model would write it into the field for the reference of a payment.",
            "lines": [{"sku": "a-1", "count": 2, "price": 10.5}, {"sku": "b-2", "count": 1, "price": 99.0}],
        }),
        class: EffectClass::Once,
        destructive: Some(true),
        open_world: None,
        approval_asked: None,
        digest: format!("digest-{number}"),
    };
    (0..500).map(|number| question(number, Act::CallTool(call(number)))).collect()
}

fn connects() -> Vec<Question> {
    let egress = |number: usize| Egress {
        host: format!("api.host-{}.example", number % 97),
        port: 443,
        address: AddressClass::Public,
        purpose: "fetch".to_owned(),
        digest: String::new(),
    };
    (0..500).map(|number| question(number, Act::Connect(egress(number)))).collect()
}

fn infers() -> Vec<Question> {
    let place = Place { jurisdiction: Some("eu".to_owned()), evidence: Evidence::Encoded, ..Place::default() };
    let inference = |number: usize| Inference {
        model: format!("model-{}", number % 97),
        deployment: format!("deployment-{}", number % 7),
        provider: "example".to_owned(),
        place: place.clone(),
        retention_days: Some(0),
        digest: String::new(),
    };
    (0..500).map(|number| question(number, Act::Infer(inference(number)))).collect()
}
