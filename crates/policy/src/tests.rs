//! Tests through the seam, by subject; here is what they share.

mod differential;
mod fault;
mod guide;
mod hostile;
mod verdict;

use mainstay_vocabulary::{Timestamp, place::Place};
use serde_json::json;

use crate::{
    Act, AddressClass, Ask, EffectClass, Egress, History, Inference, Policies, Question, Runner, Source, ToolCall,
    VerdictKind,
};

fn source(text: &str) -> Source {
    Source { name: "a.cedar".to_owned(), text: text.to_owned() }
}

fn load(text: &str) -> Policies {
    Policies::load(&[source(text)]).unwrap()
}

fn question(act: Act) -> Question {
    Question {
        tenant: "acme".to_owned(),
        principal: "alice".to_owned(),
        roles: vec!["clerk".to_owned()],
        agent: Some("billing".to_owned()),
        session: "sess_1".to_owned(),
        at: Timestamp(0),
        act,
        history: History::default(),
    }
}

fn mcp() -> ToolCall {
    ToolCall {
        runner: Runner::Mcp,
        server: Some("bank".to_owned()),
        tool: "pay".to_owned(),
        arguments: json!({"amount": 120, "to": "bob"}),
        class: EffectClass::Once,
        destructive: None,
        open_world: None,
        approval_asked: None,
        digest: "d1".to_owned(),
    }
}

fn call(call: ToolCall) -> Question {
    question(Act::CallTool(call))
}

fn egress(host: &str) -> Egress {
    Egress {
        host: host.to_owned(),
        port: 443,
        address: AddressClass::Public,
        purpose: "fetch".to_owned(),
        digest: String::new(),
    }
}

fn inference(place: Place) -> Inference {
    Inference {
        model: "m1".to_owned(),
        deployment: "m1-eu".to_owned(),
        provider: "p1".to_owned(),
        place,
        retention_days: None,
        digest: String::new(),
    }
}

fn kind(policies: &Policies, question: &Question) -> VerdictKind {
    policies.decide(question).kind
}

/// xorshift64*: the same questions for the same seed.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(0) % end
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

fn need(ask: &Ask) -> Vec<(Option<&str>, u32)> {
    ask.needs.iter().map(|need| (need.role.as_deref(), need.quorum)).collect()
}
