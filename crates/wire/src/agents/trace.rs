//! A turn as a trace in OTLP's JSON form: a span for the turn, one for each attempt of an inference, one for each call of
//! a tool. Ids are derived from places in the journal; nothing that anybody said is in it. The names of OpenTelemetry's
//! conventions for generative AI, which are still moving, stand here only.

use std::collections::BTreeMap;

use mainstay_session::{
    Event, State,
    event::{CallOpened, CallOutcome, InferenceEnded, InferenceOutcome, Intended, Purpose, TurnEnded, TurnStatus},
    feed::Recorded,
};
use mainstay_vocabulary::{CallId, Sequence, Timestamp, inference::FailureKind};
use serde_json::{Value, json};

use super::{agent_id, session_id, turn_id};

const AGENT: &str = "invoke_agent";
const CHAT: &str = "chat";
const TOOL: &str = "execute_tool";
/// OTLP's numbers for kinds of spans.
const INTERNAL: u8 = 1;
const CLIENT: u8 = 3;

/// A span that is over.
struct Span {
    place: Sequence,
    is_root: bool,
    name: String,
    kind: u8,
    from: Timestamp,
    until: Timestamp,
    attributes: Vec<(&'static str, Value)>,
    error: Option<&'static str>,
}

/// The trace of the turn that the events begin with or hold; `None` without a turn. What runs still is not in it.
pub fn trace(state: &State, events: &[Recorded]) -> Option<Value> {
    let start = events.iter().find(|recorded| matches!(*recorded.event, Event::TurnStarted(_)))?;
    let mut fold = Fold::of(state, (start.sequence, start.at));
    events.iter().filter(|recorded| recorded.sequence > start.sequence).for_each(|recorded| fold.take(recorded));
    let id = turn_id(state.session, start.sequence);
    let trace = format!("{:016x}{:016x}", hash(&id), hash(&format!("{id} again")));
    let root = span_id(state, start.sequence);
    let spans: Vec<_> = fold.spans.iter().map(|span| shown(state, span, (&trace, &root))).collect();
    let name = [("service.name", json!({ "stringValue": "mainstay" }))];
    Some(json!({
        "id": id,
        "object": "agent.session.trace",
        "session_id": session_id(state.session),
        "created_at": start.at.seconds(),
        "otlp": { "resourceSpans": [{
            "resource": { "attributes": attributes(&name) },
            "scopeSpans": [{ "scope": { "name": "mainstay" }, "spans": spans }],
        }] },
    }))
}

struct Fold<'a> {
    state: &'a State,
    turn: (Sequence, Timestamp),
    inferences: BTreeMap<Sequence, (Timestamp, &'a Intended)>,
    calls: BTreeMap<&'a CallId, (Sequence, Timestamp, &'a CallOpened)>,
    spans: Vec<Span>,
}

impl<'a> Fold<'a> {
    const fn of(state: &'a State, turn: (Sequence, Timestamp)) -> Self {
        Self { state, turn, inferences: BTreeMap::new(), calls: BTreeMap::new(), spans: Vec::new() }
    }

    fn take(&mut self, recorded: &'a Recorded) {
        let (sequence, at) = (recorded.sequence, recorded.at);
        match &*recorded.event {
            Event::InferenceIntended(intended) => drop(self.inferences.insert(sequence, (at, intended))),
            Event::InferenceEnded(ended) => self.end_inference(at, ended),
            Event::CallOpened(call) => drop(self.calls.insert(&call.call_id, (sequence, at, call))),
            Event::CallClosed { call_id, outcome } => self.end_call(at, call_id, outcome),
            Event::TurnEnded(ended) if ended.turn == self.turn.0 => self.end_turn(at, ended),
            _ => {}
        }
    }

    fn end_inference(&mut self, until: Timestamp, ended: &InferenceEnded) {
        let Some((from, intended)) = self.inferences.remove(&ended.intent) else { return };
        let (route, receipt) = (&intended.route, &ended.receipt);
        let mut attributes = vec![
            ("gen_ai.operation.name", text(CHAT)),
            ("gen_ai.provider.name", text(&route.provider)),
            ("gen_ai.request.model", text(&route.upstream_model)),
            ("gen_ai.usage.input_tokens", number(receipt.usage.input)),
            ("gen_ai.usage.output_tokens", number(receipt.usage.output)),
            ("mainstay.deployment", text(&route.deployment)),
            ("mainstay.attempt", number(intended.attempt.into())),
            ("mainstay.kept", json!({ "boolValue": ended.kept })),
        ];
        attributes.extend(receipt.model.as_ref().map(|model| ("gen_ai.response.model", text(model))));
        attributes.extend(route.place.region.as_ref().map(|region| ("mainstay.place.region", text(region))));
        attributes
            .extend(receipt.cost.map(|cost| ("mainstay.cost_pico_usd", json!({ "intValue": cost.0.to_string() }))));
        if intended.purpose == Purpose::Compaction {
            attributes.push(("mainstay.purpose", text("compaction")));
        }
        let (name, error) = (format!("{CHAT} {}", route.upstream_model), failure(&ended.outcome));
        self.spans.push(Span {
            place: ended.intent,
            is_root: false,
            name,
            kind: CLIENT,
            from,
            until,
            attributes,
            error,
        });
    }

