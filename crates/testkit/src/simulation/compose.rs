//! Draws commands that make sense for a session as it stands, and some that do not.

use std::sync::Arc;

use mainstay_session::{
    Command, Spec, State,
    command::{Accept, Create, ResolveCall, Respond, SaveAgent},
    effect::{Answer, Resolution, Stage},
    event::{Created, Delivery, Input, Kind, TurnOptions},
    registry::AgentDefinition,
    spec::{CallMode, Compaction, Interruption, Limits, Retention, Truncation},
};
use mainstay_vocabulary::{
    CallId, Content, Item, Object, Role, Sequence, SessionId, TurnId, item::ToolOutput, tool::FunctionTool,
};

use super::{
    provider::TOOLS,
    toolbox,
    world::{Shadow, World},
};
use crate::store::random::Random;

/// The model that is served.
pub(super) const MODEL: &str = "model";
/// What every marker begins with.
pub(super) const MARK: &str = "<mark-";
/// Length of an input that stands beside the journal as a blob.
const LARGE: usize = 9_000;

/// A command with what it is called and the texts that tell it apart.
pub(super) struct Composed {
    pub(super) kind: &'static str,
    pub(super) command: Command,
    pub(super) markers: Vec<String>,
}

/// A command for a session, drawn by what it has open.
pub(super) fn command(world: &mut World, session: SessionId) -> Option<Composed> {
    let state = world.sessions.get(&session)?.state.clone();
    if state.kind == Kind::Registry {
        return Some(registry(world, &state));
    }
    let drawn = world.random.below(100);
    let composed = match drawn {
        0..4 => metadata(world),
        4..6 => all(world),
        6 => Composed { kind: "delete", command: Command::Delete, markers: Vec::new() },
        7..9 => hide_turn(world, session),
        9 => Composed { kind: "compact", command: Command::Compact, markers: Vec::new() },
        10..13 => hide_item(world, session),
        13..16 => add_items(world),
        16..19 => cancel_over(world, session),
        19..24 => return_again(world, session)?,
        24..52 if !state.calls.is_empty() => return_call(world, &state),
        24..52 if !state.unanswered.is_empty() => answer(world, &state),
        24..52 if world.random.percent(80) && asks(&state) => respond(world, &state),
        52..60 if state.turn.is_some() => cancel(),
        52 => cancel(),
        _ => accept(world, &state),
    };
    Some(composed)
}

/// A new session's beginning.
pub(super) fn create(world: &mut World) -> (Composed, Create) {
    let mark = mark(world);
    let spec = spec(world);
    let is_volatile = spec.retention == Retention::ReceiptOnly;
    let mut markers = vec![mark.clone()];
    let items = if world.random.percent(20) { vec![message(world, &mut markers)] } else { Vec::new() };
    let input = (is_volatile || world.random.percent(70)).then(|| input(world, Delivery::Queue, &mut markers));
    let kind = if world.random.percent(60) { Kind::Agent } else { Kind::Response };
    let created = Created {
        kind,
        spec: Arc::new(spec),
        parent: None,
        metadata: marked(&mark),
        agent: None,
        echo: Object::new(),
        unanswered: Vec::new(),
    };
    let create = Create { created, items, input };
    (Composed { kind: "create", command: Command::Create(Box::new(create.clone())), markers }, create)
}

/// A spec that asks the served model.
pub(super) fn spec(world: &mut World) -> Spec {
    let random = &mut world.random;
    let tools: Vec<_> =
        if random.percent(75) { TOOLS[..2].iter().map(|name| tool(name)).collect() } else { Vec::new() };
    let instructions = random.percent(50).then(|| Arc::from(format!("version {}", random.below(1_000))));
    let mut spec = Spec::plain(if random.percent(98) { MODEL } else { "nobody serves this" });
    spec.instructions = instructions;
    spec.tools = tools.into();
    spec.calls = if random.percent(60) { CallMode::Wait } else { CallMode::Yield };
    spec.interruption = if random.percent(60) { Interruption::Restart } else { Interruption::End };
    spec.retention = if random.percent(7) { Retention::ReceiptOnly } else { Retention::Keep };
    spec.limits = limits(random);
    spec.compaction = random.percent(40).then(|| compaction(random));
    let has_tools = random.percent(35);
    spec.truncation = if random.percent(30) { Truncation::Auto } else { Truncation::Disabled };
    if has_tools {
        spec.toolsets = Arc::from([toolbox::toolset(world)]);
    }
    spec
}

/// Thresholds that short conversations reach, and none.
fn compaction(random: &mut Random) -> Compaction {
    Compaction { threshold_tokens: *random.one_of(&[None, Some(40), Some(400), Some(2_000)]) }
}

