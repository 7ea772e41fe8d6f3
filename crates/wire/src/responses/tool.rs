//! Tools and `tool_choice`, both ways. Function tools are offered to the model; every other declared type is kept for
//! echo and not run, because refusing it breaks real clients.

use std::sync::Arc;

use mainstay_vocabulary::{
    Object,
    tool::{ApprovalRule, FunctionTool, ToolChoice, ToolSource, Toolset},
};
use serde_json::{Value, json};

use crate::{
    fields::{Fields, Invalid},
    toolset,
};

/// Most declared tools: each is sent with every inference.
pub const MAX_TOOLS: usize = 512;

/// What a request says about tools.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tools {
    /// Functions.
    pub functions: Arc<[FunctionTool]>,
    /// What the runtime runs.
    pub toolsets: Arc<[Toolset]>,
    /// Whether and which to call.
    pub choice: ToolChoice,
    /// `tools` and `tool_choice` as sent, where ours do not say it all.
    pub echo: Object,
}

/// Reads `tools` and `tool_choice`.
///
/// # Errors
/// Names what is wrong; a choice that no function can meet is refused.
pub fn read(fields: &mut Fields) -> Result<Tools, Invalid> {
    let declared = fields.list("tools", MAX_TOOLS)?.unwrap_or_default();
    let mut tools = Tools::default();
    let mut functions: Vec<FunctionTool> = Vec::new();
    let mut toolsets: Vec<Toolset> = Vec::new();
    for (index, value) in declared.iter().enumerate() {
        let path = format!("tools[{index}]");
        if value.get("type").is_some_and(|kind| kind == "mcp") {
            let toolset = read_server(value.clone(), &path)?;
            if toolsets.iter().any(|known| known.label == toolset.label) {
                let message = format!("Two servers have the label '{}'.", toolset.label);
                return Err(Invalid::value(format!("{path}.server_label"), message));
            }
            toolsets.push(toolset);
            continue;
        }
        let Some(function) = read_tool(value, &path)? else { continue };
        if functions.iter().any(|known| known.name == function.name) {
            let message = format!("The function '{}' is declared twice.", function.name);
            return Err(Invalid::value(format!("{path}.name"), message));
        }
        functions.push(function);
    }
    if functions.len() < declared.len() {
        tools.echo.insert("tools".to_owned(), Value::Array(declared));
    }
    tools.functions = Arc::from(functions);
    tools.toolsets = Arc::from(toolsets);
    if let Some(choice) = fields.take("tool_choice") {
        read_choice(choice, &mut tools)?;
    }
    Ok(tools)
}

/// An MCP server. All its calls are to be approved unless the client says otherwise, as with the vendor.
fn read_server(value: Value, path: &str) -> Result<Toolset, Invalid> {
    let echo = value.as_object().cloned().unwrap_or_default();
    let mut fields = Fields::at(path, value)?;
    let label = toolset::label(&mut fields, "server_label")?;
    if fields.text("authorization")?.is_some() {
        return Err(toolset::secret(fields.path("authorization")));
    }
    let server = match (fields.text("server_url")?, fields.text("connector_id")?) {
        (Some(url), None) => toolset::address(url, fields.path("server_url"))?,
        (None, Some(name)) => format!("mainstay:{}", name.trim_start_matches("mainstay:")),
        (Some(_), Some(_)) => {
            let message = "A server has a 'server_url' or a 'connector_id', not both.";
            return Err(Invalid::value(fields.path("connector_id"), message));
        }
        (None, None) => return Err(Invalid::missing(fields.path("server_url"))),
    };
    let mut read = toolset::mcp(label, server, echo);
    let sent = toolset::headers(&mut fields, "headers")?;
    if let ToolSource::Mcp { headers, .. } = &mut read.source {
        *headers = sent;
    }
    if let Some(allowed) = fields.take("allowed_tools") {
        (read.allowed, read.only_read_only) = toolset::names(allowed, &fields.path("allowed_tools"), "tool_names")?;
    }
    read.approval = match fields.take("require_approval") {
        Some(rule) => toolset::approval(rule, &fields.path("require_approval"))?,
        None => ApprovalRule::Always,
    };
    read.required = true;
    Ok(read)
}

