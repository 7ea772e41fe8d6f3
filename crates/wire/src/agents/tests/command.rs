//! Requests by table: what each becomes, and the field that each bad one is refused for.

use std::sync::Arc;

use mainstay_session::{
    Command, Spec, State,
    command::SaveAgent,
    registry::{AgentDefinition, Version},
    spec::Limits,
};
use mainstay_vocabulary::{Content, Item, SessionId, Shard, inference::TextFormat, item::ToolOutput};
use serde_json::{Value, json};

use super::play::object;
use crate::agents::{
    command::{self, CreateSession},
    config, tool,
};

fn create(body: Value) -> Result<Command, (String, &'static str)> {
    let refused = |invalid: crate::fields::Invalid| (invalid.param, invalid.code);
    let request = CreateSession::read(object(body)).map_err(refused)?;
    request.command(None, Limits::default()).map_err(refused)
}

#[test]
fn sessions_that_are_refused_name_the_field() {
    let agent = json!({ "model": "m" });
    let with = |name: &str, value: Value| {
        let mut body = json!({ "environment": { "type": "none" }, "agent": agent });
        body[name] = value;
        body
    };
    let of = |name: &str, value: Value| {
        let mut agent = agent.clone();
        agent[name] = value;
        with("agent", agent)
    };
    let tool = |value: Value| of("tools", json!([value]));
    let unserved = "unsupported_parameter";
    let cases = [
        (json!({}), "agent", "missing_required_parameter"),
        (json!({ "agent": {} }), "agent", "missing_required_parameter"),
        (json!({ "agent": { "model": null, "instructions": "x" } }), "agent.model", "missing_required_parameter"),
        (json!({ "agent": "x" }), "agent", "invalid_type"),
        (of("model", json!(1)), "agent.model", "invalid_type"),
        (of("model", json!("")), "agent.model", "invalid_value"),
        (of("model", json!("m".repeat(1_000))), "agent.model", "invalid_value"),
        (of("instructions", json!(["x"])), "agent.instructions", "invalid_type"),
        (of("multi_agent", json!({ "enabled": true })), "agent.multi_agent", unserved),
        (of("experimental", json!({ "time_awareness": true })), "agent.experimental.time_awareness", unserved),
        (of("service_tier", json!("warp")), "agent.service_tier", "invalid_value"),
        (of("reasoning", json!({ "effort": "huge" })), "agent.reasoning.effort", "invalid_value"),
        (of("text", json!({ "verbosity": "low" })), "agent.text.verbosity", unserved),
        (of("text", json!({ "format": {} })), "agent.text.format.type", "missing_required_parameter"),
        (
            of("text", json!({ "format": { "type": "json_schema" } })),
            "agent.text.format.schema",
            "missing_required_parameter",
        ),
        (
            of("text", json!({ "format": { "type": "json_schema", "schema": [] } })),
            "agent.text.format.schema",
            "invalid_type",
        ),
        (of("tools", json!({})), "agent.tools", "invalid_type"),
        (of("tools", json!(vec![json!({}); 1_025])), "agent.tools", "invalid_value"),
        (of("tools", json!([1])), "agent.tools[0]", "invalid_type"),
        (tool(json!({})), "agent.tools[0].type", "missing_required_parameter"),
        (tool(json!({ "type": "teleport" })), "agent.tools[0].type", "invalid_value"),
        (tool(json!({ "type": "function" })), "agent.tools[0].name", "missing_required_parameter"),
        (tool(json!({ "type": "function", "name": "a b" })), "agent.tools[0].name", "invalid_value"),
        (
            tool(json!({ "type": "function", "name": "a", "parameters": "x" })),
            "agent.tools[0].parameters",
            "invalid_type",
        ),
        (tool(json!({ "type": "function", "name": "a", "async": true })), "agent.tools[0].async", unserved),
        (
            of("tools", json!([{ "type": "function", "name": "a" }, { "type": "function", "name": "a" }])),
            "agent.tools[1].name",
            "invalid_value",
        ),
        (with("environment", json!({ "type": "openai_hosted" })), "environment.type", unserved),
        (with("environment", json!({ "type": "cloud" })), "environment.type", "invalid_value"),
        (with("environment", json!({})), "environment.type", "missing_required_parameter"),
        (with("environment", json!("none")), "environment", "invalid_type"),
        (with("spend_control", json!({ "limit": 5 })), "spend_control", unserved),
        (with("vault_ids", json!(["v"])), "vault_ids", unserved),
        (with("review", json!("auto_review")), "review", unserved),
        (with("agent_id", json!("agent_!")), "agent_id", "invalid_value"),
        (with("agent_id", json!("é".repeat(500))), "agent_id", "invalid_value"),
        (with("stream", json!(true)), "input", "missing_required_parameter"),
        (with("stream", json!("yes")), "stream", "invalid_type"),
        (with("input", json!("")), "input", "invalid_value"),
        (with("input", json!([])), "input", "invalid_value"),
        (with("input", json!(5)), "input", "invalid_type"),
        (with("input", json!([[]])), "input[0]", "invalid_type"),
        (with("input", json!([{ "content": "x" }])), "input[0].role", "missing_required_parameter"),
        (with("input", json!([{ "role": "system", "content": "x" }])), "input[0].role", "invalid_value"),
        (with("input", json!([{ "role": "user" }])), "input[0].content", "missing_required_parameter"),
        (with("input", json!([{ "role": "user", "content": [] }])), "input[0].content", "invalid_value"),
        (
            with(
                "input",
                json!([{ "role": "user", "content": [{ "type": "input_text", "text": "a" }, { "type": "video" }] }]),
            ),
            "input[0].content[1].type",
            "invalid_value",
        ),
        (
            with(
                "input",
                json!([{ "role": "user", "content": [{ "type": "input_image", "image_url": "file:///etc" }] }]),
            ),
            "input[0].content[0].image_url",
            "invalid_value",
        ),
        (with("metadata", json!({ "a": 1 })), "metadata.a", "invalid_type"),
        (with("metadata", json!({ "a": "v".repeat(513) })), "metadata.a", "invalid_value"),
        (with("prompt_cache_options", json!({ "ttl": "1s" })), "prompt_cache_options.ttl", "invalid_value"),
    ];
    for (body, param, code) in cases {
        let shown = body.to_string().chars().take(200).collect::<String>();
        assert_eq!(create(body).err(), Some((param.to_owned(), code)), "{shown}");
    }
}

