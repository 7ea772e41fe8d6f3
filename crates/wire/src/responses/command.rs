//! `POST /responses`, from the wire to ours. A parameter that would change the meaning of the answer and is not served
//! is refused by name; one that is only a hint is taken and echoed.

use std::sync::Arc;

use mainstay_session::{
    Spec,
    command::Respond,
    event::{Task, TurnOptions},
    spec::{CallMode, Compaction, Interruption, Limits, Retention, Truncation},
};
use mainstay_vocabulary::{
    Object, SessionId, TurnId,
    inference::{Extra, Format, Reasoning, Sampling, TextFormat},
};
use serde_json::{Value, json};

use super::{
    input::{self, Element},
    item::Shape,
    tool,
};
use crate::{
    fields::{Fields, Invalid, metadata},
    tier,
};

/// Parameters that are refused where they are given: they would change what is answered.
const UNSERVED: [&str; 10] = [
    "prompt",
    "moderation",
    "access_programs",
    "background_options",
    "image",
    "seed",
    "stop",
    "top_k",
    "min_p",
    "logit_bias",
];

/// Parameters of a turn that mean nothing to the runtime and are shown again in the Response.
const ECHOED: [&str; 5] =
    ["user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"];

/// Parameters that only an upstream of the same format knows; sent there, left out elsewhere.
const FORWARDED: [&str; 4] = ["user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"];

/// What `include` may name. All but the last two ask for things that a Response here holds anyway or never has.
const INCLUDABLE: [&str; 8] = [
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    LOGPROBS,
    ENCRYPTED,
];
const LOGPROBS: &str = "message.output_text.logprobs";
const ENCRYPTED: &str = "reasoning.encrypted_content";

/// Least `compact_threshold`, the vendor's: below it every step would compact.
const MIN_THRESHOLD: u64 = 1_000;
/// Most entries of `include`.
const MAX_INCLUDES: usize = 32;
/// Most entries of `context_management`; there is one type.
const MAX_CONTEXT_MANAGEMENT: usize = 8;
/// Longest text of a parameter that is only echoed, bytes: it is kept with every turn.
const MAX_ECHO: usize = 4_096;
/// Most other unknown parameters that are kept, bytes of JSON.
const MAX_REST: usize = 16_384;
/// Longest name of a model, bytes.
const MAX_MODEL: usize = 256;

/// A request for a Response.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateResponse {
    /// What the turn runs with.
    pub spec: Arc<Spec>,
    /// What the turn keeps of the request; `previous` is set.
    pub options: TurnOptions,
    /// The new items; references are to be looked up.
    pub input: Vec<Element>,
    /// People's answers that the input brings.
    pub answers: Vec<Respond>,
    /// The conversation to go on with.
    pub conversation: Option<SessionId>,
    /// Whether to answer with events.
    pub stream: bool,
    /// Whether to answer before the turn is over.
    pub background: bool,
    /// How the answer is shown.
    pub shape: Shape,
}

impl CreateResponse {
    /// Reads a request's body.
    ///
    /// # Errors
    /// Names the parameter that is wrong or not served.
    pub fn read(body: Object, limits: Limits) -> Result<Self, Invalid> {
        let mut fields = Fields::root(body);
        refuse_unserved(&mut fields)?;
        let stream = fields.flag("stream")?.unwrap_or(false);
        let background = fields.flag("background")?.unwrap_or(false);
        let store = fields.flag("store")?.unwrap_or(true);
        if background && !store {
            return Err(Invalid::value("background", "'background' requires 'store' to be true."));
        }
        let (shape, wants_logprobs) = read_shape(&mut fields)?;
        let (previous, conversation) = read_place(&mut fields)?;
        if conversation.is_some() && !store {
            return Err(Invalid::value("store", "A response in a conversation is stored."));
        }
        let mut task = Task::Answer;
        let answers = input::answers(fields.get("input"))?;
        let input = match fields.take("input") {
            Some(mut input) => {
                if input::take_trigger(&mut input) {
                    task = Task::Compact;
                }
                input::read(input, "input")?
            }
            None if previous.is_some() || conversation.is_some() => Vec::new(),
            None => return Err(Invalid::missing("input")),
        };
        let mut echo = Object::new();
        let mut spec = read_spec(&mut fields, &mut echo)?;
        spec.sampling.top_logprobs = read_logprobs(&mut fields, wants_logprobs)?;
        spec.compaction = read_context_management(&mut fields)?;
        spec.limits = limits;
        spec.retention = if store { Retention::Keep } else { Retention::ReceiptOnly };
        spec.service_tier = read_tier(&mut fields, &mut echo)?;
        spec.extra = read_extra(&fields, &echo);
        read_echo(fields, &mut echo)?;
        if echo.get("truncation") == Some(&json!("auto")) {
            spec.truncation = Truncation::Auto;
        }
        if background {
            echo.insert("background".to_owned(), json!(true));
        }
        let options = TurnOptions { task, previous, echo };
        Ok(Self { spec: Arc::new(spec), options, input, answers, conversation, stream, background, shape })
    }

