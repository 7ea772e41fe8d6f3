//! What a model may write, as a grammar for `llguidance`: text, or text and then calls, each call valid JSON of its
//! function's schema. Pure; knows nothing of tokens.

mod schema;
#[cfg(test)]
mod tests;

use mainstay_vocabulary::{
    Item,
    inference::{Failure, Request, TextFormat},
    tool::{FunctionTool, ToolChoice},
};
use serde_json::{Value, json};

use crate::{prompt::invalid, template::CALL_MARKER};

/// Most functions on offer at once.
const MAX_TOOLS: usize = 128;

/// Longest schemas of all functions together, bytes of JSON.
const MAX_SCHEMA_BYTES: usize = 256 * 1024;

/// Most calls of one inference; a model that makes more runs in circles.
const MAX_CALLS: usize = 8;

/// Text without the marker of a call is any of its kind but this.
const MARKED: &str = "/(?s:.*)<tool_call>(?s:.*)/";

/// Any text.
const ANY: &str = "(?s:.*)";

/// An answer to what a function gave: it begins with a word, a number, a list or a heading. Small models would repeat the call for ever, in a block of
/// code or as an object; who means to call again writes the marker.
const ANSWER: &str = r"\s{0,2}([\p{L}\p{N}*#](?s:.*))?";

/// How a small model begins a call when it forgets the marker: as an object, in a block of code or not.
const BARE_HEAD: &str = r#"(```(json)?\s{1,2})?\{\s{0,8}"name":\s?"#;

/// And how it ends one.
const BARE_TAIL: &str = r"/\s{0,4}\}(\s{0,2}```)?/";

/// A grammar in Lark's notation; `None` where anything may be written.
pub(crate) fn grammar(request: &Request) -> Result<Option<String>, Failure> {
    let tools = callable(request)?;
    let text = text_rule(&request.text)?;
    if tools.is_empty() {
        return Ok(match text {
            Some(rule) => Some(format!("start: {rule}\n")),
            // Tools are shown but must not be called: the model must not even write the marker.
            None if !request.tools.is_empty() => {
                Some(format!("start: PLAIN\nPLAIN: /{}/ & ~{MARKED}\n", any_text(request)))
            }
            None => None,
        });
    }
    let calls = match request.parallel_tool_calls {
        Some(false) => "call".to_owned(),
        _ => format!("call (\"\\n{CALL_MARKER}\" call){{0,{}}}", MAX_CALLS - 1),
    };
    let bare = bare_names(request)?;
    let mut grammar = match (must_call(request), text) {
        (true, _) => format!("start: \"{CALL_MARKER}\" {calls}\n"),
        (false, Some(rule)) => format!("start: json | \"{CALL_MARKER}\" {calls}\njson: {rule}\n"),
        (false, None) => spoken(request, &calls, &bare),
    };
    let names: Vec<String> = (0..tools.len()).map(|index| format!("tool_{index}")).collect();
    grammar.push_str(&format!("call: \"\\n\" ({}) \"\\n</tool_call>\"\n", names.join(" | ")));
    let mut bytes = 0;
    for (name, tool) in names.iter().zip(&tools) {
        let schema = schema::bounded(&parameters(tool), tool.strict == Some(true));
        bytes += schema.len();
        if bytes > MAX_SCHEMA_BYTES {
            return Err(invalid(&format!("the tools' schemas are longer than {MAX_SCHEMA_BYTES} bytes")));
        }
        let head = Value::from(head(&tool.name)).to_string();
        grammar.push_str(&format!("{name}: {head} {name}_arguments \"}}\"\n{name}_arguments: %json {schema}\n"));
        if bare.contains(&tool.name) {
            let head = format!("/{BARE_HEAD}\"{}\",\\s{{0,8}}\"arguments\":\\s?/", tool.name);
            grammar.push_str(&format!("bare_{}: {head} {name}_arguments {BARE_TAIL}\n", tool.name));
        }
    }
    Ok(Some(grammar))
}

