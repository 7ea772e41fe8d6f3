//! Bodies that a client of OpenAI's APIs sends: Chat Completions, embeddings, Responses, conversations, files and
//! uploads, agents. What is taken is encoded for every upstream, and shown as items of both APIs.

use std::{fmt::Debug, sync::Arc};

use mainstay_session::{Command, Spec, State, spec::Limits};
use mainstay_vocabulary::{
    Item, ItemId, Object, Sequence, SessionId, Shard, Timestamp, inference::Request, item::ItemStatus,
};
use mainstay_wire::{
    agents, chat,
    conversations::{self, CreateConversation},
    embeddings,
    files::{self, Form},
    native::Fork,
    responses::{
        CreateResponse,
        input::{self, Element},
        item, passing, prompt,
    },
};
use serde_json::Value;

use crate::{anthropic, encoded, random::Random};

/// Feeds every parser.
pub fn check(bytes: &[u8]) {
    let Some(body) = object(bytes) else { return };
    let mut random = Random::of(bytes);
    if let Ok((call, _)) = same(|| chat::read(body.clone())) {
        encoded::check(&Request { upstream_model: call.model, ..call.request }, &mut random);
    }
    if let Ok(call) = same(|| embeddings::read(body.clone())) {
        encoded::check_embedding(&call.request, &mut random);
    }
    for read in [CreateResponse::read, CreateResponse::read_compaction, CreateResponse::read_count] {
        if let Ok(request) = same(|| read(body.clone(), Limits::default())) {
            respond(&request, &mut random);
        }
    }
    prompted(&body);
    if let Some(call) = same(|| passing::read(&body)) {
        encoded::check(&Request { upstream_model: call.model, ..call.request }, &mut random);
    }
    if let Ok(created) = same(|| CreateConversation::read(body.clone())) {
        shown(&created.items);
    }
    if let Ok(items) = same(|| conversations::read_items(body.clone())) {
        shown(&items);
    }
    let _ = same(|| conversations::read_update(body.clone()));
    let _ = same(|| Fork::read(body.clone()));
    stored(&body);
    saved(&body);
}

/// A JSON object, as a route gives it to a parser.
pub(crate) fn object(bytes: &[u8]) -> Option<Object> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

/// The same input is read the same way.
pub(crate) fn same<T: Debug>(read: impl Fn() -> T) -> T {
    let read_once = read();
    assert_eq!(format!("{read_once:?}"), format!("{:?}", read()), "read twice, it says something else");
    read_once
}

/// Any session's id.
pub(crate) fn session() -> SessionId {
    SessionId::new(Shard(1), [7; 16])
}

fn respond(request: &CreateResponse, random: &mut Random) {
    let input = shown(&request.input);
    encoded::check(&asked(&request.spec, input), random);
}

/// What an inference of a session asks.
pub(crate) fn asked(spec: &Spec, input: Vec<Arc<Item>>) -> Request {
    Request {
        upstream_model: spec.model.clone(),
        deployment: String::new(),
        instructions: spec.instructions.clone(),
        input,
        prefix: None,
        tools: spec.tools.clone(),
        tool_choice: spec.tool_choice.clone(),
        parallel_tool_calls: spec.parallel_tool_calls,
        sampling: spec.sampling.clone(),
        reasoning: spec.reasoning.clone(),
        text: spec.text.clone(),
        idempotency_key: String::new(),
        service_tier: spec.service_tier.clone(),
        extra: spec.extra.clone(),
        verbatim: None,
    }
}

/// The items as both APIs show them; references are left out.
fn shown(elements: &[Element]) -> Vec<Arc<Item>> {
    let items = elements.iter().filter_map(|element| match element {
        Element::Item(item) => Some(Arc::new((**item).clone())),
        Element::Reference(..) => None,
    });
    let items: Vec<_> = items.collect();
    items.iter().for_each(|item| show(item));
    items
}

/// An item as every wire of sessions shows it.
pub(crate) fn show(item: &Item) {
    let id = ItemId { session: session(), sequence: Sequence(3), ordinal: 0 };
    let json = item::item_json(id, item, ItemStatus::Completed, item::Shape { encrypted: true, obfuscated: false });
    let again = input::read_list(vec![json], "input").map(|read| read.len());
    assert_eq!(again, Ok(1), "an item that was shown is not taken back");
    assert!(agents::item::input(id, item, "turn_1").is_object(), "an item that is no object");
}

/// A stored prompt fills what the request leaves out, and the reader takes what comes of it or says why not.
fn prompted(body: &Object) {
    let mut rest = body.clone();
    let Ok(Some(reference)) = same(|| prompt::take(&mut body.clone())) else { return };
    let _ = prompt::take(&mut rest);
    let version = anthropic::version(agents::command::create_agent(body.clone()).ok());
    if reference.fill(&version, &mut rest).is_ok() {
        let _ = same(|| CreateResponse::read(rest.clone(), prompt::limits(&version, Limits::default())));
    }
}

fn stored(body: &Object) {
    let _ = same(|| files::read_upload(body.clone(), Timestamp(1)));
    if let Ok(pieces) = same(|| files::read_completion(body.clone(), session())) {
        assert!(pieces.len() <= mainstay_session::file::MAX_PARTS, "more pieces than a file may have");
    }
    let mut form = Form::default();
    for (name, value) in body {
        let _ = form.take(name, value.as_str().unwrap_or_default().to_owned());
    }
    let _ = same(|| form.head("name.txt", None, Timestamp(u64::MAX)));
}

/// Agents and their sessions.
fn saved(body: &Object) {
    use mainstay_wire::agents::command;
    let created = same(|| command::create_agent(body.clone()));
    let version = anthropic::version(created.ok());
    let _ = same(|| command::update_agent(&version, body.clone()));
    let _ = same(|| command::update_session(&State::unborn(session()), body.clone()));
    if let Ok(command) = same(|| command::events(body.clone())) {
        accepted(&command);
    }
    let Ok(session) = same(|| command::CreateSession::read(body.clone())) else { return };
    let saved = session.agent_id.is_some().then_some(&version);
    if let Ok(command) = same(|| session.clone().command(saved, Limits::default())) {
        accepted(&command);
    }
}

/// The items that a command brings can be shown and sent to a model.
pub(crate) fn accepted(command: &Command) {
    let (spec, input) = match command {
        Command::Create(create) => (Some(&create.created.spec), create.input.as_ref()),
        Command::Accept(accept) => (None, Some(&accept.input)),
        Command::All(commands) => return commands.iter().for_each(accepted),
        _ => return,
    };
    let items = input.map(|input| input.items.clone()).unwrap_or_default();
    items.iter().for_each(|item| show(item));
    let plain = Arc::new(Spec::plain("m-1"));
    encoded::check(&asked(spec.unwrap_or(&plain), items), &mut Random::of(&[]));
}
