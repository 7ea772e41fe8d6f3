//! A request of the vocabulary as a body of Chat Completions. Pure: the same request gives the same bytes, and a
//! request that grew by appending gives messages that grew by appending.

use std::borrow::Cow;

use mainstay_vocabulary::{
    Object,
    inference::{Failure, FailureKind, Request, TextFormat},
    tool::{FunctionTool, ToolChoice},
};
use serde_json::{Value, json};

use super::{
    conversation::Conversation,
    dialect::{Continuation, Dialect, Rules},
    wire::{Allowed, Body, Choice, Function, FunctionName, JsonSchema, Named, ResponseFormat, StreamOptions, Tool},
};

/// The body's bytes. Fails only where the request holds a number that JSON cannot express.
pub fn encode(request: &Request, dialect: Dialect) -> Result<Vec<u8>, Failure> {
    let body = body(request, dialect.rules());
    serde_json::to_vec(&body).map_err(|error| Failure {
        kind: FailureKind::InvalidRequest,
        message: format!("the request cannot be written as JSON: {error}"),
        retry_after_ms: None,
    })
}

fn body<'a>(request: &'a Request, rules: &'static Rules) -> Body<'a> {
    let tools = tools(request, rules);
    Body {
        model: &request.upstream_model,
        messages: Conversation::messages(request, rules),
        stream: true,
        stream_options: rules.include_usage.then_some(StreamOptions { include_usage: true }),
        tool_choice: if tools.is_empty() { None } else { tool_choice(&request.tool_choice, rules) },
        parallel_tool_calls: request.parallel_tool_calls.filter(|_| !tools.is_empty()),
        tools,
        response_format: response_format(&request.text),
        temperature: request.sampling.temperature,
        top_p: request.sampling.top_p,
        presence_penalty: request.sampling.presence_penalty,
        frequency_penalty: request.sampling.frequency_penalty,
        reasoning_effort: request.reasoning.effort.as_deref(),
        rest: rest(request, rules),
    }
}

/// The fields whose names the dialect decides.
fn rest(request: &Request, rules: &Rules) -> Object {
    let mut rest = Object::new();
    if let Some(limit) = request.sampling.max_output_tokens {
        rest.insert(rules.max_tokens.to_owned(), limit.into());
    }
    if request.prefix.is_none() {
        return rest;
    }
    match rules.continuation {
        Continuation::FinalMessageFlag => {
            rest.insert("continue_final_message".to_owned(), Value::Bool(true));
            rest.insert("add_generation_prompt".to_owned(), Value::Bool(false));
        }
        // The server refuses to continue while the template would think; the thinking came before the prefix.
        Continuation::TrailingMessage => {
            rest.insert("chat_template_kwargs".to_owned(), json!({ "enable_thinking": false }));
        }
        Continuation::None | Continuation::PrefixFlag => {}
    }
    rest
}

/// All tools wherever the choice can be told apart from them, so that the prompt's head stays the same.
fn tools<'a>(request: &'a Request, rules: &Rules) -> Vec<Tool<'a>> {
    let is_sent = |tool: &&FunctionTool| match &request.tool_choice {
        ToolChoice::Auto | ToolChoice::Required => true,
        ToolChoice::None => rules.obeys_tool_choice,
        ToolChoice::Function(name) => rules.obeys_tool_choice || tool.name == *name,
        ToolChoice::Allowed { names, .. } => rules.allowed_tools || names.contains(&tool.name),
    };
    request.tools.iter().filter(is_sent).map(tool).collect()
}

fn tool(tool: &FunctionTool) -> Tool<'_> {
    let parameters = match &tool.parameters {
        Some(parameters) => Cow::Borrowed(parameters),
        None => Cow::Owned(no_parameters()),
    };
    let description = tool.description.as_deref();
    Tool::Function { function: Function { name: &tool.name, description, parameters, strict: tool.strict } }
}

/// Some servers refuse a function without a schema.
fn no_parameters() -> Object {
    let mut schema = Object::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), Value::Object(Object::new()));
    schema
}

fn tool_choice<'a>(choice: &'a ToolChoice, rules: &Rules) -> Option<Choice<'a>> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(Choice::Mode("none")),
        ToolChoice::Required => Some(Choice::Mode("required")),
        ToolChoice::Function(name) => Some(Choice::One(named(name))),
        ToolChoice::Allowed { names, required } if rules.allowed_tools => {
            let mode = if *required { "required" } else { "auto" };
            let tools = names.iter().map(|name| named(name)).collect();
            Some(Choice::Some { r#type: "allowed_tools", allowed_tools: Allowed { mode, tools } })
        }
        ToolChoice::Allowed { required, .. } => required.then_some(Choice::Mode("required")),
    }
}

fn named(name: &str) -> Named<'_> {
    Named::Function { function: FunctionName { name } }
}

fn response_format(format: &TextFormat) -> Option<ResponseFormat<'_>> {
    match format {
        TextFormat::Text => None,
        TextFormat::JsonObject => Some(ResponseFormat::JsonObject),
        TextFormat::JsonSchema { name, description, schema, strict } => Some(ResponseFormat::JsonSchema {
            json_schema: JsonSchema { name, description: description.as_deref(), schema, strict: *strict },
        }),
    }
}
