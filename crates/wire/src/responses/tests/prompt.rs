//! Stored prompts: what a reference may hold, and what a version says where the request does not.

use std::sync::Arc;

use mainstay_session::{
    Spec,
    registry::{AgentDefinition, Version},
    spec::Limits,
};
use mainstay_vocabulary::{AgentId, Object, Sequence, SessionId, Shard, Timestamp};
use serde_json::{Value, json};

use crate::responses::{CreateResponse, prompt};

fn agent() -> AgentId {
    AgentId { session: SessionId::new(Shard(0), [7; 16]), sequence: Sequence(2), ordinal: 0 }
}

fn version(agent_fields: Value) -> Version {
    let mut spec = Spec::plain("kept-model");
    crate::agents::config::apply(&mut spec, "", object(agent_fields)).unwrap();
    let definition = AgentDefinition { name: None, description: None, spec: Arc::new(spec), metadata: Object::new() };
    let at = Timestamp(0);
    let archived_at = None;
    Version { agent: agent(), number: 3, saved: Sequence(5), definition, created_at: at, saved_at: at, archived_at }
}

fn object(value: Value) -> Object {
    let Value::Object(object) = value else { panic!("{value}") };
    object
}

/// Reads `body` with `variables` for a prompt of these instructions.
fn filled(instructions: &str, variables: Value) -> Result<String, (String, &'static str)> {
    let mut body = object(json!({ "prompt": { "id": format!("agent_{}", agent()), "variables": variables } }));
    let reference = prompt::take(&mut body).map_err(|error| (error.param, error.code))?.unwrap();
    let known = version(json!({ "instructions": instructions }));
    reference.fill(&known, &mut body).map_err(|error| (error.param, error.code))?;
    Ok(body["instructions"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn variables_are_put_in_their_places() {
    for (instructions, expected) in [
        ("Speak {{language}}.", "Speak French."),
        ("{{ language }}, {{language}}!", "French, French!"),
        ("{{{language}}} and {{ not it", "{French} and {{ not it"),
        ("{{a b}} {{language}} {{}}", "{{a b}} French {{}}"),
        ("{{\u{e9}}} {{language}}", "{{\u{e9}}} French"),
    ] {
        assert_eq!(filled(instructions, json!({ "language": "French" })).as_deref(), Ok(expected), "{instructions}");
    }
    let part = json!({ "x": { "type": "input_text", "text": "{{y}}" } });
    assert_eq!(filled("{{x}}", part).as_deref(), Ok("{{y}}"), "a value is not looked through");
    assert_eq!(filled("no variables", Value::Null).as_deref(), Ok("no variables"));
}

#[test]
fn braces_without_end_are_read_once() {
    let text = "{".repeat(2_000_000) + "}}";
    assert_eq!(filled(&text, json!({})), Ok(text));
}

#[test]
fn what_has_no_place_or_no_value_is_named() {
    let image = json!({ "x": { "type": "input_image", "image_url": "https://x" } });
    let long = "x".repeat(70_000);
    let many: Object = (0..65).map(|number| (format!("v{number}"), json!("x"))).collect();
    for (variables, param, code) in [
        (json!({}), "prompt.variables.x", "missing_required_parameter"),
        (json!({ "x": "1", "y": "2" }), "prompt.variables.y", "invalid_value"),
        (json!({ "x": 1 }), "prompt.variables.x", "invalid_type"),
        (json!([]), "prompt.variables", "invalid_type"),
        (image, "prompt.variables.x", "unsupported_parameter"),
        (json!({ "x": { "type": "input_text" } }), "prompt.variables.x.text", "missing_required_parameter"),
        (json!({ "x": { "type": "sound" } }), "prompt.variables.x.type", "invalid_value"),
        (json!({ "x": long }), "prompt.variables", "invalid_value"),
        (Value::Object(many), "prompt.variables", "invalid_value"),
    ] {
        assert_eq!(filled("{{x}}", variables.clone()), Err((param.to_owned(), code)), "{variables}");
    }
    let id = format!("agent_{}", agent());
    for (reference, param, code) in [
        (json!("agent_1"), "prompt", "invalid_type"),
        (json!({}), "prompt.id", "missing_required_parameter"),
        (json!({ "id": "pmpt_1" }), "prompt.id", "prompt_not_found"),
        (json!({ "id": id, "version": "0" }), "prompt.version", "prompt_not_found"),
        (json!({ "id": id, "version": "newest" }), "prompt.version", "prompt_not_found"),
        (json!({ "id": id, "version": 2 }), "prompt.version", "invalid_type"),
        (json!({ "id": id, "label": "x" }), "prompt.label", "unsupported_parameter"),
    ] {
        let error = prompt::take(&mut object(json!({ "prompt": reference }))).unwrap_err();
        assert_eq!((error.param.as_str(), error.code), (param, code), "{reference}");
    }
}

#[test]
fn a_request_says_more_than_its_prompt() {
    let known = version(json!({
        "instructions": "Be {{how}}.", "reasoning": { "effort": "high" }, "service_tier": "flex",
        "text": { "format": { "type": "json_schema", "schema": { "type": "object" } } },
        "tools": [{ "type": "function", "name": "f", "description": "d", "parameters": {} }, { "type": "web_search" }],
        "limits": { "max_steps": 3 },
    }));
    let reference = json!({ "id": format!("agent_{}", agent()), "version": null, "variables": { "how": "brief" } });
    let read = |more: Value| {
        let mut body = object(json!({ "prompt": reference, "input": "hi" }));
        body.extend(object(more));
        let found = prompt::take(&mut body).unwrap().unwrap();
        assert_eq!((found.agent, found.number), (agent(), None));
        let shown = found.fill(&known, &mut body).unwrap();
        assert_eq!(shown["version"], "3", "what was taken is shown, so that it can be asked for again");
        assert_eq!(shown["variables"], json!({ "how": "brief" }));
        CreateResponse::read(body, prompt::limits(&known, Limits::default())).unwrap()
    };
    let spec = read(json!({})).spec;
    assert_eq!((spec.model.as_str(), spec.instructions.as_deref()), ("kept-model", Some("Be brief.")));
    assert_eq!((spec.reasoning.effort.as_deref(), spec.service_tier.as_deref()), (Some("high"), Some("flex")));
    assert_eq!((spec.tools.len(), spec.tools[0].name.as_str(), spec.limits.max_steps), (1, "f", 3));
    assert!(matches!(spec.text, mainstay_vocabulary::inference::TextFormat::JsonSchema { .. }));
    assert_eq!(spec.extra, None, "nothing goes upstream that nobody asked for");
    let own = json!({
        "model": "other", "instructions": "Be long.", "tools": [], "service_tier": "priority",
        "reasoning": { "effort": "low" }, "text": { "format": { "type": "text" } }, "temperature": null,
    });
    let spec = read(own).spec;
    assert_eq!((spec.model.as_str(), spec.instructions.as_deref()), ("other", Some("Be long.")));
    assert_eq!((spec.reasoning.effort.as_deref(), spec.service_tier.as_deref()), (Some("low"), Some("priority")));
    assert!(spec.tools.is_empty());
}
