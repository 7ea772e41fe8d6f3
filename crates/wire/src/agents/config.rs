//! An agent's configuration: fields of a request into a `Spec`, a `Spec` into the fields of an object. A field that is
//! absent keeps what was there, an explicit null resets it.

use std::sync::Arc;

use mainstay_session::{Spec, spec::Limits};
use mainstay_vocabulary::{
    Object,
    inference::{Reasoning, TextFormat},
};
use serde_json::{Value, json};

use super::tool;
use crate::{
    fields::{Fields, Invalid},
    tier,
};

/// Longest name of a model, bytes.
const MAX_MODEL: usize = 256;

/// Where `Spec::echo` keeps fields that nobody here knows.
const REST: &str = "rest";

/// A field of ours beside the vendor's: bounds of the agent's turns.
const LIMITS: &str = "limits";

/// The name this wire gives a schema: its clients send none.
const SCHEMA_NAME: &str = "output";

/// The service tiers that an agent may ask for.
pub(crate) const TIERS: [&str; 6] = ["auto", "default", "flex", "priority", "fast", "ultrafast"];

const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// Changes `spec` as the fields of an `agent` object at `path` say.
///
/// # Errors
/// The field that is wrong or not served.
pub fn apply(spec: &mut Spec, path: &str, object: Object) -> Result<(), Invalid> {
    let is_set = |name: &str| object.contains_key(name);
    let set = ["instructions", "reasoning", "text", "tools", "service_tier", "compaction", LIMITS].map(is_set);
    let [instructions, reasoning, text, tools, tier, compaction, limits] = set;
    let mut fields = if path.is_empty() { Fields::root(object) } else { Fields::at(path, Value::Object(object))? };
    if let Some(model) = fields.text("model")? {
        if model.is_empty() || model.len() > MAX_MODEL {
            let at = fields.path("model");
            return Err(Invalid::value(&at, format!("'{at}' must be 1 to {MAX_MODEL} bytes long.")));
        }
        spec.model = model;
    }
    if instructions {
        spec.instructions = fields.text("instructions")?.map(Arc::from);
    }
    if reasoning {
        spec.reasoning = fields.fields("reasoning")?.map(read_reasoning).transpose()?.unwrap_or_default();
    }
    if text {
        spec.text = fields.fields("text")?.map(read_text).transpose()?.unwrap_or_default();
    }
    if tools {
        let at = fields.path("tools");
        // The vendor's limit on bytes is checked there.
        tool::set(spec, &at, fields.list("tools", usize::MAX)?.unwrap_or_default())?;
    }
    if tier {
        let tier = fields.choice("service_tier", &TIERS)?;
        keep(spec, "service_tier", tier.clone().map(Value::String));
        spec.service_tier = tier::asked(tier);
    }
    if compaction {
        let mode = fields.fields("compaction")?.map(|mut compaction| compaction.flag("async")).transpose()?.flatten();
        keep(spec, "compaction", mode.map(|background| json!({ "async": background })));
    }
    if limits {
        let limits = fields.fields(LIMITS)?.map(read_limits).transpose()?;
        keep(spec, LIMITS, limits.map(Value::Object));
    }
    // The vendor compacts whenever a prompt does not fit; "async" says only whether somebody waits for it.
    spec.compaction.get_or_insert_default();
    refuse_unserved(&mut fields)?;
    keep_rest(spec, fields.rest());
    Ok(())
}

/// Bounds of a turn; those that the agent leaves out are the operator's.
fn read_limits(mut fields: Fields) -> Result<Object, Invalid> {
    let mut limits = Object::new();
    for name in ["max_steps", "max_attempts", "wall_ms"] {
        if let Some(most) = fields.count(name, 1..=u64::from(u32::MAX))? {
            limits.insert(name.to_owned(), json!(most));
        }
    }
    let path = fields.path("");
    match fields.rest().keys().next() {
        Some(unknown) => Err(Invalid::unserved(format!("{path}{unknown}"))),
        None => Ok(limits),
    }
}