#[test]
fn a_session_takes_over_what_the_agent_says() {
    let body = json!({
        "agent": {
            "model": "m", "instructions": "be kind", "reasoning": { "effort": "low", "summary": null },
            "text": { "format": { "type": "json_schema", "schema": { "type": "object" } } },
            "compaction": { "async": true }, "service_tier": null, "multi_agent": { "enabled": false },
            "tools": [
                { "type": "web_search" },
                { "type": "function", "name": "f", "description": "d", "parameters": { "type": "object" }, "x": 1 },
                { "type": "mcp", "server_label": "s", "transport":
                    { "type": "http", "server_url": "https://s", "headers": { "k": "plain" } } },
            ],
            "future": { "a": 1 },
        },
        "input": "hi", "spend_control": null, "vault_ids": [], "review": "none", "metadata": null,
    });
    let Ok(Command::Create(create)) = create(body) else { panic!("not a create") };
    let spec = &create.created.spec;
    assert_eq!((spec.model.as_str(), spec.instructions.as_deref()), ("m", Some("be kind")));
    assert!(matches!(&spec.text, TextFormat::JsonSchema { strict: Some(true), .. }));
    assert_eq!(spec.tools.len(), 1, "only the function goes to the model");
    let tools = tool::list(spec);
    assert_eq!(tools.iter().map(|tool| &tool["type"]).collect::<Vec<_>>(), ["web_search", "function", "mcp"]);
    assert_eq!((&tools[1]["x"], &tools[1]["defer_loading"]), (&json!(1), &json!(false)));
    assert_eq!(spec.toolsets.iter().map(|toolset| &*toolset.label).collect::<Vec<_>>(), ["s"]);
    let transport = json!({ "type": "http", "server_url": "https://s", "authorization": "secret" });
    let tools = json!([{ "type": "mcp", "server_label": "s", "transport": transport }]);
    let (param, _) = self::create(json!({ "agent": { "model": "m", "tools": tools }, "input": "hi" })).unwrap_err();
    assert_eq!(param, "agent.tools[0].transport.authorization");
    let agent = config::render(spec);
    assert_eq!(agent["future"], json!({ "a": 1 }));
    assert_eq!(agent["compaction"], json!({ "async": true }));
    assert_eq!(create.input.as_ref().unwrap().items.len(), 1);
}

