//! Requests by table: what each becomes, and the field that each bad one is refused for.

use std::sync::Arc;

use mainstay_session::{
    Command, Spec, State,
    command::SaveAgent,
    registry::{AgentDefinition, Version},
    spec::Limits,
};
use mainstay_vocabulary::{CallId, Content, Item, ItemId, Sequence, SessionId, Shard, Timestamp, item::ToolOutput};
use serde_json::{Value, json};

use crate::{
    agents::tests::play::object,
    fields::Invalid,
    managed::{
        command::{self, CreateSession, Events},
        item_event_id, types,
    },
};

fn session() -> SessionId {
    SessionId::new(Shard(0), [3; 16])
}

fn agent() -> Value {
    json!({ "name": "n", "model": "m" })
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

fn tool() -> Value {
    json!({ "type": "custom", "name": "f", "description": "d", "input_schema": { "type": "object" } })
}

fn define(body: Value) -> Result<AgentDefinition, Invalid> {
    match command::create_agent(object(body))? {
        Command::SaveAgent(SaveAgent { agent: None, expected: None, definition }) => Ok(*definition),
        other => panic!("{other:?}"),
    }
}

fn version(definition: AgentDefinition) -> Version {
    let agent = ItemId { session: session(), sequence: Sequence(2), ordinal: 0 };
    let (created_at, saved_at) = (Timestamp(1_000), Timestamp(2_000));
    Version { agent, number: 3, saved: Sequence(9), definition, created_at, saved_at, archived_at: None }
}

#[test]
fn an_agent_shows_what_it_was_made_with() {
    let body = json!({
        "name": "n", "description": "what", "system": "Be brief.", "metadata": { "a": "b" }, "tools": [tool()],
        "model": { "id": "m", "effort": "high", "speed": "standard", "inference_geo": null },
        "mcp_servers": [], "skills": [], "multiagent": null, "execution_identity": { "type": "service_account" },
    });
    let shown = types::agent(&version(define(body).unwrap()));
    assert_eq!(
        shown,
        json!({
            "id": format!("agent_{}", version(define(agent()).unwrap()).agent), "type": "agent", "name": "n",
            "description": "what", "system": "Be brief.", "metadata": { "a": "b" }, "tools": [tool()], "version": 3,
            "model": { "id": "m", "effort": { "type": "high" }, "speed": "standard", "inference_geo": null },
            "mcp_servers": [], "skills": [], "multiagent": null, "execution_identity": { "type": "service_account" },
            "created_at": "1970-01-01T00:00:01.000Z", "updated_at": "1970-01-01T00:00:02.000Z", "archived_at": null,
        })
    );
}

#[test]
fn agents_that_are_refused_name_the_field() {
    let long = "n".repeat(300);
    let cases = [
        (json!({ "name": "n" }), "model"),
        (json!({ "model": "m" }), "name"),
        (with(agent(), "name", json!("")), "name"),
        (with(agent(), "name", json!(long)), "name"),
        (with(agent(), "model", json!("")), "model"),
        (with(agent(), "model", json!(1)), "model"),
        (with(agent(), "model", json!({})), "model.id"),
        (with(agent(), "model", json!({ "id": "m", "effort": "none" })), "model.effort"),
        (with(agent(), "model", json!({ "id": "m", "effort": { "type": "huge" } })), "model.effort.type"),
        (with(agent(), "model", json!({ "id": "m", "speed": "fast" })), "model.speed"),
        (with(agent(), "model", json!({ "id": "m", "inference_geo": "eu" })), "model.inference_geo"),
        (with(agent(), "tools", json!([{ "type": "agent_toolset_20260401" }])), "tools[0].type"),
        (with(agent(), "tools", json!([{ "type": "mcp_toolset", "mcp_server_name": "x" }])), "tools[0].type"),
        (with(agent(), "tools", json!([7])), "tools[0]"),
        (with(agent(), "tools", json!([with(tool(), "name", json!("a b"))])), "tools[0].name"),
        (with(agent(), "tools", json!([with(tool(), "description", Value::Null)])), "tools[0].description"),
        (with(agent(), "tools", json!([with(tool(), "input_schema", json!({}))])), "tools[0].input_schema.type"),
        (with(agent(), "tools", json!([tool(), tool()])), "tools[1].name"),
        (with(agent(), "tools", Value::Array(vec![tool(); 257])), "tools"),
        (with(agent(), "mcp_servers", json!([{}])), "mcp_servers"),
        (with(agent(), "skills", json!([{}])), "skills"),
        (with(agent(), "multiagent", json!({})), "multiagent"),
        (with(agent(), "execution_identity", json!({ "type": "aws_role" })), "execution_identity.type"),
        (with(agent(), "metadata", json!({ "a": 1 })), "metadata.a"),
        (with(agent(), "metadata", json!([])), "metadata"),
        (with(agent(), "system", json!(["x"])), "system"),
        (with(agent(), "system", json!("x".repeat(100_001))), "system"),
    ];
    for (body, field) in cases {
        assert_eq!(define(body.clone()).unwrap_err().param, field, "{body}");
    }
}

#[test]
fn an_update_keeps_what_is_absent_clears_what_is_null_and_patches_metadata() {
    let body = json!({
        "name": "n", "model": "m", "description": "d", "system": "s", "tools": [tool()],
        "metadata": { "a": "1", "b": "2" },
    });
    let known = version(define(body).unwrap());
    let update = |body: Value| command::update_agent(&known, object(body)).unwrap();
    assert_eq!(update(json!({})), None);
    assert_eq!(update(json!({ "name": "n", "system": "s", "metadata": { "a": "1" }, "version": 3 })), None);
    let change =
        json!({ "description": null, "system": "", "tools": null, "metadata": { "a": null, "c": "3" }, "name": null });
    let Some(Command::SaveAgent(save)) = update(change) else { panic!("nothing changed") };
    assert_eq!((save.agent, save.expected), (Some(known.agent), Some(3)));
    let definition = *save.definition;
    assert_eq!((definition.name.as_deref(), definition.description), (Some("n"), None));
    assert_eq!(definition.spec.instructions, None);
    assert!(definition.spec.tools.is_empty());
    assert_eq!(Value::Object(definition.metadata), json!({ "b": "2", "c": "3" }));
    assert_eq!(command::named_version(&object(json!({ "version": 3 }))), Ok(Some(3)));
    assert_eq!(command::named_version(&object(json!({ "version": 0 }))).unwrap_err().param, "version");
}

fn create(body: Value) -> Result<Command, Invalid> {
    let known = version(define(with(agent(), "tools", json!([tool()])))?);
    CreateSession::read(object(body))?.command(&known, Limits::default())
}

#[test]
fn a_session_takes_over_its_agent_with_the_fields_that_it_replaces() {
    let overrides = json!({
        "type": "agent_with_overrides", "id": "agent_x", "version": 2, "model": "k", "system": null, "tools": [],
    });
    let body = json!({
        "agent": overrides, "environment_id": "env_none", "title": "t", "metadata": { "a": "b" }, "vault_ids": [],
        "initial_events": [{ "type": "user.message", "content": [{ "type": "text", "text": "hi" }] }],
    });
    let read = CreateSession::read(object(body.clone())).unwrap();
    assert_eq!((read.agent.as_str(), read.version), ("agent_x", Some(2)));
    let Command::Create(create) = create(body).unwrap() else { panic!("no create") };
    assert_eq!(create.created.spec.model, "k");
    assert!(create.created.spec.tools.is_empty());
    assert_eq!(create.created.agent.as_ref().map(|agent| (agent.number, agent.version)), Some((3, Sequence(9))));
    assert_eq!(Value::Object(create.created.echo.clone()), json!({ "title": "t" }));
    assert_eq!(create.input.map(|input| input.items.len()), Some(1));
}

#[test]
fn sessions_that_are_refused_name_the_field() {
    let body = json!({ "agent": "agent_x", "environment_id": "env_none" });
    let outcome = json!([{ "type": "user.define_outcome", "description": "d" }]);
    let cases = [
        (json!({}), "agent"),
        (with(body.clone(), "agent", json!(7)), "agent"),
        (with(body.clone(), "agent", json!({ "id": "agent_x" })), "agent.type"),
        (with(body.clone(), "agent", json!({ "type": "agent" })), "agent.id"),
        (with(body.clone(), "agent", json!({ "type": "agent", "id": "a", "version": 0 })), "agent.version"),
        (
            with(body.clone(), "agent", json!({ "type": "agent_with_overrides", "id": "a", "skills": [1] })),
            "agent.skills",
        ),
        (with(body.clone(), "environment_id", json!("env_other")), "environment_id"),
        (with(body.clone(), "vault_ids", json!(["v"])), "vault_ids"),
        (with(body.clone(), "resources", json!([{}])), "resources"),
        (with(body.clone(), "budget", json!({ "type": "limit" })), "budget"),
        (with(body.clone(), "title", json!("t".repeat(257))), "title"),
        (with(body.clone(), "initial_events", outcome), "initial_events[0].type"),
        (with(body.clone(), "initial_events", json!([{ "type": "user.message" }])), "initial_events[0].content"),
        (with(body, "initial_events", Value::Array(vec![json!({}); 51])), "initial_events"),
    ];
    for (body, field) in cases {
        assert_eq!(create(body.clone()).unwrap_err().param, field, "{body}");
    }
}

#[test]
fn a_session_changes_only_where_the_request_says_so() {
    let mut state = State::unborn(session());
    state.spec = Arc::new(Spec::plain("m"));
    state.metadata = object(json!({ "a": "1" }));
    state.echo = object(json!({ "title": "t", "other": 1 }));
    let update = |body: Value| command::update_session(&state, object(body));
    assert_eq!(update(json!({})).unwrap(), None);
    let spec = {
        let mut spec = Spec::plain("m");
        spec.tools = Arc::from(define(with(agent(), "tools", json!([tool()]))).unwrap().spec.tools.to_vec());
        spec
    };
    assert_eq!(
        update(json!({ "title": null, "metadata": { "b": "2" }, "agent": { "tools": [tool()] } })).unwrap(),
        Some(Command::All(vec![
            Command::ChangeSpec(Arc::new(spec)),
            Command::ChangeMetadata(object(json!({ "a": "1", "b": "2" }))),
            Command::ChangeEcho(object(json!({ "other": 1 }))),
        ]))
    );
    for (body, field) in [
        (json!({ "budget": {} }), "budget"),
        (json!({ "vault_ids": [] }), "vault_ids"),
        (json!({ "agent": { "model": "k" } }), "agent.model"),
        (json!({ "agent": { "mcp_servers": [1] } }), "agent.mcp_servers"),
        (json!({ "title": 1 }), "title"),
    ] {
        assert_eq!(update(body.clone()).unwrap_err().param, field, "{body}");
    }
}

fn events(list: Value) -> Result<Events, Invalid> {
    Events::read(session(), object(json!({ "events": list })))
}

#[test]
fn events_that_are_refused_name_the_field() {
    let say = |content: Value| json!([{ "type": "user.message", "content": content }]);
    let image = |source: Value| say(json!([{ "type": "image", "source": source }]));
    let foreign =
        item_event_id(ItemId { session: SessionId::new(Shard(0), [4; 16]), sequence: Sequence(1), ordinal: 0 });
    let result = |id: &str| json!([{ "type": "user.custom_tool_result", "custom_tool_use_id": id }]);
    let system = json!({ "type": "system.message", "content": [{ "type": "text", "text": "s" }] });
    let cases = [
        (json!([]), "events"),
        (json!("x"), "events"),
        (Value::Array(vec![json!({ "type": "user.interrupt" }); 65]), "events"),
        (json!([1]), "events[0]"),
        (json!([{}]), "events[0].type"),
        (json!([{ "type": "agent.message" }]), "events[0].type"),
        (json!([{ "type": "user.define_outcome" }]), "events[0].type"),
        (say(Value::Null), "events[0].content"),
        (say(json!([])), "events[0].content"),
        (say(json!("text")), "events[0].content"),
        (say(json!([{ "type": "text" }])), "events[0].content[0].text"),
        (say(json!([{ "type": "video" }])), "events[0].content[0].type"),
        (say(json!([{ "type": "redacted" }])), "events[0].content[0].type"),
        (image(Value::Null), "events[0].content[0].source"),
        (image(json!({})), "events[0].content[0].source.type"),
        (image(json!({ "type": "url", "url": "file:///etc/passwd" })), "events[0].content[0].source.url"),
        (
            image(json!({ "type": "base64", "media_type": "image/png", "data": "?" })),
            "events[0].content[0].source.data",
        ),
        (
            image(json!({ "type": "base64", "media_type": "a;b,c/", "data": "" })),
            "events[0].content[0].source.media_type",
        ),
        (result("sevt_x"), "events[0].custom_tool_use_id"),
        (result("call_1"), "events[0].custom_tool_use_id"),
        (result(&foreign), "events[0].custom_tool_use_id"),
        (json!([{ "type": "user.tool_confirmation", "tool_use_id": "x", "result": "allow" }]), "events[0].tool_use_id"),
        (json!([{ "type": "user.tool_result", "tool_use_id": "x" }]), "events[0].tool_use_id"),
        (json!([{ "type": "user.interrupt", "session_thread_id": "sthr_x" }]), "events[0].session_thread_id"),
        (json!([system]), "events[0].type"),
        (json!([{ "type": "user.interrupt" }, system]), "events[1].type"),
        (
            json!([{ "type": "user.message", "content": [{ "type": "text", "text": "a" }] }, system, system]),
            "events[1].type",
        ),
    ];
    for (list, field) in cases {
        assert_eq!(events(list.clone()).unwrap_err().param, field, "{list}");
    }
}

#[test]
fn an_interrupt_of_what_does_not_run_is_left_out() {
    let interrupt = json!({ "type": "user.interrupt" });
    let say = json!({ "type": "user.message", "content": [{ "type": "text", "text": "a" }] });
    let only = events(json!([interrupt, interrupt])).unwrap();
    assert_eq!((only.command(true), only.command(false)), (None, Some(Command::Cancel { turn: None })));
    let both = events(json!([interrupt, say])).unwrap();
    assert!(matches!(both.command(true), Some(Command::Accept(_))));
    assert!(matches!(both.command(false), Some(Command::All(all)) if all.len() == 2));
    assert_eq!(both.count(), 2);
    let after = events(json!([say, interrupt])).unwrap();
    assert!(matches!(after.command(true), Some(Command::All(all)) if all.len() == 2));
}

#[test]
fn blocks_come_back_as_they_were_sent() {
    let blocks = json!([
        { "type": "text", "text": "t" },
        { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
        { "type": "image", "source": { "type": "url", "url": "https://a/b" } },
        { "type": "image", "source": { "type": "file", "file_id": "file_1" } },
        { "type": "document", "source": { "type": "url", "url": "https://a/c" }, "title": "c", "context": null },
    ]);
    let read = events(json!([{ "type": "user.message", "content": blocks }])).unwrap().command(true);
    let Some(Command::Accept(accept)) = read else { panic!("no input") };
    let Item::Message { content, .. } = &*accept.input.items[0] else { panic!("no message") };
    assert_eq!(json!(crate::managed::block::write(content)), blocks);
    assert_eq!(content[3], Content::Image { url: "mainstay:file_1".to_owned(), detail: None });
    let text = json!({ "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": "é" } });
    let read = events(json!([{ "type": "user.message", "content": [text] }])).unwrap().command(true);
    let Some(Command::Accept(accept)) = read else { panic!("no input") };
    let Item::Message { content, .. } = &*accept.input.items[0] else { panic!("no message") };
    assert!(matches!(&content[0], Content::File { url, .. } if url == "data:text/plain;base64,w6k="));
}

#[test]
fn a_result_is_the_one_that_the_other_wire_would_send() {
    let item = ItemId { session: session(), sequence: Sequence(7), ordinal: 1 };
    let result = |content: Value, is_error: bool| {
        let event = json!({
            "type": "user.custom_tool_result", "custom_tool_use_id": item_event_id(item), "content": content,
            "is_error": is_error,
        });
        match events(json!([event])).unwrap().command(false) {
            Some(Command::ReturnCall { turn: None, result }) => (*result).clone(),
            other => panic!("{other:?}"),
        }
    };
    let call_id = CallId::from(item);
    let text = json!([{ "type": "text", "text": "x" }]);
    let output = ToolOutput::Text("x".to_owned());
    let expected = Item::ToolResult { call_id: call_id.clone(), output: output.clone(), error: None };
    assert_eq!(result(text.clone(), false), expected);
    let failed = Item::ToolResult { call_id: call_id.clone(), output, error: Some("x".to_owned()) };
    assert_eq!(result(text, true), failed);
    let silent = Item::ToolResult {
        call_id,
        output: ToolOutput::Text(String::new()),
        error: Some("The tool failed.".to_owned()),
    };
    assert_eq!(result(json!([]), true), silent);
}
