//! A parsed request, encoded for every upstream format: it always can be, it is JSON for the model that was chosen, and
//! the client's own body loses nothing on its way to an upstream of the same format.

use mainstay_providers::{
    Dialect, anthropic, openai::embedding, openai::encoded::Encoded, openai_chat, openai_responses,
};
use mainstay_vocabulary::{
    Object,
    inference::{EmbeddingRequest, Failure, Format, Request, Verbatim},
};
use serde_json::Value;

use crate::random::Random;

/// Servers whose ways differ.
const DIALECTS: [Dialect; 8] = [
    Dialect::OpenAi,
    Dialect::Compatible,
    Dialect::Vllm,
    Dialect::LlamaCpp,
    Dialect::Ollama,
    Dialect::DeepSeek,
    Dialect::OpenRouter,
    Dialect::Mistral,
];

/// What a codec may replace in the client's own body.
const REPLACED: [&str; 8] = [
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "num_predict",
    "thinking",
];

/// Encodes what was read, with and without the client's own body.
pub(crate) fn check(request: &Request, random: &mut Random) {
    let mut request = Request { deployment: "d-1".to_owned(), ..request.clone() };
    let dialect = DIALECTS[random.below(DIALECTS.len())];
    every(&request, dialect);
    if request.verbatim.take().is_some() {
        every(&request, dialect);
    }
}

/// As `check`, of texts to embed.
pub(crate) fn check_embedding(request: &EmbeddingRequest, random: &mut Random) {
    let dialect = DIALECTS[random.below(DIALECTS.len())];
    let encoded = embedding::encode(request, dialect);
    read(&encoded.unwrap_or_default());
}

fn every(request: &Request, dialect: Dialect) {
    let own = |format| request.verbatim.as_deref().filter(|verbatim| verbatim.format == format);
    body(request, own(Format::OpenAiChat), || openai_chat::encode::encode(request, dialect));
    body(request, own(Format::OpenAiResponses), || openai_responses::encode::encode(request, dialect));
    body(request, own(Format::AnthropicMessages), || anthropic::encode::encode(request));
    read(&openai_responses::encode::encode_count(request, dialect).unwrap_or_default());
    read(&anthropic::encode::count(request).unwrap_or_default());
}

fn body(request: &Request, own: Option<&Verbatim>, encode: impl Fn() -> Result<Encoded, Failure>) {
    let (encoded, again) = (encode().map(|encoded| encoded.body), encode().map(|encoded| encoded.body));
    assert_eq!(encoded, again, "the same request gives other bytes");
    let body = read(&encoded.unwrap_or_default());
    assert_eq!(body["model"], request.upstream_model.as_str(), "another model");
    for (name, value) in own.iter().flat_map(|verbatim| &verbatim.body) {
        assert!(REPLACED.contains(&name.as_str()) || body.get(name) == Some(value), "`{name}` was lost or changed");
    }
}

/// The body as JSON; an encoder that gave none gave no bytes.
fn read(bytes: &[u8]) -> Object {
    let value = serde_json::from_slice(bytes);
    assert!(matches!(value, Ok(Value::Object(_))), "a body that is no JSON object: {value:?}");
    match value {
        Ok(Value::Object(body)) => body,
        _ => Object::new(),
    }
}
