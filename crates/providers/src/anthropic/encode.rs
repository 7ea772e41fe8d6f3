//! A request of the vocabulary as a body of Messages. Pure: the same request gives the same bytes, and a request that
//! grew by appending gives messages that grew by appending, but for the marks of the cache.

use std::borrow::Cow;

use mainstay_vocabulary::{
    Object,
    inference::{Extra, Failure, Format, Request, TextFormat, Verbatim},
    tool::{FunctionTool, ToolChoice},
};

use super::{
    cache, conversation,
    model::Rules,
    thinking,
    wire::{Block, Body, Choice, OutputConfig, OutputFormat, Tool},
};
use crate::{
    http::{dropped::Dropped, failure::protocol},
    openai::{
        encoded::{Encoded, bytes},
        extra,
        tool::parameters,
    },
};

/// Fields of the body that a client's extra parameters never touch.
const OWNED: [&str; 6] = ["model", "max_tokens", "stream", "messages", "tools", "system"];

/// Fields of the body that the counting of tokens does not know.
const NOT_COUNTED: [&str; 9] = [
    "max_tokens",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "metadata",
    "service_tier",
    "inference_geo",
];

/// The body of an inference. Fails only where the request holds a number that JSON cannot express.
pub fn encode(request: &Request) -> Result<Encoded, Failure> {
    if let Some(verbatim) = verbatim(request) {
        return Encoded::whole(&own(request, verbatim));
    }
    let mut dropped = Dropped::default();
    let body = body(request, &mut dropped);
    let body = match extra_of(request) {
        None => bytes(&body)?,
        Some(_) => bytes(&with_extra(request, &body)?)?,
    };
    Ok(Encoded { body, lost: dropped.into_lost() })
}

/// The body that asks how many tokens a prompt has.
pub fn count(request: &Request) -> Result<Vec<u8>, Failure> {
    let mut body = match verbatim(request) {
        Some(verbatim) => own(request, verbatim),
        None => with_extra(request, &body(request, &mut Dropped::default()))?,
    };
    body.retain(|name, _| !NOT_COUNTED.contains(&name.as_str()));
    bytes(&body)
}

/// The client's own request, where it is of this format.
pub(super) fn verbatim(request: &Request) -> Option<&Verbatim> {
    request.verbatim.as_deref().filter(|verbatim| verbatim.format == Format::AnthropicMessages)
}

fn extra_of(request: &Request) -> Option<&Extra> {
    request.extra.as_deref().filter(|extra| extra.format == Format::AnthropicMessages)
}

/// The client's own body, for our model and within our limit.
fn own(request: &Request, verbatim: &Verbatim) -> Object {
    let mut body = verbatim.body.clone();
    body.insert("model".to_owned(), request.upstream_model.as_str().into());
    body.insert("stream".to_owned(), verbatim.streams.into());
    let default = Rules::of(&request.upstream_model).default_max_tokens;
    let limit = request.sampling.max_output_tokens;
    match limit {
        Some(limit) => drop(body.insert("max_tokens".to_owned(), limit.into())),
        None => drop(body.entry("max_tokens").or_insert_with(|| default.into())),
    }
    // A limit that was lowered may not end up below what the client lets the model think: that would be refused.
    let budget = body.get_mut("thinking").and_then(|thinking| thinking.get_mut("budget_tokens"));
    if let (Some(limit), Some(budget)) = (limit, budget)
        && let Some(tokens) = budget.as_u64()
    {
        *budget = thinking::below(limit, tokens).into();
    }
    body
}

fn body<'a>(request: &'a Request, dropped: &mut Dropped) -> Body<'a> {
    let rules = Rules::of(&request.upstream_model);
    let mut rendered = conversation::render(request, &rules, dropped);
    let plan = thinking::plan(request, &rules, rendered.began_unthinking(), dropped);
    let format = output_format(&request.text, &rules);
    if format.is_none() {
        rendered.system.extend(asked_format(&request.text));
    }
    let tools: Vec<_> = offered(request).map(|offered| tool(offered, &rules)).collect();
    let mut body = Body {
        model: &request.upstream_model,
        max_tokens: plan.max_tokens,
        stream: true,
        tool_choice: if tools.is_empty() { None } else { choice(request) },
        tools,
        system: rendered.system,
        messages: rendered.messages,
        thinking: plan.thinking,
        output_config: OutputConfig { effort: plan.effort, format },
        temperature: plan.temperature,
        top_p: plan.top_p,
        top_k: plan.top_k,
        stop_sequences: stop_sequences(request, dropped),
        service_tier: service_tier(request, dropped),
    };
    if extra_of(request).is_none_or(|extra| !extra.fields.contains_key("cache_control")) {
        cache::mark(&mut body);
    }
    body
}