    /// Reads the body of `POST /responses/compact`. Nothing of it is kept: its answer is the client's next input.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_compaction(mut body: Object, limits: Limits) -> Result<Self, Invalid> {
        for name in ["stream", "background", "store", "conversation", "context_management"] {
            if body.get(name).is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false))) {
                return Err(Invalid::unserved(name));
            }
        }
        body.insert("store".to_owned(), json!(false));
        let mut request = Self::read(body, limits)?;
        request.options.task = Task::Compact;
        Ok(request)
    }

    /// Reads the body of `POST /responses/input_tokens`: as a Response that is not made.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_count(mut body: Object, limits: Limits) -> Result<Self, Invalid> {
        for name in ["stream", "background", "store", "personality"] {
            if body.get(name).is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false))) {
                return Err(Invalid::unserved(name));
            }
        }
        let is_alone = ["input", "previous_response_id", "conversation"]
            .iter()
            .all(|name| body.get(*name).is_none_or(Value::is_null));
        if is_alone {
            body.insert("input".to_owned(), json!([]));
        }
        Self::read(body, limits)
    }

    /// Keeps for echo which prompt filled the body.
    pub fn keep_prompt(&mut self, prompt: Value) {
        self.options.echo.insert("prompt".to_owned(), prompt);
    }

    /// Whether nothing of it may be kept.
    pub fn is_ephemeral(&self) -> bool {
        self.spec.retention == Retention::ReceiptOnly
    }
}

fn refuse_unserved(fields: &mut Fields) -> Result<(), Invalid> {
    for name in UNSERVED {
        match fields.take(name) {
            None => {}
            Some(Value::Array(list)) if list.is_empty() => {}
            Some(_) => return Err(Invalid::unserved(name)),
        }
    }
    Ok(())
}

/// Whether log probabilities are asked for, and how many alternatives.
fn read_logprobs(fields: &mut Fields, wanted: bool) -> Result<Option<u64>, Invalid> {
    let count = fields.count("top_logprobs", 0..=20)?;
    Ok(count.filter(|count| wanted || *count > 0).or(wanted.then_some(0)))
}

/// `context_management`: the only type is `compaction`.
fn read_context_management(fields: &mut Fields) -> Result<Option<Compaction>, Invalid> {
    let mut compaction = None;
    let entries = fields.list("context_management", MAX_CONTEXT_MANAGEMENT)?.unwrap_or_default();
    for (index, entry) in entries.into_iter().enumerate() {
        let mut entry = Fields::at(format!("context_management[{index}]"), entry)?;
        if entry.choice("type", &["compaction"])?.is_none() {
            return Err(Invalid::missing(entry.path("type")));
        }
        let threshold_tokens = entry.count("compact_threshold", MIN_THRESHOLD..=u64::MAX)?;
        compaction = Some(Compaction { threshold_tokens });
    }
    Ok(compaction)
}

/// The tier that the provider is asked for. The Response says in the end which one served.
fn read_tier(fields: &mut Fields, echo: &mut Object) -> Result<Option<String>, Invalid> {
    let tier = fields.choice("service_tier", &tier::KNOWN)?;
    if let Some(tier) = &tier {
        echo.insert("service_tier".to_owned(), json!(tier));
    }
    Ok(tier::asked(tier))
}

