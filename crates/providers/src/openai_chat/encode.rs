//! A request of the vocabulary as a body of Chat Completions. Pure: the same request gives the same bytes, and a
//! request that grew by appending gives messages that grew by appending.

use std::collections::BTreeSet;

use mainstay_vocabulary::{
    Object,
    inference::{Failure, Format, Request, TextFormat, Verbatim},
    tool::{FunctionTool, ToolChoice},
};
use serde_json::{Value, json};

use super::{
    conversation::Conversation,
    dialect::{Continuation, Dialect, Rules},
    wire::{Allowed, Body, Choice, Function, FunctionName, JsonSchema, Named, ResponseFormat, StreamOptions, Tool},
};
use crate::{
    http::dropped::Dropped,
    openai::{encoded::Encoded, extra, reasoning, tool},
};

/// Fields that no `Extra` may set: what the canonical parts decide, and what would cost more than was reserved.
const OWNED: [&str; 14] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "response_format",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "best_of",
];

/// Names of the limit on output tokens, over all servers.
const LIMITS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// The body's bytes. Fails only where the request holds a number that JSON cannot express.
pub fn encode(request: &Request, dialect: Dialect) -> Result<Encoded, Failure> {
    let rules = dialect.rules();
    if let Some(verbatim) = own(request) {
        return Encoded::whole(&verbatim_body(verbatim, request, rules));
    }
    let mut left_out = BTreeSet::new();
    let mut rest = rest(request, rules, &mut left_out);
    extra::add(&mut rest, request.extra.as_ref(), Format::OpenAiChat, &OWNED);
    let (body, dropped) = body(request, rules, rest);
    Encoded::new(&body, dropped, &left_out)
}

/// The client's own request, if it speaks this format.
pub(super) fn own(request: &Request) -> Option<&Verbatim> {
    request.verbatim.as_deref().filter(|verbatim| verbatim.format == Format::OpenAiChat)
}

/// The client's body for our model and within our limit. Usage is always asked for: an answer is paid for by it.
fn verbatim_body(verbatim: &Verbatim, request: &Request, rules: &Rules) -> Object {
    let mut body = verbatim.body.clone();
    body.insert("model".to_owned(), request.upstream_model.as_str().into());
    body.insert("stream".to_owned(), verbatim.streams.into());
    if let Some(limit) = request.sampling.max_output_tokens {
        body.retain(|name, _| !LIMITS.contains(&name.as_str()));
        body.insert(rules.max_tokens.to_owned(), limit.into());
    }
    if verbatim.streams && rules.include_usage {
        let options = body.entry("stream_options").or_insert_with(|| json!({}));
        match options {
            Value::Object(options) => drop(options.insert("include_usage".to_owned(), true.into())),
            other => *other = json!({ "include_usage": true }),
        }
    }
    body
}

fn body<'a>(request: &'a Request, rules: &'static Rules, rest: Object) -> (Body<'a>, Dropped) {
    let tools: Vec<_> = tool::offered(request, rules).map(function).collect();
    let (messages, dropped) = Conversation::messages(request, rules);
    let body = Body {
        model: &request.upstream_model,
        messages,
        stream: true,
        stream_options: rules.include_usage.then_some(StreamOptions { include_usage: true }),
        tool_choice: if tools.is_empty() { None } else { tool_choice(&request.tool_choice, rules) },
        parallel_tool_calls: request.parallel_tool_calls.filter(|_| !tools.is_empty()),
        tools,
        response_format: response_format(&request.text),
        rest,
    };
    (body, dropped)
}

/// Sampling, thinking and the flags of a continuation, by the names that the dialect has for them.
fn rest(request: &Request, rules: &Rules, left_out: &mut BTreeSet<&'static str>) -> Object {
    let mut rest = Object::new();
    let sampling = &request.sampling;
    let all = [
        ("temperature", sampling.temperature.map(Value::from)),
        ("top_p", sampling.top_p.map(Value::from)),
        ("presence_penalty", sampling.presence_penalty.map(Value::from)),
        ("frequency_penalty", sampling.frequency_penalty.map(Value::from)),
        ("reasoning_effort", reasoning::effort(&request.reasoning).map(Value::from)),
        (rules.max_tokens, sampling.max_output_tokens.map(Value::from)),
        ("top_k", sampling.top_k.map(Value::from)),
        (rules.seed, sampling.seed.map(Value::from)),
        ("stop", (!sampling.stop.is_empty()).then(|| json!(sampling.stop))),
        ("logprobs", sampling.top_logprobs.map(|_| true.into())),
        ("top_logprobs", sampling.top_logprobs.map(Value::from)),
        ("service_tier", request.service_tier.as_deref().map(Value::from)),
    ];
    for (name, value) in all {
        match value {
            Some(_) if name == "top_k" && !rules.top_k => drop(left_out.insert(name)),
            Some(_) if name == "service_tier" && !rules.service_tier => drop(left_out.insert(name)),
            Some(value) => drop(rest.insert(name.to_owned(), value)),
            None => {}
        }
    }
    if request.reasoning.summary.is_some() {
        left_out.insert("reasoning.summary");
    }
    if request.prefix.is_some() {
        continuation(rules, &mut rest);
    }
    rest
}

fn continuation(rules: &Rules, rest: &mut Object) {
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
}

fn function(tool: &FunctionTool) -> Tool<'_> {
    let (description, parameters) = (tool.description.as_deref(), tool::parameters(tool));
    Tool::Function { function: Function { name: &tool.name, description, parameters, strict: tool.strict } }
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
