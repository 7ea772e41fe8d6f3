//! The OpenAPI document of all that is served, made from `operation`'s table and the schemas beside it. Says what this
//! server takes and gives, not all that the vendors define. Start with `document`.

mod agents;
mod automations;
mod files;
mod gateway;
mod managed;
mod native;
mod operation;
mod parameter;
mod responses;
mod schema;

use serde_json::{Map, Value, json};

pub use self::operation::{Operation, operations};
use self::{
    operation::Answer,
    parameter::{PARAMETERS, Parameter},
    schema::reference,
};

/// Where the wires are; paths of the table are relative to each.
pub const BASES: [&str; 2] = ["/v1", "/openai/v1"];

/// The document as indented JSON, without a line break at the end.
pub fn document() -> String {
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Mainstay",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A stateful runtime for AI agents. Sessions, responses and conversations are durable: what \
                            was accepted is on disk, what was shown can be read again from any cursor.",
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "servers": BASES.map(|base| json!({ "url": base })),
        "security": [{ "bearer": [] }, { "apiKey": [] }],
        "tags": [
            { "name": "Agents", "description": "Agents and their sessions." },
            { "name": "Responses", "description": "Stateful responses." },
            { "name": "Conversations", "description": "Items that responses append to." },
            { "name": "Files", "description": "Stored files, for conversations to refer to." },
            { "name": "Gateway", "description": "Inferences without a session, any format to any upstream." },
            { "name": "Claude Managed Agents", "description": "Anthropic's agents and sessions; the same journals." },
            { "name": "Models", "description": "What may be asked for." },
            { "name": "Native", "description": "What no vendor's API has: journals, costs, forks." },
            { "name": "Health", "description": "Whether the server lives; no key needed." },
        ],
        "paths": paths(),
        "components": {
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "apiKey": { "type": "apiKey", "in": "header", "name": "x-api-key" },
            },
            "parameters": parameters(),
            "responses": { "Error": {
                "description": "Refused or failed; nothing has changed unless the message says otherwise.",
                "content": { "application/json": { "schema": reference("Error") } },
            }, "AnthropicError": {
                "description": "The same in the shape of Anthropic's APIs.",
                "content": { "application/json": { "schema": reference("AnthropicError") } },
            }},
            "schemas": schemas(),
        },
    });
    // A document of texts and lists always has a JSON form.
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