/// What an upstream of the same format is sent besides what has a canonical meaning.
fn read_extra(fields: &Fields, echo: &Object) -> Option<Arc<Extra>> {
    let named = FORWARDED.iter().filter_map(|name| Some(((*name).to_owned(), fields.get(name)?.clone())));
    let mut sent: Object = named.filter(|(_, value)| value.is_string()).collect();
    if let Some(verbosity) = echo.get("verbosity") {
        sent.insert("text".to_owned(), json!({ "verbosity": verbosity }));
    }
    (!sent.is_empty()).then(|| Arc::new(Extra { format: Format::OpenAiResponses, fields: sent }))
}

fn read_shape(fields: &mut Fields) -> Result<(Shape, bool), Invalid> {
    let mut names = Vec::new();
    for (index, value) in fields.list("include", MAX_INCLUDES)?.unwrap_or_default().into_iter().enumerate() {
        let Value::String(name) = value else { return Err(Invalid::kind(format!("include[{index}]"), "a string")) };
        names.push(name);
    }
    let obfuscated = match fields.fields("stream_options")? {
        Some(mut options) => options.flag("include_obfuscation")?.unwrap_or(false),
        None => false,
    };
    let wants_logprobs = names.iter().any(|name| name == LOGPROBS);
    Ok((shape(names.iter().map(String::as_str), obfuscated)?, wants_logprobs))
}

/// What `include` and `include_obfuscation` ask for.
///
/// # Errors
/// A name is unknown or not served.
pub fn shape<'a>(include: impl Iterator<Item = &'a str>, obfuscated: bool) -> Result<Shape, Invalid> {
    let mut shape = Shape { encrypted: false, obfuscated };
    for name in include {
        if !INCLUDABLE.contains(&name) {
            let message = format!("'include' may name {}.", INCLUDABLE.join(", "));
            return Err(Invalid::value("include", message));
        }
        shape.encrypted |= name == ENCRYPTED;
    }
    Ok(shape)
}

fn read_place(fields: &mut Fields) -> Result<(Option<TurnId>, Option<SessionId>), Invalid> {
    let previous = fields.text("previous_response_id")?;
    let conversation = match fields.take("conversation") {
        None => None,
        Some(Value::String(id)) => Some(id),
        Some(value) => Some(Fields::at("conversation", value)?.needed_text("id")?),
    };
    if previous.is_some() && conversation.is_some() {
        let message = "'previous_response_id' and 'conversation' cannot be used together.";
        return Err(Invalid { code: "mutually_exclusive_parameters", ..Invalid::value("conversation", message) });
    }
    let previous = previous.map(|id| id.parse().map_err(|_| previous_not_found(&id))).transpose()?;
    let conversation = conversation.map(|id| id.parse().map_err(|_| conversation_not_found(&id))).transpose()?;
    Ok((previous, conversation))
}

/// The Response that the client names as the one before is not there.
pub fn previous_not_found(id: &str) -> Invalid {
    let shown: String = id.chars().take(96).collect();
    Invalid {
        message: format!("Previous response with id '{shown}' not found."),
        param: "previous_response_id".to_owned(),
        code: "previous_response_not_found",
    }
}

fn conversation_not_found(id: &str) -> Invalid {
    let shown: String = id.chars().take(96).collect();
    let message = format!("Conversation with id '{shown}' not found.");
    Invalid { message, param: "conversation".to_owned(), code: "conversation_not_found" }
}

