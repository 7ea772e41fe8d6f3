//! Stored prompts by id. A prompt is a saved agent: what its version says stands wherever the request says nothing, and
//! `{{name}}` in its instructions is a variable's value.

use mainstay_session::{Spec, registry::Version, spec::Limits};
use mainstay_vocabulary::{AgentId, Object};
use serde_json::{Value, json};

use super::object::format_json;
use crate::{
    agents,
    fields::{Fields, Invalid},
};

/// Most variables of a prompt.
const MAX_VARIABLES: usize = 64;
/// Longest name of a variable, bytes.
const MAX_NAME: usize = 64;
/// Most spaces around a name in its braces.
const MAX_SPACES: usize = 16;
/// Most bytes of all values together: they stand in the instructions and are kept with every turn for echo.
const MAX_VALUES: usize = 64 * 1_024;

/// What a request names under `prompt`.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// The saved agent.
    pub agent: AgentId,
    /// The number of its version; `None` names the latest.
    pub number: Option<u32>,
    /// The id as the client wrote it.
    id: String,
    /// Values by name: texts.
    variables: Vec<(String, String)>,
    /// The same as they came.
    sent: Value,
}

/// Takes the reference out of a request's body, where there is one.
///
/// # Errors
/// Names the field that is wrong.
pub fn take(body: &mut Object) -> Result<Option<Reference>, Invalid> {
    let Some(prompt) = body.shift_remove("prompt").filter(|prompt| !prompt.is_null()) else { return Ok(None) };
    let mut fields = Fields::at("prompt", prompt)?;
    let id = fields.needed_text("id")?;
    let agent = agents::command::read_agent_id(&id).map_err(|_| not_found())?;
    let number = match fields.text("version")? {
        None => None,
        Some(version) => Some(version.parse().ok().filter(|number| *number > 0).ok_or_else(version_not_found)?),
    };
    let sent = fields.object("variables")?;
    let variables = read_variables(sent.clone().unwrap_or_default())?;
    if let Some(name) = fields.rest().keys().next() {
        return Err(Invalid::unserved(format!("prompt.{name}")));
    }
    Ok(Some(Reference { agent, number, id, variables, sent: json!(sent) }))
}

/// No such prompt, or not the caller's.
pub fn not_found() -> Invalid {
    let message = "There is no such prompt. A prompt is a saved agent: POST /v1/agents makes one.";
    Invalid { code: "prompt_not_found", ..Invalid::value("prompt.id", message) }
}

/// The prompt has no such version.
pub fn version_not_found() -> Invalid {
    let message = "The prompt has no such version. Versions are numbered from 1.";
    Invalid { code: "prompt_not_found", ..Invalid::value("prompt.version", message) }
}

fn read_variables(object: Object) -> Result<Vec<(String, String)>, Invalid> {
    if object.len() > MAX_VARIABLES {
        let message = format!("'prompt.variables' may have at most {MAX_VARIABLES} entries.");
        return Err(Invalid::value("prompt.variables", message));
    }
    let mut variables = Vec::with_capacity(object.len());
    for (name, value) in object {
        let path = format!("prompt.variables.{name}");
        variables.push((name, read_value(path, value)?));
    }
    if variables.iter().map(|(_, value)| value.len()).sum::<usize>() > MAX_VALUES {
        let message = format!("The values of 'prompt.variables' take more than {MAX_VALUES} bytes.");
        return Err(Invalid::value("prompt.variables", message));
    }
    Ok(variables)
}

/// A text, or a part that holds one. Instructions have no place for pictures and files: those belong to the input.
fn read_value(path: String, value: Value) -> Result<String, Invalid> {
    let mut part = match value {
        Value::String(text) => return Ok(text),
        Value::Object(_) => Fields::at(path.clone(), value)?,
        _ => return Err(Invalid::kind(path, "a string or an input_text")),
    };
    match part.needed_text("type")?.as_str() {
        "input_text" => part.needed_text("text"),
        "input_image" | "input_file" => {
            let message = format!("'{path}' stands in instructions, which hold text only; put it into 'input'.");
            Err(Invalid { code: "unsupported_parameter", ..Invalid::value(path, message) })
        }
        _ => Err(Invalid::value(part.path("type"), "Expected one of input_text, input_image, input_file.")),
    }
}

impl Reference {
    /// Puts what the prompt says wherever `body` says nothing. Gives what a Response shows of it.
    ///
    /// # Errors
    /// A variable has no value or no place.
    pub fn fill(&self, version: &Version, body: &mut Object) -> Result<Value, Invalid> {
        let spec = &*version.definition.spec;
        let mut said = defaults(spec);
        said.insert("instructions".to_owned(), json!(self.instructions(spec.instructions.as_deref())?));
        for (name, value) in said {
            if body.get(&name).is_none_or(Value::is_null) {
                body.insert(name, value);
            }
        }
        Ok(json!({ "id": self.id, "variables": self.sent, "version": version.number.to_string() }))
    }

    /// The instructions with each variable's value in its place. A value is not looked through for variables.
    fn instructions(&self, template: Option<&str>) -> Result<Option<String>, Invalid> {
        let mut filled = String::new();
        let mut used = vec![false; self.variables.len()];
        let mut rest = template.unwrap_or_default();
        while let Some((before, name, after)) = next_variable(rest) {
            let known = self.variables.iter().position(|(known, _)| known == name);
            let index = known.ok_or_else(|| Invalid::missing(format!("prompt.variables.{name}")))?;
            used[index] = true;
            filled.push_str(before);
            filled.push_str(&self.variables[index].1);
            rest = after;
        }
        filled.push_str(rest);
        match self.variables.iter().zip(used).find(|(_, used)| !used) {
            Some(((name, _), _)) => {
                let message = format!("The prompt has no variable '{name}'.");
                Err(Invalid::value(format!("prompt.variables.{name}"), message))
            }
            None => Ok(template.map(|_| filled)),
        }
    }
}

/// The text before the next `{{name}}`, the name, and the text after it.
fn next_variable(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(open) = text[from..].find("{{").map(|found| from + found) {
        let inside = &text[open + 2..];
        // No further than a name reaches: a text full of braces must not be read once for each of them.
        let close = inside.bytes().take(MAX_NAME + MAX_SPACES).position(|byte| byte == b'}').unwrap_or(0);
        let name = inside[..close].trim();
        if is_name(name) && inside[close..].starts_with("}}") {
            return Some((&text[..open], name, &inside[close + 2..]));
        }
        // Something else that begins with braces; in `{{{name}}` the variable begins one brace later.
        from = open + 1;
    }
    None
}

fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(is_letter)
}

/// What a saved agent says, in the words of this wire.
fn defaults(spec: &Spec) -> Object {
    let mut said = Object::new();
    let mut put = |name: &str, value: Value| said.insert(name.to_owned(), value);
    put("model", json!(spec.model));
    put("tools", Value::Array(agents::tool::list(spec)));
    put("reasoning", json!({ "effort": spec.reasoning.effort, "summary": spec.reasoning.summary }));
    put("text", json!({ "format": format_json(&spec.text) }));
    if let Some(tier) = &spec.service_tier {
        put("service_tier", json!(tier));
    }
    said
}

/// The bounds of a turn that a prompt begins: its agent's, never wider than the operator's.
pub fn limits(version: &Version, operator: Limits) -> Limits {
    agents::config::limits(&version.definition.spec, operator)
}