#[test]
fn an_agent_narrows_the_operators_limits_and_never_widens_them() {
    let body = |limits: Value| json!({ "agent": { "model": "m", "limits": limits }, "input": "hi" });
    let taken = |limits| {
        let Ok(Command::Create(create)) = create(body(limits)) else { panic!("not a create") };
        create.created.spec.limits
    };
    let operator = taken(json!({}));
    let own = taken(json!({ "max_steps": 2, "wall_ms": 1_000 }));
    assert_eq!((own.max_steps, own.max_attempts, own.wall_ms), (2, operator.max_attempts, 1_000));
    assert_eq!(taken(json!({ "max_steps": u32::MAX, "max_attempts": u32::MAX })), operator);
    for (limits, param) in [
        (json!({ "max_steps": 0 }), "agent.limits.max_steps"),
        (json!({ "max_steps": "2" }), "agent.limits.max_steps"),
        (json!({ "steps": 2 }), "agent.limits.steps"),
        (json!([]), "agent.limits"),
    ] {
        assert_eq!(create(body(limits)).unwrap_err().0, param);
    }
}

#[test]
fn a_saved_agent_keeps_what_is_absent_and_resets_what_is_null() {
    let first = command::create_agent(object(json!({
        "model": "m", "name": "n", "instructions": "i", "metadata": { "a": "b" },
        "tools": [{ "type": "function", "name": "f" }], "reasoning": { "effort": "low" },
    })));
    let Ok(Command::SaveAgent(first)) = first else { panic!("not a save") };
    assert_eq!((first.agent, first.expected), (None, None));
    let known = Version {
        agent: mainstay_vocabulary::ItemId {
            session: mainstay_vocabulary::SessionId::new(mainstay_vocabulary::Shard(0), [0; 16]),
            sequence: mainstay_vocabulary::Sequence(2),
            ordinal: 0,
        },
        number: 7,
        saved: mainstay_vocabulary::Sequence(9),
        definition: *first.definition,
        created_at: mainstay_vocabulary::Timestamp(1),
        saved_at: mainstay_vocabulary::Timestamp(2),
        archived_at: None,
    };
    assert_eq!(command::update_agent(&known, object(json!({}))).unwrap(), None);
    assert_eq!(command::update_agent(&known, object(json!({ "name": "n", "model": "m" }))).unwrap(), None);
    let update = |body: Value| -> AgentDefinition {
        match command::update_agent(&known, object(body)).unwrap() {
            Some(Command::SaveAgent(SaveAgent { agent, expected, definition })) => {
                assert_eq!((agent, expected), (Some(known.agent), Some(7)));
                *definition
            }
            other => panic!("{other:?}"),
        }
    };
    let changed = update(json!({ "name": null, "instructions": null, "tools": null, "metadata": null, "model": "k" }));
    assert_eq!((changed.name, changed.spec.instructions.clone()), (None, None));
    assert!(changed.spec.tools.is_empty() && changed.metadata.is_empty());
    assert_eq!((changed.spec.model.as_str(), changed.spec.reasoning.effort.as_deref()), ("k", Some("low")));
    assert_eq!(command::create_agent(object(json!({ "name": "n" }))).unwrap_err().param, "model");
    let long = json!({ "model": "m", "name": "n".repeat(300) });
    assert_eq!(command::create_agent(object(long)).unwrap_err().param, "name");
}

#[test]
fn events_that_are_refused_name_the_field() {
    let one = |event: Value| json!({ "events": [event] });
    let result = |name: &str, value: Value| {
        let mut event =
            json!({ "type": "agent.session.input.tool_result", "call_id": "c", "success": true, "output": "x" });
        event[name] = value;
        one(event)
    };
    let cases = [
        (json!({}), "events"),
        (json!({ "events": null }), "events"),
        (json!({ "events": [] }), "events"),
        (json!({ "events": {} }), "events"),
        (json!({ "events": vec![json!({ "type": "agent.session.input.cancel" }); 65] }), "events"),
        (one(json!(1)), "events[0]"),
        (one(json!({})), "events[0].type"),
        (one(json!({ "type": "agent.session.input.dance" })), "events[0].type"),
        (one(json!({ "type": "agent.session.input.message" })), "events[0].input"),
        (
            one(json!({ "type": "agent.session.input.message", "input": [{ "role": "user", "content": 1 }] })),
            "events[0].input[0].content",
        ),
        (
            one(json!({ "type": "agent.session.input.mcp_approval_request_result", "request_id": "r" })),
            "events[0].request_id",
        ),
        (result("call_id", Value::Null), "events[0].call_id"),
        (result("success", json!("yes")), "events[0].success"),
        (result("turn_id", json!("turn_!")), "events[0].turn_id"),
        (result("output", json!(5)), "events[0].output"),
        (result("output", json!([{ "type": "input_text" }])), "events[0].output[0].text"),
        (result("error", json!(5)), "events[0].error"),
    ];
    for (body, param) in cases {
        let shown = body.to_string().chars().take(200).collect::<String>();
        assert_eq!(command::events(object(body)).unwrap_err().param, param, "{shown}");
    }
}