fn read_spec(fields: &mut Fields, echo: &mut Object) -> Result<Spec, Invalid> {
    let model = fields.needed_text("model")?;
    if model.is_empty() || model.len() > MAX_MODEL {
        return Err(Invalid::value("model", format!("A model's name has 1 to {MAX_MODEL} bytes.")));
    }
    let tools = tool::read(fields)?;
    let sampling = Sampling {
        temperature: fields.number("temperature", 0.0..=2.0)?,
        top_p: fields.number("top_p", 0.0..=1.0)?,
        max_output_tokens: fields.count("max_output_tokens", 1..=u64::MAX)?,
        presence_penalty: fields.number("presence_penalty", -2.0..=2.0)?,
        frequency_penalty: fields.number("frequency_penalty", -2.0..=2.0)?,
        ..Sampling::default()
    };
    Ok(Spec {
        instructions: fields.text("instructions")?.map(Arc::from),
        tools: tools.functions,
        toolsets: tools.toolsets,
        tool_choice: tools.choice,
        parallel_tool_calls: fields.flag("parallel_tool_calls")?,
        sampling,
        reasoning: read_reasoning(fields)?,
        text: read_text(fields, echo)?,
        calls: CallMode::Yield,
        interruption: Interruption::End,
        echo: tools.echo,
        ..Spec::plain(model)
    })
}

fn read_reasoning(fields: &mut Fields) -> Result<Reasoning, Invalid> {
    let Some(mut fields) = fields.fields("reasoning")? else { return Ok(Reasoning::default()) };
    let effort = fields.text("effort")?;
    let (summary, older) = (fields.text("summary")?, fields.text("generate_summary")?);
    for (name, usual) in [("mode", "standard"), ("context", "auto")] {
        if fields.text(name)?.is_some_and(|value| value != usual) {
            return Err(Invalid::unserved(fields.path(name)));
        }
    }
    Ok(Reasoning { effort, summary: summary.or(older), budget_tokens: None })
}

fn read_text(fields: &mut Fields, echo: &mut Object) -> Result<TextFormat, Invalid> {
    let Some(mut fields) = fields.fields("text")? else { return Ok(TextFormat::Text) };
    if let Some(verbosity) = fields.choice("verbosity", &["low", "medium", "high"])? {
        echo.insert("verbosity".to_owned(), json!(verbosity));
    }
    let Some(mut format) = fields.fields("format")? else { return Ok(TextFormat::Text) };
    match format.needed_text("type")?.as_str() {
        "text" => Ok(TextFormat::Text),
        "json_object" => Ok(TextFormat::JsonObject),
        "json_schema" => Ok(TextFormat::JsonSchema {
            name: format.needed_text("name")?,
            description: format.text("description")?,
            schema: format
                .object("schema")?
                .map(Value::Object)
                .ok_or_else(|| Invalid::missing("text.format.schema"))?,
            strict: format.flag("strict")?,
        }),
        _ => {
            let message = "'text.format.type' must be text, json_object or json_schema.";
            Err(Invalid::value(format.path("type"), message))
        }
    }
}

fn read_echo(mut fields: Fields, echo: &mut Object) -> Result<(), Invalid> {
    if let Some(metadata) = metadata(&mut fields)?.filter(|metadata| !metadata.is_empty()) {
        echo.insert("metadata".to_owned(), Value::Object(metadata));
    }
    if let Some(truncation) = fields.choice("truncation", &["auto", "disabled"])? {
        echo.insert("truncation".to_owned(), json!(truncation));
    }
    // It bounds tools that the server runs; there are none, so every bound holds.
    if let Some(count) = fields.count("max_tool_calls", 1..=u64::MAX)? {
        echo.insert("max_tool_calls".to_owned(), json!(count));
    }
    for name in ECHOED {
        let Some(value) = fields.take(name) else { continue };
        if value.get("prewarm").and_then(Value::as_bool) == Some(true) {
            return Err(Invalid::unserved(format!("{name}.prewarm")));
        }
        if value.to_string().len() > MAX_ECHO {
            return Err(Invalid::value(name, format!("'{name}' is longer than {MAX_ECHO} bytes.")));
        }
        if name != "prompt_cache_options" && !value.is_string() {
            return Err(Invalid::kind(name, "a string"));
        }
        echo.insert(name.to_owned(), value);
    }
    let rest = fields.rest();
    if !rest.is_empty() {
        let rest = Value::Object(rest);
        if rest.to_string().len() > MAX_REST {
            return Err(Invalid::value("", format!("Unknown parameters take more than {MAX_REST} bytes.")));
        }
        echo.insert("rest".to_owned(), rest);
    }
    Ok(())
}