fn schemas() -> Map<String, Value> {
    let all = schema::common()
        .into_iter()
        .chain(agents::schemas())
        .chain(automations::schemas())
        .chain(responses::schemas())
        .chain(native::schemas());
    let all = all.chain(files::schemas()).chain(gateway::schemas()).chain(managed::schemas());
    all.map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn parameters() -> Map<String, Value> {
    let shown = |parameter: &Parameter| {
        json!({
            "name": parameter.name, "in": parameter.place, "required": false, "description": parameter.description,
            "schema": (parameter.schema)(),
        })
    };
    PARAMETERS.iter().map(|parameter| (parameter.component.to_owned(), shown(parameter))).collect()
}

fn paths() -> Map<String, Value> {
    let mut paths = Map::new();
    for operation in operations() {
        let path = paths.entry(operation.path).or_insert_with(|| path_item(operation));
        path[operation.method] = shown(operation);
    }
    paths
}

/// What the operations of a path have in common: its parameters, and its own base where it has one.
fn path_item(operation: &Operation) -> Value {
    let mut item = Map::new();
    if operation.is_open || operation.is_whole {
        item.insert("servers".to_owned(), json!([{ "url": "/" }]));
    }
    let names: Vec<_> = operation.path_parameters().collect();
    if !names.is_empty() {
        let parameter =
            |name: &&str| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
        item.insert("parameters".to_owned(), names.iter().map(parameter).collect());
    }
    Value::Object(item)
}

fn shown(operation: &Operation) -> Value {
    let mut shown = json!({
        "operationId": operation.id, "tags": [operation.tag], "summary": operation.summary,
    });
    if operation.is_open {
        shown["security"] = json!([]);
    }
    if !operation.parameters.is_empty() {
        let named = |name: &&str| json!({ "$ref": format!("#/components/parameters/{name}") });
        shown["parameters"] = operation.parameters.iter().map(named).collect();
    }
    let media_type = if operation.is_form { "multipart/form-data" } else { "application/json" };
    if let Some(body) = operation.body {
        let content = json!({ media_type: { "schema": reference(body) } });
        shown["requestBody"] = json!({ "required": operation.is_form || is_needed(body), "content": content });
    }
    shown["responses"] = answers(&operation.answer, operation.errors);
    shown
}

/// Whether a body must hold anything: none counts as an empty object.
fn is_needed(body: &str) -> bool {
    let all = schemas();
    all.get(body).is_some_and(|schema| forbids_none(schema, &all))
}

/// Whether a schema forbids an object that holds nothing.
fn forbids_none(schema: &Value, all: &Map<String, Value>) -> bool {
    let of = |name: &str| schema[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let forbids = |schema: &Value| forbids_none(schema, all);
    let referred = schema["$ref"].as_str().and_then(|path| all.get(path.rsplit('/').next()?));
    let alternatives = of("anyOf");
    !of("required").is_empty()
        || of("allOf").iter().any(forbids)
        || !alternatives.is_empty() && alternatives.iter().all(forbids)
        || referred.is_some_and(forbids)
}

/// Events whose streams end with a frame of `[DONE]`, as OpenAI's do.
const MARKED: [&str; 2] = ["ResponseEvent", "ChatCompletionChunk"];

/// A frame of an event stream; `data` is the event as JSON.
fn frame(event: &str) -> Value {
    let mut data =
        json!({ "type": "string", "contentMediaType": "application/json", "contentSchema": reference(event) });
    if MARKED.contains(&event) {
        data = json!({ "anyOf": [{ "const": "[DONE]" }, data] });
    }
    let text = json!({ "type": "string" });
    json!({ "type": "object", "required": ["data"], "properties": { "event": text, "id": text, "data": data } })
}

fn answers(answer: &Answer, errors: &str) -> Value {
    let (status, content) = match answer {
        Answer::Json(name) => ("200", json!({ "application/json": { "schema": reference(name) } })),
        Answer::Events(name) => ("200", json!({ "text/event-stream": { "schema": frame(name) } })),
        Answer::JsonOrEvents(name, event) => (
            "200",
            json!({
                "application/json": { "schema": reference(name) }, "text/event-stream": { "schema": frame(event) },
            }),
        ),
        Answer::Text => ("200", json!({ "text/plain": { "schema": { "type": "string" } } })),
        Answer::Content => ("200", json!({ "application/octet-stream": { "schema": { "type": "string" } } })),
        Answer::Accepted => ("202", Value::Null),
    };
    let description = if status == "202" { "Accepted: it is on disk." } else { "Done." };
    let mut good = json!({ "description": description });
    if !content.is_null() {
        good["content"] = content;
    }
    json!({ status: good, "default": { "$ref": format!("#/components/responses/{errors}") } })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_committed_document_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(committed.trim_end() == document(), "docs/openapi.json is old: run `cargo xtask openapi`");
    }

    #[test]
    fn operations_are_told_apart() {
        let ids: BTreeSet<_> = operations().map(|operation| operation.id).collect();
        let places: BTreeSet<_> = operations().map(|operation| (operation.method, operation.path)).collect();
        assert_eq!((ids.len(), places.len()), (operations().count(), operations().count()));
    }

    #[test]
    fn every_reference_has_its_target_and_every_component_its_use() {
        let document: Value = serde_json::from_str(&document()).unwrap();
        let mut named = BTreeSet::new();
        references(&document, &mut named);
        for name in &named {
            assert!(document.pointer(&name[1..]).is_some(), "{name}");
        }
        for kind in ["schemas", "parameters", "responses"] {
            for name in document["components"][kind].as_object().unwrap().keys() {
                assert!(named.contains(&format!("#/components/{kind}/{name}")), "nobody uses {kind} {name}");
            }
        }
    }

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
}
