//! An agent's configuration: fields of a request into a `Spec`, a `Spec` into the fields of an object. A field that is
//! absent keeps what was there, an explicit null clears it.

use std::sync::Arc;

use mainstay_session::Spec;
use mainstay_vocabulary::{Object, tool::FunctionTool};
use serde_json::{Value, json};

use crate::fields::{Fields, Invalid};

/// Longest name of a model, bytes.
const MAX_MODEL: usize = 256;

/// Most tools of an agent; the vendor's limit.
const MAX_TOOLS: usize = 256;

/// Longest name of a tool, and longest system prompt and description of an agent, in characters.
const MAX_NAME: usize = 128;
pub(super) const MAX_TEXT: usize = 100_000;

const EFFORTS: [&str; 5] = ["low", "medium", "high", "xhigh", "max"];

/// Fields that configure a session's runs.
pub(super) const FIELDS: [&str; 7] =
    ["model", "system", "tools", "mcp_servers", "skills", "multiagent", "execution_identity"];

/// Changes `spec` as the fields of an agent object at `path` say.
///
/// # Errors
/// The field that is wrong or not served.
pub fn apply(spec: &mut Spec, path: &str, object: Object) -> Result<(), Invalid> {
    let (system, tools) = (object.contains_key("system"), object.contains_key("tools"));
    let mut fields = if path.is_empty() { Fields::root(object) } else { Fields::at(path, Value::Object(object))? };
    refuse_unserved(&mut fields)?;
    if let Some(model) = fields.take("model") {
        apply_model(spec, fields.path("model"), model)?;
    }
    if system {
        let text = text(&mut fields, "system", MAX_TEXT)?;
        spec.instructions = text.filter(|text| !text.is_empty()).map(Arc::from);
    }
    if tools {
        let at = fields.path("tools");
        let list = fields.list("tools", MAX_TOOLS)?.unwrap_or_default();
        spec.tools = Arc::from(read_tools(&at, list)?);
    }
    Ok(())
}

/// A text of at most `most` characters.
pub(super) fn text(fields: &mut Fields, name: &str, most: usize) -> Result<Option<String>, Invalid> {
    let text = fields.text(name)?;
    if text.as_ref().is_some_and(|text| text.chars().count() > most) {
        let at = fields.path(name);
        return Err(Invalid::value(&at, format!("'{at}' may have at most {most} characters.")));
    }
    Ok(text)
}

fn refuse_unserved(fields: &mut Fields) -> Result<(), Invalid> {
    for name in ["mcp_servers", "skills"] {
        if fields.list(name, usize::MAX)?.is_some_and(|list| !list.is_empty()) {
            return Err(Invalid::unserved(fields.path(name)));
        }
    }
    if fields.take("multiagent").is_some() {
        return Err(Invalid::unserved(fields.path("multiagent")));
    }
    if let Some(mut identity) = fields.fields("execution_identity")?
        && identity.needed_text("type")? != "service_account"
    {
        return Err(Invalid::unserved(identity.path("type")));
    }
    Ok(())
}

fn apply_model(spec: &mut Spec, path: String, value: Value) -> Result<(), Invalid> {
    let (name, mut options) = match value {
        Value::String(name) => (name, None),
        value => {
            let mut fields =
                Fields::at(path.clone(), value).map_err(|_| Invalid::kind(&path, "a string or an object"))?;
            (fields.needed_text("id")?, Some(fields))
        }
    };
    if name.is_empty() || name.len() > MAX_MODEL {
        return Err(Invalid::value(&path, format!("'{path}' must be 1 to {MAX_MODEL} bytes long.")));
    }
    spec.model = name;
    let Some(options) = &mut options else { return Ok(()) };
    if let Some(effort) = effort(options)? {
        spec.reasoning.effort = Some(effort);
    }
    if options.choice("speed", &["standard", "fast"])?.as_deref() == Some("fast") {
        return Err(Invalid::unserved(options.path("speed")));
    }
    // Where an inference may run is decided by the operator's rules, not here: asking for it must not be in vain.
    match options.take("inference_geo") {
        Some(_) => Err(Invalid::unserved(options.path("inference_geo"))),
        None => Ok(()),
    }
}

/// A level as text or as `{"type": level}`.
fn effort(fields: &mut Fields) -> Result<Option<String>, Invalid> {
    match fields.get("effort") {
        Some(Value::Object(_)) => match fields.fields("effort")? {
            Some(mut effort) => effort.choice("type", &EFFORTS),
            None => Ok(None),
        },
        _ => fields.choice("effort", &EFFORTS),
    }
}

fn read_tools(path: &str, list: Vec<Value>) -> Result<Vec<FunctionTool>, Invalid> {
    let mut tools = Vec::<FunctionTool>::new();
    for (index, value) in list.into_iter().enumerate() {
        let mut fields = Fields::at(format!("{path}[{index}]"), value)?;
        if fields.needed_text("type")? != "custom" {
            return Err(Invalid::unserved(fields.path("type")));
        }
        let tool = custom(&mut fields)?;
        if tools.iter().any(|known| known.name == tool.name) {
            return Err(Invalid::value(fields.path("name"), format!("Two tools are called '{}'.", tool.name)));
        }
        tools.push(tool);
    }
    Ok(tools)
}

fn custom(fields: &mut Fields) -> Result<FunctionTool, Invalid> {
    let name = fields.needed_text("name")?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_name) {
        let at = fields.path("name");
        let message = format!("'{at}' must be 1 to {MAX_NAME} letters, digits, dashes or underscores.");
        return Err(Invalid::value(at, message));
    }
    let description = Some(fields.needed_text("description")?);
    let at = fields.path("input_schema");
    let schema = fields.object("input_schema")?.ok_or_else(|| Invalid::missing(&at))?;
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err(Invalid::value(format!("{at}.type"), format!("'{at}.type' must be 'object'.")));
    }
    Ok(FunctionTool { name, description, parameters: Some(schema), strict: None, rest: Object::new() })
}

/// The fields of an agent object that come from its configuration. Tools that another wire declared and that nobody
/// runs are not shown.
pub fn render(spec: &Spec) -> Object {
    let effort = spec.reasoning.effort.as_deref().filter(|effort| EFFORTS.contains(effort));
    let effort = effort.map(|effort| json!({ "type": effort }));
    let mut object = Object::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("model", json!({ "id": spec.model, "effort": effort, "speed": "standard", "inference_geo": null }));
    put("system", json!(spec.instructions));
    put("tools", spec.tools.iter().map(declared).collect());
    put("mcp_servers", json!([]));
    put("skills", json!([]));
    put("multiagent", Value::Null);
    put("execution_identity", json!({ "type": "service_account" }));
    object
}

fn declared(tool: &FunctionTool) -> Value {
    let mut schema = tool.parameters.clone().unwrap_or_default();
    schema.entry("type").or_insert_with(|| json!("object"));
    json!({
        "type": "custom", "name": tool.name, "description": tool.description.as_deref().unwrap_or_default(),
        "input_schema": schema,
    })
}
