//! The body of a request, to ours. What only this format can say is noted, for the route.

use std::sync::Arc;

use mainstay_vocabulary::{
    Object,
    inference::{Format, Reasoning, Sampling, TextFormat},
};
use serde_json::Value;

use super::{content, tool};
use crate::{
    fields::{Fields, Invalid},
    stateless::{self, Call, MAX_MESSAGES, need},
    tier,
};

/// Most texts of `stop`; the vendor's limit.
const MAX_STOP: usize = 4;
/// Most alternatives to a token; the vendor's limit.
const MAX_LOGPROBS: u64 = 20;
/// Parameters that change nothing of what a model says: they go along verbatim or are left out.
const HARMLESS: [&str; 7] =
    ["user", "metadata", "store", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "verbosity"];

/// How the answer is to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `stream_options.include_usage`: a last chunk with the usage.
    pub include_usage: bool,
}

/// Reads a request.
///
/// # Errors
/// Names the parameter that is wrong.
pub fn read(object: Object) -> Result<(Call, Options), Invalid> {
    let mut fields = Fields::root(object.clone());
    let model = fields.needed_text("model")?;
    stateless::check_model(&model)?;
    let streams = fields.flag("stream")?.unwrap_or(false);
    let mut needs = None;
    let mut request = stateless::request(stateless::verbatim(Format::OpenAiChat, object, streams));
    let messages = fields.list("messages", MAX_MESSAGES)?.ok_or_else(|| Invalid::missing("messages"))?;
    request.input = content::read(messages, &mut needs)?;
    if request.input.is_empty() {
        return Err(Invalid::value("messages", "'messages' must not be empty."));
    }
    (request.tools, request.tool_choice) = tool::read(&mut fields, &mut needs)?;
    request.parallel_tool_calls = fields.flag("parallel_tool_calls")?;
    request.sampling = sampling(&mut fields)?;
    request.service_tier = tier::asked(fields.text("service_tier")?);
    let effort = fields.text("reasoning_effort")?;
    request.reasoning = Reasoning { effort, ..Reasoning::default() };
    request.text = text_format(&mut fields)?;
    if fields.count("n", 1..=128)?.is_some_and(|n| n > 1) {
        need(&mut needs, "n");
    }
    if let Some(modalities) = fields.list("modalities", 8)?
        && modalities != [Value::from("text")]
    {
        need(&mut needs, "modalities");
    }
    let options = stream_options(&mut fields)?;
    for name in HARMLESS {
        fields.take(name);
    }
    if let Some(name) = fields.rest().keys().next() {
        need(&mut needs, name);
    }
    if needs.is_none() && request.input.iter().any(|item| stateless::refers(item)) {
        // An upstream knows no file of ours: only the canonical form puts it in.
        request.verbatim = None;
    }
    Ok((Call { model, request, needs, streams }, options))
}

fn sampling(fields: &mut Fields) -> Result<Sampling, Invalid> {
    let older = fields.count("max_tokens", 1..=u64::MAX)?;
    let wants_logprobs = fields.flag("logprobs")?.unwrap_or(false);
    let top_logprobs = fields.count("top_logprobs", 0..=MAX_LOGPROBS)?;
    if top_logprobs.is_some() && !wants_logprobs {
        return Err(Invalid::value("top_logprobs", "'top_logprobs' needs 'logprobs' to be true."));
    }
    Ok(Sampling {
        temperature: fields.number("temperature", 0.0..=2.0)?,
        top_p: fields.number("top_p", 0.0..=1.0)?,
        max_output_tokens: fields.count("max_completion_tokens", 1..=u64::MAX)?.or(older),
        presence_penalty: fields.number("presence_penalty", -2.0..=2.0)?,
        frequency_penalty: fields.number("frequency_penalty", -2.0..=2.0)?,
        top_k: fields.count("top_k", 0..=u64::MAX)?,
        seed: seed(fields)?,
        stop: stop(fields)?,
        top_logprobs: wants_logprobs.then(|| top_logprobs.unwrap_or(0)),
    })
}

fn seed(fields: &mut Fields) -> Result<Option<i64>, Invalid> {
    match fields.take("seed") {
        None => Ok(None),
        Some(seed) => seed.as_i64().map(Some).ok_or_else(|| Invalid::kind("seed", "an integer")),
    }
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, Invalid> {
    let list = match fields.take("stop") {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) => return Ok(vec![text]),
        Some(Value::Array(list)) if list.len() <= MAX_STOP => list,
        Some(Value::Array(_)) => {
            return Err(Invalid::value("stop", format!("'stop' may have at most {MAX_STOP} elements.")));
        }
        Some(_) => return Err(Invalid::kind("stop", "a string or an array")),
    };
    let text = |(index, value): (usize, Value)| match value {
        Value::String(text) => Ok(text),
        _ => Err(Invalid::kind(format!("stop[{index}]"), "a string")),
    };
    list.into_iter().enumerate().map(text).collect()
}

fn text_format(fields: &mut Fields) -> Result<TextFormat, Invalid> {
    let Some(mut format) = fields.fields("response_format")? else { return Ok(TextFormat::Text) };
    match format.needed_text("type")?.as_str() {
        "text" => Ok(TextFormat::Text),
        "json_object" => Ok(TextFormat::JsonObject),
        "json_schema" => {
            let path = format.path("json_schema");
            let mut schema = format.fields("json_schema")?.ok_or_else(|| Invalid::missing(path))?;
            Ok(TextFormat::JsonSchema {
                name: schema.needed_text("name")?,
                description: schema.text("description")?,
                strict: schema.flag("strict")?,
                schema: schema.object("schema")?.map_or_else(|| Value::Object(Object::new()), Value::Object),
            })
        }
        _ => Err(Invalid::value("response_format.type", "Expected one of text, json_object, json_schema.")),
    }
}

fn stream_options(fields: &mut Fields) -> Result<Options, Invalid> {
    let Some(mut options) = fields.fields("stream_options")? else { return Ok(Options::default()) };
    Ok(Options { include_usage: options.flag("include_usage")?.unwrap_or(false) })
}

/// Shared pointers, as a request holds its items.
pub(super) type Items = Vec<Arc<mainstay_vocabulary::Item>>;
