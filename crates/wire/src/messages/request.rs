//! The body of a request, to ours. What only this format can say is noted, for the route.

use std::sync::Arc;

use mainstay_vocabulary::{
    Item, Object, Role,
    inference::{Format, Reasoning, Sampling, TextFormat},
};
use serde_json::Value;

use super::{content, tool};
use crate::{
    fields::{Fields, Invalid},
    stateless::{self, Call, MAX_MESSAGES, need},
    tier,
};

/// Most `stop_sequences`.
const MAX_STOP: usize = 64;
/// Parameters that change nothing of what a model says, or only how its context is kept upstream: they go along
/// verbatim or are left out.
const HARMLESS: [&str; 4] = ["metadata", "context_management", "cache_control", "betas"];

/// What a body is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An answer: `max_tokens` is needed.
    Answer,
    /// `count_tokens`.
    Count,
}

/// Reads a request.
///
/// # Errors
/// Names the parameter that is wrong.
pub fn read(object: Object, purpose: Purpose) -> Result<Call, Invalid> {
    let mut fields = Fields::root(object.clone());
    let model = fields.needed_text("model")?;
    stateless::check_model(&model)?;
    let streams = fields.flag("stream")?.unwrap_or(false);
    let mut needs = None;
    let mut request = stateless::request(stateless::verbatim(Format::AnthropicMessages, object, streams));
    if let Some(system) = fields.take("system") {
        let content = content::read_content(system, "system", &mut needs)?;
        request.input.push(Arc::new(stateless::message(Role::System, content)));
    }
    let messages = fields.list("messages", MAX_MESSAGES)?.ok_or_else(|| Invalid::missing("messages"))?;
    if messages.is_empty() {
        return Err(Invalid::value("messages", "'messages' must not be empty."));
    }
    content::read_messages(messages, &mut needs, &mut request.input)?;
    let choice = tool::read(&mut fields, &mut needs)?;
    (request.tools, request.tool_choice, request.parallel_tool_calls) = (choice.tools, choice.choice, choice.parallel);
    request.sampling = sampling(&mut fields, purpose)?;
    request.service_tier = service_tier(&mut fields, &mut needs)?;
    request.reasoning = reasoning(&mut fields)?;
    request.text = output(&mut fields, &mut request.reasoning)?;
    for name in HARMLESS {
        fields.take(name);
    }
    if let Some(name) = fields.rest().keys().next() {
        need(&mut needs, name);
    }
    let is_ours = |item: &Item| is_signed_here(item) || stateless::refers(item);
    if needs.is_none() && request.input.iter().any(|item| is_ours(item)) {
        // An upstream would refuse a signature that is not its own and knows no file of ours: only the canonical form
        // leaves the one out and puts the other in.
        request.verbatim = None;
    }
    Ok(Call { model, request, needs, streams })
}

/// Whether a thought carries a token of ours, made for an upstream of another format.
fn is_signed_here(item: &Item) -> bool {
    matches!(item, Item::Reasoning { opaque: Some(opaque), .. } if !opaque.deployment.is_empty())
}

/// The vendor's clients can keep to the standard tier or leave the choice to it; another word is for itself alone.
fn service_tier(fields: &mut Fields, needs: &mut Option<String>) -> Result<Option<String>, Invalid> {
    let tier = fields.text("service_tier")?;
    if let Some(word) = &tier
        && !matches!(word.as_str(), tier::AUTO | "standard_only")
    {
        need(needs, "service_tier");
    }
    Ok(tier.filter(|word| word == "standard_only").map(|_| tier::DEFAULT.to_owned()))
}

fn sampling(fields: &mut Fields, purpose: Purpose) -> Result<Sampling, Invalid> {
    let max_tokens = fields.count("max_tokens", 1..=u64::MAX)?;
    if max_tokens.is_none() && purpose == Purpose::Answer {
        return Err(Invalid::missing("max_tokens"));
    }
    Ok(Sampling {
        temperature: fields.number("temperature", 0.0..=1.0)?,
        top_p: fields.number("top_p", 0.0..=1.0)?,
        top_k: fields.count("top_k", 0..=u64::MAX)?,
        max_output_tokens: max_tokens,
        stop: stop(fields)?,
        ..Sampling::default()
    })
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, Invalid> {
    let list = fields.list("stop_sequences", MAX_STOP)?.unwrap_or_default();
    let text = |(index, value): (usize, Value)| match value {
        Value::String(text) => Ok(text),
        _ => Err(Invalid::kind(format!("stop_sequences[{index}]"), "a string")),
    };
    list.into_iter().enumerate().map(text).collect()
}

fn reasoning(fields: &mut Fields) -> Result<Reasoning, Invalid> {
    let Some(mut thinking) = fields.fields("thinking")? else { return Ok(Reasoning::default()) };
    let effort = match thinking.needed_text("type")?.as_str() {
        "enabled" => {
            let budget_tokens = thinking.count("budget_tokens", 1..=u64::MAX)?;
            let budget_tokens = Some(budget_tokens.ok_or_else(|| Invalid::missing("thinking.budget_tokens"))?);
            return Ok(Reasoning { budget_tokens, ..Reasoning::default() });
        }
        "disabled" => Some("none".to_owned()),
        "adaptive" => None,
        _ => return Err(Invalid::value("thinking.type", "Expected one of enabled, disabled, adaptive.")),
    };
    Ok(Reasoning { effort, ..Reasoning::default() })
}

/// `output_config`: how hard to think, and what the text must look like.
fn output(fields: &mut Fields, reasoning: &mut Reasoning) -> Result<TextFormat, Invalid> {
    let mut format = fields.fields("output_format")?;
    if let Some(mut config) = fields.fields("output_config")? {
        if reasoning.effort.is_none() {
            reasoning.effort = config.text("effort")?;
        }
        format = config.fields("format")?.or(format);
    }
    let Some(mut format) = format else { return Ok(TextFormat::Text) };
    if format.needed_text("type")? != "json_schema" {
        return Err(Invalid::value(format.path("type"), "Expected json_schema."));
    }
    let path = format.path("schema");
    let schema = format.object("schema")?.ok_or_else(|| Invalid::missing(path))?;
    let schema = Value::Object(schema);
    Ok(TextFormat::JsonSchema { name: "answer".to_owned(), description: None, schema, strict: Some(true) })
}