fn with_extra(request: &Request, body: &Body<'_>) -> Result<Object, Failure> {
    let mut body: Object = serde_json::from_slice(&bytes(body)?).map_err(|error| protocol(&error.to_string()))?;
    extra::add(&mut body, request.extra.as_ref(), Format::AnthropicMessages, &OWNED);
    Ok(body)
}

/// The vendor's own word for a tier: it can only be told to keep to the standard one or to choose.
fn service_tier(request: &Request, dropped: &mut Dropped) -> Option<&'static str> {
    match request.service_tier.as_deref()? {
        "auto" | "priority" => Some("auto"),
        "default" | "standard_only" => Some("standard_only"),
        _ => {
            dropped.note_parameter("service_tier", "this vendor has no tier of that name");
            None
        }
    }
}

/// The vendor refuses a text to stop at that says nothing.
fn stop_sequences<'a>(request: &'a Request, dropped: &mut Dropped) -> Vec<&'a str> {
    let (said, blank): (Vec<_>, Vec<_>) =
        request.sampling.stop.iter().map(String::as_str).partition(|stop| !stop.trim().is_empty());
    if !blank.is_empty() {
        dropped.note_parameter("stop", "not taken where it is only white space");
    }
    said
}

/// All functions, but for a choice among some of them: the vendor knows none, and the choice is a hard limit.
fn offered(request: &Request) -> impl Iterator<Item = &FunctionTool> {
    request.tools.iter().filter(|tool| match &request.tool_choice {
        ToolChoice::Allowed { names, .. } => names.contains(&tool.name),
        ToolChoice::Auto | ToolChoice::None | ToolChoice::Required | ToolChoice::Function(_) => true,
    })
}

fn tool<'a>(tool: &'a FunctionTool, rules: &Rules) -> Tool<'a> {
    let mut input_schema = parameters(tool);
    if !input_schema.contains_key("type") {
        input_schema.to_mut().insert("type".to_owned(), "object".into());
    }
    let strict = rules.takes_schema && tool.strict == Some(true);
    Tool { name: &tool.name, description: tool.description.as_deref(), input_schema, strict, cache_control: None }
}

fn choice(request: &Request) -> Option<Choice<'_>> {
    let disable_parallel_tool_use = request.parallel_tool_calls == Some(false);
    match &request.tool_choice {
        ToolChoice::None => Some(Choice::None),
        ToolChoice::Function(name) => Some(Choice::Tool { name, disable_parallel_tool_use }),
        ToolChoice::Required | ToolChoice::Allowed { required: true, .. } => {
            Some(Choice::Any { disable_parallel_tool_use })
        }
        ToolChoice::Auto | ToolChoice::Allowed { required: false, .. } => {
            disable_parallel_tool_use.then_some(Choice::Auto { disable_parallel_tool_use })
        }
    }
}

fn output_format<'a>(format: &'a TextFormat, rules: &Rules) -> Option<OutputFormat<'a>> {
    match format {
        TextFormat::JsonSchema { schema, .. } if rules.takes_schema => Some(OutputFormat::JsonSchema { schema }),
        TextFormat::Text | TextFormat::JsonObject | TextFormat::JsonSchema { .. } => None,
    }
}

/// What the model is told about its answer where the API cannot be told: nothing makes it obey.
fn asked_format(format: &TextFormat) -> Option<Block<'static>> {
    let text = match format {
        TextFormat::Text => return None,
        TextFormat::JsonObject => Cow::Borrowed("Answer with one JSON object and nothing else."),
        TextFormat::JsonSchema { schema, .. } => {
            Cow::Owned(format!("Answer with one JSON value that follows this JSON Schema, and nothing else:\n{schema}"))
        }
    };
    Some(Block::text(text))
}