/// The rules for text that calls may follow. Text up to the marker is one lexeme that ends with the marker, so that the
/// lexer need not look back. Text that has become a bare call is no text any more.
fn spoken(request: &Request, calls: &str, bare: &[String]) -> String {
    if bare.is_empty() {
        let text = any_text(request);
        return format!("start: PLAIN | lead {calls}\nlead[lazy]: /{text}<tool_call>/\nPLAIN: /{text}/ & ~{MARKED}\n");
    }
    let rules: Vec<String> = bare.iter().map(|name| format!("bare_{name}")).collect();
    let begun = format!("/{BARE_HEAD}\"({})\"{ANY}/", bare.join("|"));
    format!(
        "start: PLAIN | lead {calls} | {}\nlead[lazy]: LEAD\nLEAD: /{ANY}<tool_call>/ & ~{begun}\nPLAIN: /{ANY}/ & ~{MARKED} & ~{begun}\n",
        rules.join(" | "),
    )
}

/// What text is where no call is meant.
fn any_text(request: &Request) -> &'static str {
    if answers(request) { ANSWER } else { ANY }
}

/// Whether the model is to say something to what a function gave.
fn answers(request: &Request) -> bool {
    let is_result = request.input.last().is_some_and(|last| matches!(&**last, Item::ToolResult { .. }));
    is_result && request.prefix.is_none()
}

/// The functions whose calls are known without the marker: where text may be written, from its start, and where the
/// name means nothing but itself in a grammar.
pub(crate) fn bare_names(request: &Request) -> Result<Vec<String>, Failure> {
    if must_call(request) || request.text != TextFormat::Text || request.prefix.is_some() || answers(request) {
        return Ok(Vec::new());
    }
    let is_plain = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.chars().all(|character| matches!(character, 'a'..='z' | '0'..='9' | '_'))
    };
    let names = callable(request)?.into_iter().map(|tool| tool.name.clone());
    Ok(names.filter(|name| is_plain(name)).collect())
}

/// What comes before a call's arguments.
fn head(name: &str) -> String {
    format!("{{\"name\": {}, \"arguments\": ", Value::from(name))
}

/// Whether a call may be written at all.
pub(crate) fn may_call(request: &Request) -> bool {
    !request.tools.is_empty() && request.tool_choice != ToolChoice::None
}

fn must_call(request: &Request) -> bool {
    matches!(
        request.tool_choice,
        ToolChoice::Required | ToolChoice::Function(_) | ToolChoice::Allowed { required: true, .. }
    )
}

/// The functions that may be called.
fn callable(request: &Request) -> Result<Vec<&FunctionTool>, Failure> {
    if request.tools.len() > MAX_TOOLS {
        return Err(invalid(&format!("more than {MAX_TOOLS} tools")));
    }
    let tools: Vec<&FunctionTool> = match &request.tool_choice {
        ToolChoice::None => return Ok(Vec::new()),
        ToolChoice::Auto | ToolChoice::Required => request.tools.iter().collect(),
        ToolChoice::Function(name) => request.tools.iter().filter(|tool| tool.name == *name).collect(),
        ToolChoice::Allowed { names, .. } => request.tools.iter().filter(|tool| names.contains(&tool.name)).collect(),
    };
    match (&request.tool_choice, tools.is_empty() && must_call(request)) {
        (ToolChoice::Function(name), true) => {
            Err(invalid(&format!("the tool `{name}` that must be called is unknown")))
        }
        (_, true) => Err(invalid("a tool must be called and none is on offer")),
        _ => Ok(tools),
    }
}

fn parameters(tool: &FunctionTool) -> Value {
    tool.parameters.clone().map_or_else(|| json!({ "type": "object", "properties": {} }), Value::Object)
}

/// The rule for the text of an answer; `None` where anything goes.
fn text_rule(format: &TextFormat) -> Result<Option<String>, Failure> {
    let schema = match format {
        TextFormat::Text => return Ok(None),
        TextFormat::JsonObject => schema::bounded(&json!({ "type": "object" }), false),
        TextFormat::JsonSchema { schema, strict, .. } => schema::bounded(schema, *strict == Some(true)),
    };
    if schema.len() > MAX_SCHEMA_BYTES {
        return Err(invalid(&format!("the schema of the text is longer than {MAX_SCHEMA_BYTES} bytes")));
    }
    Ok(Some(format!("%json {schema}")))
}
