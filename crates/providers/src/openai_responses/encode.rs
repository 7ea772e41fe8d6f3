//! A request of the vocabulary as a body of Responses. Pure: the same request gives the same bytes, and a request that
//! grew by appending gives input that grew by appending.

use std::collections::BTreeSet;

use mainstay_vocabulary::{
    Object,
    inference::{Failure, Format, Request, TextFormat, Verbatim},
    tool::{FunctionTool, ToolChoice},
};
use serde_json::{Value, json};

use super::{
    input,
    wire::{Body, Choice, Named, Tool},
};
use crate::{
    Dialect,
    http::dropped::Dropped,
    openai::{
        encoded::{Encoded, bytes},
        extra, reasoning, tool,
    },
    openai_chat::dialect::Rules,
};

/// Fields that no `Extra` may set: what the canonical parts decide, and what would leave state with the upstream.
const OWNED: [&str; 12] = [
    "model",
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "max_output_tokens",
    "stream",
    "store",
    "background",
    "conversation",
    "previous_response_id",
];

/// What a prompt is counted by: all else is about the answer.
const COUNTED: [&str; 2] = ["reasoning", "text"];

/// Longest `prompt_cache_key` that OpenAI takes, bytes.
const MAX_CACHE_KEY_BYTES: usize = 64;

/// The body's bytes. Fails only where the request holds a number that JSON cannot express.
pub fn encode(request: &Request, dialect: Dialect) -> Result<Encoded, Failure> {
    if let Some(verbatim) = own(request) {
        return Encoded::whole(&verbatim_body(verbatim, request));
    }
    let mut left_out = BTreeSet::new();
    let mut rest = rest(request, dialect, &mut left_out);
    extra::add(&mut rest, request.extra.as_ref(), Format::OpenAiResponses, &OWNED);
    if let Some(key) = cache_key(request).filter(|_| dialect == Dialect::OpenAi) {
        rest.entry("prompt_cache_key").or_insert_with(|| key.into());
    }
    let (body, dropped) = body(request, dialect, rest);
    Encoded::new(&body, dropped, &left_out)
}

/// The body of a question for the length of a prompt.
pub fn encode_count(request: &Request, dialect: Dialect) -> Result<Vec<u8>, Failure> {
    let mut rest = Object::new();
    for (name, value) in [("reasoning", reasoning_field(request)), ("text", text_field(&request.text))] {
        if let Some(value) = value {
            rest.insert(name.to_owned(), value);
        }
    }
    extra::add(&mut rest, request.extra.as_ref(), Format::OpenAiResponses, &OWNED);
    rest.retain(|name, _| COUNTED.contains(&name.as_str()));
    bytes(&body(request, dialect, rest).0)
}

/// The client's own request, if it speaks this format.
pub(super) fn own(request: &Request) -> Option<&Verbatim> {
    request.verbatim.as_deref().filter(|verbatim| verbatim.format == Format::OpenAiResponses)
}

fn verbatim_body(verbatim: &Verbatim, request: &Request) -> Object {
    let mut body = verbatim.body.clone();
    body.insert("model".to_owned(), request.upstream_model.as_str().into());
    body.insert("stream".to_owned(), verbatim.streams.into());
    if let Some(limit) = request.sampling.max_output_tokens {
        body.insert("max_output_tokens".to_owned(), limit.into());
    }
    body
}

fn body(request: &Request, dialect: Dialect, rest: Object) -> (Body<'_>, Dropped) {
    let rules = dialect.rules();
    let (input, dropped) = input::items(request, rules);
    let tools: Vec<_> = tool::offered(request, rules).map(function).collect();
    let body = Body {
        model: &request.upstream_model,
        input,
        instructions: request.instructions.as_deref(),
        tool_choice: if tools.is_empty() { None } else { tool_choice(&request.tool_choice, rules) },
        parallel_tool_calls: request.parallel_tool_calls.filter(|_| !tools.is_empty()),
        tools,
        rest,
    };
    (body, dropped)
}