#[test]
fn events_become_commands() {
    let body = json!({ "events": [
        { "type": "agent.session.input.cancel" },
        { "type": "agent.session.input.message", "input": [
            { "type": "message", "role": "user", "content": [{ "type": "input_image", "image_url": "data:image/png;base64,AA" }] },
        ] },
        { "type": "agent.session.input.tool_result", "call_id": "c", "success": true, "output": null },
        { "type": "agent.session.input.tool_result", "call_id": "d", "success": false, "error": null },
    ] });
    let Ok(Command::All(commands)) = command::events(object(body)) else { panic!("not several") };
    assert_eq!(commands[0], Command::Cancel { turn: None });
    let Command::Accept(accept) = &commands[1] else { panic!("not an input") };
    assert!(
        matches!(&*accept.input.items[0], Item::Message { content, .. } if matches!(content[0], Content::Image { .. }))
    );
    let text = |command: &Command| match command {
        Command::ReturnCall { result, .. } => match &**result {
            Item::ToolResult { output: ToolOutput::Text(text), error, .. } => (text.clone(), error.is_some()),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(text(&commands[2]), (String::new(), false));
    assert_eq!(text(&commands[3]), ("The tool failed.".to_owned(), true));
}

#[test]
fn of_a_session_what_the_vendor_names_changes_and_nothing_else() {
    let cases = [
        (json!({}), Ok("")),
        (json!({ "metadata": null }), Ok("metadata 0")),
        (json!({ "metadata": { "a": "b" }, "spend_control": { "limit": null } }), Ok("metadata 1")),
        (json!({ "agent": { "model": "x" } }), Ok("spec x Some(\"high\") Some(\"auto\")")),
        (json!({ "agent": { "reasoning": { "effort": "low" } } }), Ok("spec m Some(\"low\") Some(\"auto\")")),
        (json!({ "agent": { "reasoning": { "effort": null } } }), Ok("spec m None Some(\"auto\")")),
        (json!({ "agent": { "model": "m" } }), Ok("")),
        (json!({ "agent": { "instructions": "x" } }), Err("agent.instructions")),
        (json!({ "agent": { "service_tier": "flex" } }), Ok("spec m Some(\"high\") Some(\"auto\")")),
        (json!({ "agent": { "service_tier": "warp" } }), Err("agent.service_tier")),
        (json!({ "prompt_cache_options": { "ttl": "30m" } }), Ok("echo 1")),
        (json!({ "prompt_cache_options": null }), Ok("")),
        (json!({ "metadata": {}, "agent": { "model": "x" } }), Ok("2 commands")),
        (json!({ "review": "auto_review" }), Err("review")),
        (json!({ "metadata": [] }), Err("metadata")),
    ];
    let mut known = State::unborn(SessionId::new(Shard(0), [1; 16]));
    let mut spec = Spec::plain("m");
    spec.compaction = Some(mainstay_session::spec::Compaction::default());
    spec.reasoning.effort = Some("high".to_owned());
    spec.reasoning.summary = Some("auto".to_owned());
    known.spec = Arc::new(spec);
    for (body, expected) in cases {
        let got = command::update_session(&known, object(body.clone())).map(|command| match command {
            Some(Command::ChangeMetadata(metadata)) => format!("metadata {}", metadata.len()),
            Some(Command::ChangeEcho(echo)) => format!("echo {}", echo.len()),
            Some(Command::ChangeSpec(spec)) => {
                format!("spec {} {:?} {:?}", spec.model, spec.reasoning.effort, spec.reasoning.summary)
            }
            Some(Command::All(commands)) => format!("{} commands", commands.len()),
            None => String::new(),
            other => panic!("{other:?}"),
        });
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(got.map_err(|invalid| invalid.param), expected, "{body}");
    }
}