fn limits(random: &mut Random) -> Limits {
    Limits {
        max_steps: *random.one_of(&[2, 6, 100]),
        max_attempts: *random.one_of(&[1, 3, 5]),
        wall_ms: *random.one_of(&[3_000, 60_000, 600_000]),
    }
}

fn tool(name: &str) -> FunctionTool {
    let name = name.to_owned();
    FunctionTool { name, description: None, parameters: None, strict: None, rest: Object::new() }
}

fn mark(world: &mut World) -> String {
    format!("{MARK}{}>", world.next_number())
}

fn marked(mark: &str) -> Object {
    Object::from_iter([("mark".to_owned(), mark.into())])
}

fn message(world: &mut World, markers: &mut Vec<String>) -> Arc<Item> {
    let mark = mark(world);
    let filling = if world.random.percent(1) { LARGE } else { 0 };
    let text = format!("{mark}{}", "x".repeat(filling));
    markers.push(mark);
    Arc::new(Item::Message { role: Role::User, content: vec![Content::Text(text)], phase: None })
}

fn input(world: &mut World, delivery: Delivery, markers: &mut Vec<String>) -> Input {
    let count = 1 + u64::from(world.random.percent(15));
    let items = (0..count).map(|_| message(world, markers)).collect();
    Input { items, delivery, options: TurnOptions::default() }
}

/// Whether people are asked something.
pub(super) fn asks(state: &State) -> bool {
    state.effects.values().any(|effect| effect.approval().is_some())
}

/// Answers one of the questions.
pub(super) fn respond(world: &mut World, state: &State) -> Composed {
    let asked = state.effects.iter().filter_map(|(call, effect)| Some((*call, effect.approval()?, effect.clone())));
    let asked: Vec<_> = asked.collect();
    let (call, approval, effect) = world.random.one_of(&asked).clone();
    if matches!(effect.stage, Stage::Unknown { .. }) && world.random.percent(60) {
        let resolutions = [
            Resolution::Happened(result(effect.call_id(), "it was so")),
            Resolution::DidNotHappen,
            Resolution::Again,
            Resolution::Abandoned,
        ];
        let resolution = world.random.one_of(&resolutions).clone();
        let command = Command::ResolveCall(Box::new(ResolveCall { call, resolution, reason: None }));
        return Composed { kind: "resolve", command, markers: Vec::new() };
    }
    let (kind, answer) = match world.random.below(10) {
        0..6 => ("approve", Answer::Approve { arguments: None }),
        _ => ("deny", Answer::Deny),
    };
    let command = Command::Respond(Respond { session: None, approval, answer, reason: None });
    Composed { kind, command, markers: Vec::new() }
}

fn accept(world: &mut World, state: &State) -> Composed {
    use Delivery::{Interrupt, Queue, Reject, Steer};
    let delivery = *world.random.one_of(&[Steer, Steer, Queue, Queue, Interrupt, Reject]);
    let mut markers = Vec::new();
    let input = input(world, delivery, &mut markers);
    let wants_spec = state.spec.retention == Retention::Keep && world.random.percent(12);
    let spec = wants_spec.then(|| {
        let mut spec = spec(world);
        spec.retention = Retention::Keep;
        Arc::new(spec)
    });
    let last = state.last_turn.as_ref().filter(|_| world.random.percent(12));
    let head = last.map(|last| state.turn_id(last.id));
    let kind = match (state.turn.is_some(), delivery) {
        (false, _) => "accept",
        (true, Steer) => "steer",
        (true, Queue) => "queue",
        (true, Interrupt) => "interrupt",
        (true, Reject) => "reject",
    };
    Composed { kind, command: Command::Accept(Box::new(Accept { input, spec, head, answers: Vec::new() })), markers }
}

/// An input that answers what the last turn left unanswered.
fn answer(world: &mut World, state: &State) -> Composed {
    let mut markers = Vec::new();
    let mut input = input(world, Delivery::Queue, &mut markers);
    answer_all(&mut input, &state.unanswered);
    Composed {
        kind: "answer",
        command: Command::Accept(Box::new(Accept { input, spec: None, head: None, answers: Vec::new() })),
        markers,
    }
}

/// Puts a result for each call before the input's own items.
pub(super) fn answer_all(input: &mut Input, calls: &[CallId]) {
    let results = calls.iter().map(|call_id| result(call_id, "done"));
    input.items = results.chain(input.items.drain(..)).collect();
}

fn result(call_id: &CallId, text: &str) -> Arc<Item> {
    let output = ToolOutput::Text(text.to_owned());
    Arc::new(Item::ToolResult { call_id: call_id.clone(), output, error: None })
}