/// Everything but the conversation and its tools.
fn rest(request: &Request, dialect: Dialect, left_out: &mut BTreeSet<&'static str>) -> Object {
    let mut rest = Object::new();
    let mut add = |name: &'static str, value: Option<Value>| {
        if let Some(value) = value {
            rest.insert(name.to_owned(), value);
        }
    };
    add("stream", Some(true.into()));
    add("store", Some(false.into()));
    add("text", text_field(&request.text));
    add("reasoning", reasoning_field(request));
    add("max_output_tokens", request.sampling.max_output_tokens.map(Value::from));
    add("temperature", request.sampling.temperature.map(Value::from));
    add("top_p", request.sampling.top_p.map(Value::from));
    add("top_logprobs", request.sampling.top_logprobs.map(Value::from));
    add("service_tier", request.service_tier.as_deref().map(Value::from));
    for (name, value) in beyond_openai(request) {
        match dialect {
            Dialect::OpenAi => drop(left_out.insert(name)),
            _ => add(name, Some(value)),
        }
    }
    add("include", include(request));
    rest
}

/// Parameters that OpenAI refuses here and that other servers know by the names of Chat Completions.
fn beyond_openai(request: &Request) -> impl Iterator<Item = (&'static str, Value)> {
    let sampling = &request.sampling;
    let all = [
        ("presence_penalty", sampling.presence_penalty.map(Value::from)),
        ("frequency_penalty", sampling.frequency_penalty.map(Value::from)),
        ("top_k", sampling.top_k.map(Value::from)),
        ("seed", sampling.seed.map(Value::from)),
        ("stop", (!sampling.stop.is_empty()).then(|| json!(sampling.stop))),
    ];
    all.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)))
}

/// Encrypted reasoning is asked for where reasoning is: models without it refuse the question.
fn include(request: &Request) -> Option<Value> {
    let mut include = Vec::new();
    if reasoning::effort(&request.reasoning).is_some_and(|effort| effort != "none")
        || request.reasoning.summary.is_some()
    {
        include.push("reasoning.encrypted_content");
    }
    if request.sampling.top_logprobs.is_some() {
        include.push("message.output_text.logprobs");
    }
    (!include.is_empty()).then(|| json!(include))
}

/// The session's part of an attempt's name, which ends with the number of the attempt's intent: the requests of one
/// session share a beginning, and meet where it is cached.
fn cache_key(request: &Request) -> Option<&str> {
    let (session, intent) = request.idempotency_key.rsplit_once('-')?;
    let is_numbered = !intent.is_empty() && intent.bytes().all(|byte| byte.is_ascii_digit());
    (is_numbered && !session.is_empty() && session.len() <= MAX_CACHE_KEY_BYTES).then_some(session)
}

fn reasoning_field(request: &Request) -> Option<Value> {
    let mut field = Object::new();
    for (name, value) in
        [("effort", reasoning::effort(&request.reasoning)), ("summary", request.reasoning.summary.as_deref())]
    {
        if let Some(value) = value {
            field.insert(name.to_owned(), value.into());
        }
    }
    (!field.is_empty()).then_some(Value::Object(field))
}

fn text_field(format: &TextFormat) -> Option<Value> {
    match format {
        TextFormat::Text => None,
        TextFormat::JsonObject => Some(json!({ "format": { "type": "json_object" } })),
        TextFormat::JsonSchema { name, description, schema, strict } => {
            let mut format = json!({ "type": "json_schema", "name": name, "schema": schema });
            if let Some(description) = description {
                format["description"] = json!(description);
            }
            if let Some(strict) = strict {
                format["strict"] = json!(strict);
            }
            Some(json!({ "format": format }))
        }
    }
}

/// Left unsaid, `strict` is true in this format and false in all others: nobody's optional parameters may become
/// required on the way.
fn function(tool: &FunctionTool) -> Tool<'_> {
    Tool::Function {
        name: &tool.name,
        description: tool.description.as_deref(),
        parameters: tool::parameters(tool),
        strict: tool.strict.unwrap_or(false),
    }
}

fn tool_choice<'a>(choice: &'a ToolChoice, rules: &Rules) -> Option<Choice<'a>> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(Choice::Mode("none")),
        ToolChoice::Required => Some(Choice::Mode("required")),
        ToolChoice::Function(name) => Some(Choice::One(Named::Function { name })),
        ToolChoice::Allowed { names, required } if rules.allowed_tools => {
            let mode = if *required { "required" } else { "auto" };
            let tools = names.iter().map(|name| Named::Function { name }).collect();
            Some(Choice::Some { r#type: "allowed_tools", mode, tools })
        }
        ToolChoice::Allowed { required, .. } => required.then_some(Choice::Mode("required")),
    }
}
