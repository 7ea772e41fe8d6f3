//! Which functions are put before a model, and the schema of one that has none.

use std::borrow::Cow;

use mainstay_vocabulary::{
    Object,
    inference::Request,
    tool::{FunctionTool, ToolChoice},
};

use crate::openai_chat::dialect::Rules;

/// All tools wherever the choice can be told apart from them, so that the prompt's head stays the same; else only
/// those that may be called.
pub(crate) fn offered<'a>(request: &'a Request, rules: &'static Rules) -> impl Iterator<Item = &'a FunctionTool> {
    request.tools.iter().filter(move |tool| match &request.tool_choice {
        ToolChoice::Auto | ToolChoice::Required => true,
        ToolChoice::None => rules.obeys_tool_choice,
        ToolChoice::Function(name) => rules.obeys_tool_choice || tool.name == *name,
        ToolChoice::Allowed { names, .. } => rules.allowed_tools || names.contains(&tool.name),
    })
}

/// A function's schema; some servers refuse a function without one.
pub(crate) fn parameters(tool: &FunctionTool) -> Cow<'_, Object> {
    match &tool.parameters {
        Some(parameters) => Cow::Borrowed(parameters),
        None => Cow::Owned(no_parameters()),
    }
}

fn no_parameters() -> Object {
    let mut schema = Object::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), Object::new().into());
    schema
}