/// A result for a call that waits, sometimes under another turn's name.
pub(super) fn return_call(world: &mut World, state: &State) -> Composed {
    let mark = mark(world);
    let call_id = world.random.one_of(&state.calls).call_id.clone();
    let running = state.turn.as_ref().map(|turn| state.turn_id(turn.id));
    let (kind, turn) = match world.random.below(10) {
        0 => ("return to wrong turn", Some(TurnId { session: state.session, sequence: Sequence(1) })),
        1..5 => ("return call", running),
        _ => ("return call", None),
    };
    let command = Command::ReturnCall { turn, result: result(&call_id, &mark) };
    Composed { kind, command, markers: vec![mark] }
}

/// A result for a call that has its fate, or never was.
fn return_again(world: &mut World, session: SessionId) -> Option<Composed> {
    let old: Vec<_> = world.sessions.get(&session)?.old_calls.iter().cloned().collect();
    let mark = mark(world);
    let (kind, call_id) = if old.is_empty() {
        ("return unknown", CallId("call_of_nobody".to_owned()))
    } else {
        ("return twice", world.random.one_of(&old).clone())
    };
    let command = Command::ReturnCall { turn: None, result: result(&call_id, &mark) };
    Some(Composed { kind, command, markers: vec![mark] })
}

const fn cancel() -> Composed {
    Composed { kind: "cancel", command: Command::Cancel { turn: None }, markers: Vec::new() }
}

/// Cancels some turn by name: mostly one that is over.
fn cancel_over(world: &mut World, session: SessionId) -> Composed {
    let sequence = some_turn(world, session);
    let command = Command::Cancel { turn: Some(TurnId { session, sequence }) };
    Composed { kind: "cancel by name", command, markers: Vec::new() }
}

fn hide_turn(world: &mut World, session: SessionId) -> Composed {
    let sequence = some_turn(world, session);
    Composed { kind: "hide turn", command: Command::HideTurn(TurnId { session, sequence }), markers: Vec::new() }
}

fn some_turn(world: &mut World, session: SessionId) -> Sequence {
    let turns = world.sessions.get(&session).map_or(&[][..], |shadow| &shadow.turns[..]);
    if turns.is_empty() { Sequence(9_999) } else { *world.random.one_of(turns) }
}

fn hide_item(world: &mut World, session: SessionId) -> Composed {
    let items = world.sessions.get(&session).map_or(&[][..], |shadow: &Shadow| &shadow.items[..]);
    let unknown = mainstay_vocabulary::ItemId { session, sequence: Sequence(9_999), ordinal: 0 };
    let item = if items.is_empty() { unknown } else { *world.random.one_of(items) };
    Composed { kind: "hide item", command: Command::HideItem(item), markers: Vec::new() }
}

fn metadata(world: &mut World) -> Composed {
    let mark = mark(world);
    Composed { kind: "metadata", command: Command::ChangeMetadata(marked(&mark)), markers: vec![mark] }
}

fn add_items(world: &mut World) -> Composed {
    let mut markers = Vec::new();
    let mut items = vec![message(world, &mut markers)];
    if world.random.percent(30) {
        let call_id = CallId(format!("client-{}", world.next_number()));
        let call = Item::ToolCall {
            call_id: call_id.clone(),
            name: "look".to_owned(),
            arguments: "{}".to_owned(),
            provider_call_id: None,
            served: None,
        };
        items.push(Arc::new(call));
        if world.random.percent(70) {
            items.push(result(&call_id, "there"));
        }
    }
    Composed { kind: "add items", command: Command::AddItems(items), markers }
}

/// Metadata and an input at once.
fn all(world: &mut World) -> Composed {
    let Composed { command, mut markers, .. } = metadata(world);
    let input = input(world, Delivery::Queue, &mut markers);
    let accept = Command::Accept(Box::new(Accept { input, spec: None, head: None, answers: Vec::new() }));
    Composed { kind: "all", command: Command::All(vec![command, accept]), markers }
}

/// A change of the registry.
fn registry(world: &mut World, state: &State) -> Composed {
    let known: Vec<_> = state.registry.agents.keys().copied().collect();
    if !known.is_empty() && world.random.percent(25) {
        let agent = *world.random.one_of(&known);
        return Composed { kind: "delete agent", command: Command::DeleteAgent(agent), markers: Vec::new() };
    }
    let mark = mark(world);
    let agent = (!known.is_empty() && world.random.percent(40)).then(|| *world.random.one_of(&known));
    let definition =
        AgentDefinition { name: None, description: None, spec: Arc::new(spec(world)), metadata: marked(&mark) };
    let definition = Box::new(definition);
    let command = Command::SaveAgent(SaveAgent { agent, expected: None, definition });
    Composed { kind: "save agent", command, markers: vec![mark] }
}
