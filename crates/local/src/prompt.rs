//! A request becomes the text that the model reads, in pieces: what the template wrote, which may hold special
//! tokens, and what others said, which may not. No foreign text is ever rendered: the template sees placeholders, so
//! that nobody can forge a role. Pure; `vocabulary` makes tokens of the pieces.

mod conversation;
mod foreign;
#[cfg(test)]
mod tests;

use mainstay_vocabulary::{
    inference::{Failure, FailureKind, Request},
    tool::FunctionTool,
};
use serde_json::{Value, json};

use self::{conversation::Conversation, foreign::Foreign};
use crate::template::{Template, to_python};

/// A stretch of the prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Written by the template: special tokens count.
    Template(String),
    /// Written by somebody else: special tokens are mere text.
    Foreign(String),
}

/// What models are told whose template knows no tools. The format is the one that `grammar` enforces.
const PREAMBLE: &str = "# Tools\n\nYou may call functions to help the user. These are their signatures:\n<tools>\n";

const PREAMBLE_END: &str = "</tools>\n\nTo call a function, answer with its name and arguments as JSON:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <arguments>}\n</tool_call>";

/// The whole prompt, up to where the model goes on.
pub(crate) fn pieces(template: &Template, request: &Request) -> Result<Vec<Piece>, Failure> {
    let mut foreign = Foreign::default();
    let tools: Vec<Value> = request.tools.iter().map(|tool| declared(tool, &mut foreign)).collect();
    let mut conversation = Conversation::new(template, &mut foreign);
    if let Some(instructions) = request.instructions.as_deref() {
        conversation.system(instructions);
    }
    if !template.shows_tools && !tools.is_empty() {
        conversation.raw_system(&preamble(&tools));
    }
    for item in &request.input {
        conversation.item(item)?;
    }
    let messages = conversation.messages();
    if messages.is_empty() {
        return Err(invalid("there is nothing to answer"));
    }
    let shown = if template.shows_tools && !tools.is_empty() { Value::Array(tools) } else { Value::Null };
    let text = template.render(&Value::Array(messages), &shown, true).map_err(|reason| invalid(&reason))?;
    let mut pieces = foreign.split(&text);
    if let Some(prefix) = request.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
        pieces.push(Piece::Foreign(prefix.to_owned()));
    }
    Ok(pieces)
}

fn preamble(tools: &[Value]) -> String {
    let lines: String = tools.iter().map(|tool| to_python(tool) + "\n").collect();
    format!("{PREAMBLE}{lines}{PREAMBLE_END}")
}

/// A tool as templates expect it.
fn declared(tool: &FunctionTool, foreign: &mut Foreign) -> Value {
    let mut function = json!({ "name": tool.name });
    if let Some(description) = &tool.description {
        function["description"] = json!(description);
    }
    let empty = || json!({ "type": "object", "properties": {} });
    function["parameters"] = tool.parameters.clone().map_or_else(empty, Value::Object);
    json!({ "type": "function", "function": foreign.json(&function) })
}

pub(crate) fn invalid(message: &str) -> Failure {
    Failure { kind: FailureKind::InvalidRequest, message: message.to_owned(), retry_after_ms: None }
}