/// The bounds of a session's turns: the agent's, never wider than the operator's.
pub fn limits(spec: &Spec, operator: Limits) -> Limits {
    let own = |name: &str| spec.echo.get(LIMITS).and_then(|limits| limits.get(name)).and_then(Value::as_u64);
    let narrow =
        |name: &str, most: u32| own(name).and_then(|own| u32::try_from(own).ok()).map_or(most, |own| own.min(most));
    Limits {
        max_steps: narrow("max_steps", operator.max_steps),
        max_attempts: narrow("max_attempts", operator.max_attempts),
        wall_ms: own("wall_ms").map_or(operator.wall_ms, |own| own.min(operator.wall_ms)),
    }
}

fn keep(spec: &mut Spec, name: &str, value: Option<Value>) {
    spec.echo.shift_remove(name);
    if let Some(value) = value {
        spec.echo.insert(name.to_owned(), value);
    }
}

fn keep_rest(spec: &mut Spec, rest: Object) {
    if rest.is_empty() {
        return;
    }
    let mut all = spec.echo.shift_remove(REST).and_then(|known| known.as_object().cloned()).unwrap_or_default();
    all.extend(rest);
    spec.echo.insert(REST.to_owned(), Value::Object(all));
}

fn refuse_unserved(fields: &mut Fields) -> Result<(), Invalid> {
    if let Some(mut multi_agent) = fields.fields("multi_agent")?
        && multi_agent.flag("enabled")?.unwrap_or(false)
    {
        return Err(Invalid::unserved(fields.path("multi_agent")));
    }
    if let Some(mut experimental) = fields.fields("experimental")?
        && experimental.flag("time_awareness")?.unwrap_or(false)
    {
        return Err(Invalid::unserved(experimental.path("time_awareness")));
    }
    Ok(())
}

fn read_reasoning(mut fields: Fields) -> Result<Reasoning, Invalid> {
    let effort = fields.choice("effort", &EFFORTS)?;
    let summary = fields.choice("summary", &["concise", "detailed", "auto"])?;
    Ok(Reasoning { effort, summary, budget_tokens: None })
}

fn read_text(mut fields: Fields) -> Result<TextFormat, Invalid> {
    let verbosity = fields.choice("verbosity", &["low", "medium", "high"])?;
    if verbosity.is_some_and(|verbosity| verbosity != "medium") {
        return Err(Invalid::unserved(fields.path("verbosity")));
    }
    let Some(mut format) = fields.fields("format")? else { return Ok(TextFormat::Text) };
    let kind = format.choice("type", &["text", "json_schema"])?;
    match kind.as_deref() {
        Some("text") => Ok(TextFormat::Text),
        Some(_) => {
            let schema = format.object("schema")?.ok_or_else(|| Invalid::missing(format.path("schema")))?;
            let name = format.text("name")?.unwrap_or_else(|| SCHEMA_NAME.to_owned());
            let strict = Some(format.flag("strict")?.unwrap_or(true));
            let description = format.text("description")?;
            Ok(TextFormat::JsonSchema { name, description, schema: Value::Object(schema), strict })
        }
        None => Err(Invalid::missing(format.path("type"))),
    }
}

/// The fields of an agent object that come from its configuration.
pub fn render(spec: &Spec) -> Object {
    let mut object = Object::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("model", json!(spec.model));
    put("instructions", json!(spec.instructions));
    put("reasoning", json!({ "effort": spec.reasoning.effort, "summary": spec.reasoning.summary }));
    put("text", json!({ "format": format(&spec.text), "verbosity": "medium" }));
    put("tools", Value::Array(tool::list(spec)));
    put("service_tier", spec.echo.get("service_tier").cloned().unwrap_or_else(|| json!("auto")));
    put("multi_agent", json!({ "enabled": false, "max_concurrent_subagents": null }));
    put("compaction", spec.echo.get("compaction").cloned().unwrap_or_else(|| json!({ "async": false })));
    put("experimental", json!({ "time_awareness": false }));
    put(LIMITS, spec.echo.get(LIMITS).cloned().unwrap_or_else(|| json!({})));
    for (name, value) in spec.echo.get(REST).and_then(Value::as_object).into_iter().flatten() {
        object.entry(name.clone()).or_insert_with(|| value.clone());
    }
    object
}

fn format(text: &TextFormat) -> Value {
    match text {
        TextFormat::Text => json!({ "type": "text" }),
        TextFormat::JsonObject => json!({ "type": "json_object" }),
        TextFormat::JsonSchema { schema, .. } => json!({ "type": "json_schema", "schema": schema }),
    }
}
