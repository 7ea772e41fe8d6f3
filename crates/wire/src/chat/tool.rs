//! Tools and `tool_choice`, to ours.

use std::sync::Arc;

use mainstay_vocabulary::tool::{FunctionTool, ToolChoice};
use serde_json::Value;

use crate::{
    fields::{Fields, Invalid},
    responses::tool::MAX_TOOLS,
    stateless::need,
};

/// Reads `tools` and `tool_choice`.
pub(super) fn read(
    fields: &mut Fields,
    needs: &mut Option<String>,
) -> Result<(Arc<[FunctionTool]>, ToolChoice), Invalid> {
    let mut functions: Vec<FunctionTool> = Vec::new();
    for (index, value) in fields.list("tools", MAX_TOOLS)?.unwrap_or_default().into_iter().enumerate() {
        let mut tool = Fields::at(format!("tools[{index}]"), value)?;
        if tool.needed_text("type")? != "function" {
            need(needs, tool.path("type"));
            continue;
        }
        let path = tool.path("function");
        let function = read_function(tool.fields("function")?.ok_or_else(|| Invalid::missing(path))?)?;
        if functions.iter().any(|known| known.name == function.name) {
            let message = format!("The function '{}' is declared twice.", function.name);
            return Err(Invalid::value(format!("tools[{index}].function.name"), message));
        }
        functions.push(function);
    }
    let choice = match fields.take("tool_choice") {
        Some(choice) => read_choice(choice, &functions, needs)?,
        None => ToolChoice::Auto,
    };
    Ok((Arc::from(functions), choice))
}

fn read_function(mut function: Fields) -> Result<FunctionTool, Invalid> {
    let name = function.needed_text("name")?;
    if name.is_empty() {
        return Err(Invalid::value(function.path("name"), "A function's name must not be empty."));
    }
    Ok(FunctionTool {
        name,
        description: function.text("description")?,
        parameters: function.object("parameters")?,
        strict: function.flag("strict")?,
        rest: function.rest(),
    })
}

fn read_choice(value: Value, functions: &[FunctionTool], needs: &mut Option<String>) -> Result<ToolChoice, Invalid> {
    let wrong = |message: &str| Invalid::value("tool_choice", message);
    if let Value::String(word) = &value {
        return match word.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(wrong("'tool_choice' must be auto, none, required or an object.")),
        };
    }
    let mut choice = Fields::at("tool_choice", value)?;
    match choice.needed_text("type")?.as_str() {
        "function" => {
            let mut function = choice.fields("function")?.ok_or_else(|| Invalid::missing("tool_choice.function"))?;
            let name = function.needed_text("name")?;
            if !functions.iter().any(|function| function.name == name) {
                return Err(wrong("The chosen function is not in 'tools'."));
            }
            Ok(ToolChoice::Function(name))
        }
        "allowed_tools" => read_allowed(choice),
        _ => {
            need(needs, "tool_choice.type");
            Ok(ToolChoice::Auto)
        }
    }
}

fn read_allowed(mut choice: Fields) -> Result<ToolChoice, Invalid> {
    let path = choice.path("allowed_tools");
    let mut allowed = choice.fields("allowed_tools")?.ok_or_else(|| Invalid::missing(path))?;
    let required = allowed.choice("mode", &["auto", "required"])?.as_deref() == Some("required");
    let path = allowed.path("tools");
    let mut names = Vec::new();
    for (index, value) in allowed.list("tools", MAX_TOOLS)?.unwrap_or_default().into_iter().enumerate() {
        let mut tool = Fields::at(format!("{path}[{index}]"), value)?;
        let path = tool.path("function");
        names.push(tool.fields("function")?.ok_or_else(|| Invalid::missing(path))?.needed_text("name")?);
    }
    Ok(ToolChoice::Allowed { names, required })
}
