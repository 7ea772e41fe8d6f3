//! Tools of an agent. Functions go to the model; every other declared type is kept for echo and not run.

use std::sync::Arc;

use mainstay_session::Spec;
use mainstay_vocabulary::{
    Object,
    tool::{FunctionTool, ToolSource, Toolset},
};
use serde_json::{Value, json};

use crate::{
    fields::{Fields, Invalid},
    toolset,
};

/// Most tools of an agent.
const MAX_TOOLS: usize = 1_024;

/// Most bytes of all tools together as compact JSON; the vendor's limit.
const MAX_BYTES: usize = 3 << 20;

/// Longest name of a function; what model servers take.
const MAX_NAME: usize = 128;

/// Where `Spec::echo` keeps tools that are not functions: a list of `[index, tool]`.
const HOSTED: &str = "hosted_tools";

/// Tool types that are declared and echoed, but not run.
const NOT_RUN: [&str; 5] = ["tool_search", "programmatic_tool_calling", "web_search", "computer_use", "automations"];

/// Fields of an MCP transport that may hold secrets: never kept.
const SECRETS: [&str; 3] = ["authorization", "headers", "env"];

/// Replaces the tools of `spec`.
///
/// # Errors
/// The field that is wrong.
pub fn set(spec: &mut Spec, path: &str, list: Vec<Value>) -> Result<(), Invalid> {
    if list.len() > MAX_TOOLS || list.iter().map(|tool| tool.to_string().len()).sum::<usize>() > MAX_BYTES {
        return Err(Invalid::value(
            path,
            format!("'{path}' may hold {MAX_TOOLS} tools and {MAX_BYTES} bytes of JSON."),
        ));
    }
    let (mut functions, mut hosted) = (Vec::<FunctionTool>::new(), Vec::new());
    let mut toolsets: Vec<Toolset> = Vec::new();
    for (index, value) in list.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        let mut fields = Fields::at(&path, value.clone())?;
        let kind = fields.needed_text("type")?;
        if kind == "function" {
            let tool = function(fields)?;
            if functions.iter().any(|known| known.name == tool.name) {
                let at = format!("{path}.name");
                return Err(Invalid::value(&at, format!("Two functions are called '{}'.", tool.name)));
            }
            functions.push(tool);
        } else if kind == "mcp" {
            let toolset = server(fields, &value)?;
            if toolsets.iter().any(|known| known.label == toolset.label) {
                let at = format!("{path}.server_label");
                return Err(Invalid::value(&at, format!("Two servers have the label '{}'.", toolset.label)));
            }
            toolsets.push(toolset);
            hosted.push(json!([index, without_secrets(value)]));
        } else if NOT_RUN.contains(&kind.as_str()) {
            hosted.push(json!([index, without_secrets(value)]));
        } else {
            let at = fields.path("type");
            return Err(Invalid::value(&at, format!("Unknown tool type '{kind}'.")));
        }
    }
    spec.tools = Arc::from(functions);
    spec.toolsets = Arc::from(toolsets);
    spec.echo.shift_remove(HOSTED);
    if !hosted.is_empty() {
        spec.echo.insert(HOSTED.to_owned(), Value::Array(hosted));
    }
    Ok(())
}

/// An MCP server. What its calls need besides the operator's policy, nobody can say on this wire.
fn server(mut fields: Fields, value: &Value) -> Result<Toolset, Invalid> {
    let label = toolset::label(&mut fields, "server_label")?;
    let at = fields.path("transport");
    let transport = fields.take("transport").ok_or_else(|| Invalid::missing(&at))?;
    let mut transport = Fields::at(at, transport)?;
    match transport.choice("type", &["http", "stdio"])?.as_deref() {
        Some("stdio") => {
            let message = "Programs are started from the operator's configuration only ([[mcp]]); name the server as \
                           mainstay:NAME in an http transport.";
            return Err(Invalid::value(transport.path("type"), message));
        }
        Some(_) => {}
        None => return Err(Invalid::missing(transport.path("type"))),
    }
    let url = transport.needed_text("server_url")?;
    let url = toolset::address(url, transport.path("server_url"))?;
    if transport.text("authorization")?.is_some() {
        return Err(toolset::secret(transport.path("authorization")));
    }
    if fields.text("credential_id")?.is_some() {
        return Err(Invalid::unserved(fields.path("credential_id")));
    }
    let echo = without_secrets(value.clone()).as_object().cloned().unwrap_or_default();
    let mut read = toolset::mcp(label, url, echo);
    let sent = toolset::headers(&mut transport, "headers")?;
    if let ToolSource::Mcp { headers, .. } = &mut read.source {
        *headers = sent;
    }
    if let Some(allowed) = fields.take("allowed_tools") {
        read.allowed = toolset::names(allowed, &fields.path("allowed_tools"), "tool_names")?.0;
    }
    read.required = fields.flag("required")?.unwrap_or(false);
    Ok(read)
}

fn function(mut fields: Fields) -> Result<FunctionTool, Invalid> {
    let name = fields.needed_text("name")?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_name) {
        let at = fields.path("name");
        let message = format!("'{at}' must be 1 to {MAX_NAME} letters, digits, dots, dashes or underscores.");
        return Err(Invalid::value(at, message));
    }
    if fields.flag("async")?.unwrap_or(false) {
        return Err(Invalid::unserved(fields.path("async")));
    }
    let mut rest = Object::new();
    rest.insert("defer_loading".to_owned(), json!(fields.flag("defer_loading")?.unwrap_or(false)));
    let description = fields.text("description")?;
    let parameters = fields.object("parameters")?;
    let strict = fields.flag("strict")?;
    rest.extend(fields.rest());
    Ok(FunctionTool { name, description, parameters, strict, rest })
}

fn without_secrets(mut tool: Value) -> Value {
    if let Some(Value::Object(transport)) = tool.get_mut("transport") {
        for name in SECRETS {
            transport.shift_remove(name);
        }
    }
    tool
}

/// The tools as the client declared them, in their order.
pub fn list(spec: &Spec) -> Vec<Value> {
    let mut list: Vec<Value> = spec.tools.iter().map(declared).collect();
    for hosted in spec.echo.get(HOSTED).and_then(Value::as_array).into_iter().flatten() {
        let index = hosted.get(0).and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok());
        let index = index.unwrap_or(usize::MAX).min(list.len());
        list.insert(index, hosted.get(1).cloned().unwrap_or_default());
    }
    list
}

fn declared(tool: &FunctionTool) -> Value {
    let mut object = tool.rest.clone();
    object.insert("type".to_owned(), json!("function"));
    object.insert("name".to_owned(), json!(tool.name));
    object.insert("description".to_owned(), json!(tool.description.as_deref().unwrap_or_default()));
    object.insert("parameters".to_owned(), Value::Object(tool.parameters.clone().unwrap_or_default()));
    if let Some(strict) = tool.strict {
        object.insert("strict".to_owned(), json!(strict));
    }
    Value::Object(object)
}