    fn end_call(&mut self, until: Timestamp, call_id: &CallId, outcome: &CallOutcome) {
        let Some((place, from, call)) = self.calls.remove(call_id) else { return };
        let attributes = vec![
            ("gen_ai.operation.name", text(TOOL)),
            ("gen_ai.tool.name", text(&call.name)),
            ("gen_ai.tool.call.id", text(&call_id.0)),
            ("gen_ai.tool.type", text("function")),
        ];
        let error = match outcome {
            CallOutcome::Returned(item) => match &**item {
                mainstay_vocabulary::Item::ToolResult { error: Some(_), .. } => Some("tool_error"),
                _ => None,
            },
            CallOutcome::Cancelled => Some("cancelled"),
            CallOutcome::Refused(_) => Some("refused"),
            CallOutcome::Failed(_) => Some("failed"),
            CallOutcome::Denied(_) => Some("denied"),
            CallOutcome::Unknown(_) => Some("unknown"),
        };
        let name = format!("{TOOL} {}", call.name);
        self.spans.push(Span { place, is_root: false, name, kind: INTERNAL, from, until, attributes, error });
    }

    fn end_turn(&mut self, until: Timestamp, ended: &TurnEnded) {
        let mut attributes = vec![
            ("gen_ai.operation.name", text(AGENT)),
            ("gen_ai.agent.id", text(&agent_id(self.state))),
            ("gen_ai.conversation.id", text(&session_id(self.state.session))),
            ("gen_ai.usage.input_tokens", number(ended.usage.input)),
            ("gen_ai.usage.output_tokens", number(ended.usage.output)),
        ];
        let agent = self.state.agent.as_ref().and_then(|agent| agent.name.as_deref());
        attributes.extend(agent.map(|name| ("gen_ai.agent.name", text(name))));
        let error = match &ended.status {
            TurnStatus::Completed => None,
            TurnStatus::Incomplete(_) => Some("incomplete"),
            TurnStatus::Failed(_) => Some("failed"),
            TurnStatus::Cancelled => Some("cancelled"),
        };
        let name = agent.map_or_else(|| AGENT.to_owned(), |agent| format!("{AGENT} {agent}"));
        let (place, from) = self.turn;
        self.spans.push(Span { place, is_root: true, name, kind: INTERNAL, from, until, attributes, error });
    }
}

/// The class of a failure; its message may quote the prompt.
const fn failure(outcome: &InferenceOutcome) -> Option<&'static str> {
    match outcome {
        InferenceOutcome::Finished(_) => None,
        InferenceOutcome::Interrupted => Some("interrupted"),
        InferenceOutcome::Cancelled => Some("cancelled"),
        InferenceOutcome::Failed(failure) => Some(match failure.kind {
            FailureKind::Timeout => "timeout",
            FailureKind::RateLimited => "rate_limited",
            FailureKind::ContextLength => "context_length",
            FailureKind::Connect | FailureKind::Broken => "connection",
            _ => "upstream",
        }),
    }
}

fn shown(state: &State, span: &Span, (trace, root): (&str, &str)) -> Value {
    let mut list = span.attributes.clone();
    list.extend(span.error.map(|error| ("error.type", text(error))));
    json!({
        "traceId": trace,
        "spanId": span_id(state, span.place),
        "parentSpanId": if span.is_root { "" } else { root },
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": nanoseconds(span.from),
        "endTimeUnixNano": nanoseconds(span.until),
        "attributes": attributes(&list),
        "status": { "code": if span.error.is_some() { 2 } else { 1 } },
    })
}

fn attributes(list: &[(&str, Value)]) -> Vec<Value> {
    list.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

fn text(text: &str) -> Value {
    json!({ "stringValue": text })
}

/// OTLP writes 64-bit numbers as text.
fn number(number: u64) -> Value {
    json!({ "intValue": number.to_string() })
}

fn nanoseconds(at: Timestamp) -> String {
    at.0.saturating_mul(1_000_000).to_string()
}

fn span_id(state: &State, place: Sequence) -> String {
    format!("{:016x}", hash(&format!("{} {}", state.session, place.0)))
}

/// FNV-1a with a last stir: spread, not secrecy.
fn hash(text: &str) -> u64 {
    let mut hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ hash >> 33
}