fn read_tool(value: &Value, path: &str) -> Result<Option<FunctionTool>, Invalid> {
    let mut fields = Fields::at(path, value.clone())?;
    if fields.needed_text("type")? != "function" {
        return Ok(None);
    }
    let name = fields.needed_text("name")?;
    if name.is_empty() {
        return Err(Invalid::value(fields.path("name"), "A function's name must not be empty."));
    }
    Ok(Some(FunctionTool {
        name,
        description: fields.text("description")?,
        parameters: fields.object("parameters")?,
        strict: fields.flag("strict")?,
        rest: fields.rest(),
    }))
}

fn read_choice(value: Value, tools: &mut Tools) -> Result<(), Invalid> {
    if let Value::String(word) = &value {
        tools.choice = match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" if tools.functions.is_empty() && tools.toolsets.is_empty() => {
                return Err(impossible("'required' needs a function in 'tools'."));
            }
            "required" => ToolChoice::Required,
            _ => return Err(impossible("'tool_choice' must be auto, none, required or an object.")),
        };
        return Ok(());
    }
    let mut fields = Fields::at("tool_choice", value.clone())?;
    match fields.needed_text("type")?.as_str() {
        "function" => {
            let name = fields.needed_text("name")?;
            if !tools.functions.iter().any(|function| function.name == name) {
                return Err(impossible("The chosen function is not in 'tools'."));
            }
            tools.choice = ToolChoice::Function(name);
        }
        "allowed_tools" => read_allowed(&mut fields, value, tools)?,
        kind => {
            let message = format!("Tools of the type '{kind}' are not run by this server, so they cannot be chosen.");
            return Err(Invalid { code: "unsupported_parameter", ..impossible(&message) });
        }
    }
    Ok(())
}

fn read_allowed(fields: &mut Fields, value: Value, tools: &mut Tools) -> Result<(), Invalid> {
    let mode = fields.choice("mode", &["auto", "required", "none"])?.unwrap_or_else(|| "auto".to_owned());
    let allowed = fields.list("tools", MAX_TOOLS)?.ok_or_else(|| Invalid::missing("tool_choice.tools"))?;
    let mut names = Vec::new();
    for (index, tool) in allowed.iter().enumerate() {
        let mut tool = Fields::at(format!("tool_choice.tools[{index}]"), tool.clone())?;
        if tool.needed_text("type")? != "function" {
            continue;
        }
        let name = tool.needed_text("name")?;
        if !tools.functions.iter().any(|function| function.name == name) {
            return Err(impossible("An allowed function is not in 'tools'."));
        }
        names.push(name);
    }
    if names.len() < allowed.len() || mode == "none" {
        tools.echo.insert("tool_choice".to_owned(), value);
    }
    let required = mode == "required";
    if required && names.is_empty() {
        return Err(impossible("'required' needs an allowed function."));
    }
    tools.choice = if mode == "none" { ToolChoice::None } else { ToolChoice::Allowed { names, required } };
    Ok(())
}

fn impossible(message: &str) -> Invalid {
    Invalid::value("tool_choice", message)
}

/// `tools` of a Response.
pub fn tools_json(functions: &[FunctionTool], echo: &Object) -> Value {
    echo.get("tools").cloned().unwrap_or_else(|| functions.iter().map(function_json).collect())
}

fn function_json(function: &FunctionTool) -> Value {
    let mut json = json!({
        "type": "function",
        "name": function.name,
        "description": function.description,
        "parameters": function.parameters,
        "strict": function.strict,
    });
    if let Value::Object(object) = &mut json {
        object.extend(function.rest.clone());
    }
    json
}

/// `tool_choice` of a Response.
pub fn choice_json(choice: &ToolChoice, echo: &Object) -> Value {
    if let Some(sent) = echo.get("tool_choice") {
        return sent.clone();
    }
    match choice {
        ToolChoice::Auto => json!("auto"),
        ToolChoice::None => json!("none"),
        ToolChoice::Required => json!("required"),
        ToolChoice::Function(name) => json!({ "type": "function", "name": name }),
        ToolChoice::Allowed { names, required } => {
            let tools: Vec<_> = names.iter().map(|name| json!({ "type": "function", "name": name })).collect();
            let mode = if *required { "required" } else { "auto" };
            json!({ "type": "allowed_tools", "mode": mode, "tools": tools })
        }
    }
}
