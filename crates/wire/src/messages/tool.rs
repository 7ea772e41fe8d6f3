//! Tools and `tool_choice`, to ours.

use std::sync::Arc;

use mainstay_vocabulary::tool::{FunctionTool, ToolChoice};

use crate::{
    fields::{Fields, Invalid},
    responses::tool::MAX_TOOLS,
    stateless::need,
};

/// What a request says about tools.
pub(super) struct Tools {
    pub(super) tools: Arc<[FunctionTool]>,
    pub(super) choice: ToolChoice,
    pub(super) parallel: Option<bool>,
}

/// Reads `tools` and `tool_choice`. A tool of the vendor's own is noted: only the vendor can run it.
pub(super) fn read(fields: &mut Fields, needs: &mut Option<String>) -> Result<Tools, Invalid> {
    let mut functions: Vec<FunctionTool> = Vec::new();
    for (index, value) in fields.list("tools", MAX_TOOLS)?.unwrap_or_default().into_iter().enumerate() {
        let mut tool = Fields::at(format!("tools[{index}]"), value)?;
        if tool.text("type")?.is_some_and(|kind| kind != "custom") {
            need(needs, tool.path("type"));
            continue;
        }
        let path = tool.path("name");
        let name = tool.needed_text("name")?;
        if name.is_empty() {
            return Err(Invalid::value(path, "A tool's name must not be empty."));
        }
        if functions.iter().any(|known| known.name == name) {
            return Err(Invalid::value(path, format!("The tool '{name}' is declared twice.")));
        }
        let schema = tool.path("input_schema");
        let parameters = Some(tool.object("input_schema")?.ok_or_else(|| Invalid::missing(schema))?);
        let (description, strict) = (tool.text("description")?, tool.flag("strict")?);
        functions.push(FunctionTool { name, description, parameters, strict, rest: tool.rest() });
    }
    let mut tools = Tools { tools: Arc::from(functions), choice: ToolChoice::Auto, parallel: None };
    if let Some(choice) = fields.fields("tool_choice")? {
        read_choice(choice, &mut tools)?;
    }
    Ok(tools)
}

fn read_choice(mut choice: Fields, tools: &mut Tools) -> Result<(), Invalid> {
    tools.choice = match choice.needed_text("type")?.as_str() {
        "auto" => ToolChoice::Auto,
        "none" => ToolChoice::None,
        "any" => ToolChoice::Required,
        "tool" => {
            let name = choice.needed_text("name")?;
            if !tools.tools.iter().any(|tool| tool.name == name) {
                return Err(Invalid::value("tool_choice.name", "The chosen tool is not in 'tools'."));
            }
            ToolChoice::Function(name)
        }
        _ => return Err(Invalid::value("tool_choice.type", "Expected one of auto, any, tool, none.")),
    };
    tools.parallel = choice.flag("disable_parallel_tool_use")?.map(|disabled| !disabled);
    Ok(())
}
