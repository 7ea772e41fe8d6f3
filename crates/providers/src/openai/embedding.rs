//! `POST /embeddings`, the same for all who speak OpenAI's formats: texts in, vectors out, as numbers or packed in
//! base64. Batching is left to the upstream, which knows its own limits.

use std::sync::Arc;

use data_encoding::BASE64;
use mainstay_vocabulary::{
    Object, Usage,
    inference::{EmbeddingInput, EmbeddingRequest, Embeddings, Failure, FailureKind},
};
use reqwest::{Url, header::HeaderMap};
use serde::Deserialize;
use serde_json::{Value, json};

use super::lenient::{Count, Text};
use crate::{
    Dialect, Reply,
    http::{
        account::{Account, Outgoing},
        decode::body_json,
        failure::{self, protocol},
    },
};

/// Longest vector; no known model makes one of a tenth of this.
pub const MAX_DIMENSIONS: usize = 1 << 16;

/// Asks upstream once the reply is awaited.
pub(crate) fn embed(account: Arc<Account>, url: Url, request: EmbeddingRequest, dialect: Dialect) -> Reply<Embeddings> {
    Box::pin(async move {
        let body = encode(&request, dialect)?;
        let answer = account.ask(Outgoing { url, headers: HeaderMap::new(), body }).await?;
        decode(&answer, request.input.len()).map_err(|failure| account.own(failure))
    })
}

/// The body's bytes. Vectors are asked for in base64, a third of the length of numbers, where it is sure to be known.
pub fn encode(request: &EmbeddingRequest, dialect: Dialect) -> Result<Vec<u8>, Failure> {
    let mut body = Object::new();
    let input = request.input.iter().map(|input| match input {
        EmbeddingInput::Text(text) => json!(text),
        EmbeddingInput::Tokens(tokens) => json!(tokens),
    });
    body.insert("model".to_owned(), request.upstream_model.as_str().into());
    body.insert("input".to_owned(), input.collect());
    if let Some(dimensions) = request.dimensions {
        body.insert("dimensions".to_owned(), dimensions.into());
    }
    let encoding = if dialect == Dialect::OpenAi { "base64" } else { "float" };
    body.insert("encoding_format".to_owned(), encoding.into());
    for (name, value) in &request.extra {
        body.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    serde_json::to_vec(&body).map_err(|error| Failure {
        kind: FailureKind::InvalidRequest,
        message: format!("the request cannot be written as JSON: {error}"),
        retry_after_ms: None,
    })
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    data: Option<Vec<Entry<'a>>>,
    #[serde(borrow, default)]
    model: Text<'a>,
    #[serde(default)]
    usage: Option<Tokens>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(default)]
    index: Count,
    #[serde(borrow)]
    embedding: Vector<'a>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Vector<'a> {
    Numbers(Vec<f32>),
    Packed(#[serde(borrow)] std::borrow::Cow<'a, str>),
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    prompt_tokens: Count,
    #[serde(default)]
    total_tokens: Count,
}

/// The vectors of `asked` texts, in their order. Fails as `Protocol` where one is missing or is no vector.
pub fn decode(body: &[u8], asked: usize) -> Result<Embeddings, Failure> {
    let answer: Answer<'_> = body_json(body)?;
    if let Some(error) = answer.error.filter(|error| !error.is_null()) {
        return Err(failure::in_stream(&error));
    }
    let entries = answer.data.unwrap_or_default();
    if entries.len() != asked {
        return Err(protocol("another number of vectors than was asked for"));
    }
    let mut vectors: Vec<Vec<f32>> = vec![Vec::new(); asked];
    for (place, entry) in entries.into_iter().enumerate() {
        let place = entry.index.0.map_or(Some(place), |index| usize::try_from(index).ok());
        let slot = place.and_then(|place| vectors.get_mut(place)).filter(|slot| slot.is_empty());
        *slot.ok_or_else(|| protocol("two vectors for one text"))? = entry.embedding.read()?;
    }
    let usage = answer.usage.and_then(|tokens| tokens.prompt_tokens.0.or(tokens.total_tokens.0));
    let usage = usage.map(|input| Usage { input, ..Usage::default() });
    let model = Some(answer.model.0.into_owned()).filter(|model| !model.is_empty());
    Ok(Embeddings { vectors, usage, model })
}

impl Vector<'_> {
    fn read(self) -> Result<Vec<f32>, Failure> {
        let vector = match self {
            Self::Numbers(numbers) => numbers,
            Self::Packed(text) => unpack(&text).ok_or_else(|| protocol("a vector that is not base64 of floats"))?,
        };
        let is_sound = (1..=MAX_DIMENSIONS).contains(&vector.len()) && vector.iter().all(|number| number.is_finite());
        if is_sound { Ok(vector) } else { Err(protocol("a vector that is none")) }
    }
}

/// Little-endian floats of four bytes.
fn unpack(text: &str) -> Option<Vec<f32>> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    let (floats, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| floats.iter().copied().map(f32::from_le_bytes).collect())
}

#[cfg(test)]
mod tests {
    use mainstay_vocabulary::inference::{EmbeddingInput, EmbeddingRequest, FailureKind};
    use serde_json::{Value, json};

    use super::{decode, encode};
    use crate::Dialect;

    #[test]
    fn a_request_says_all_and_only_what_was_asked() {
        let request = EmbeddingRequest {
            upstream_model: "e-1".to_owned(),
            input: vec![EmbeddingInput::Text("a".to_owned()), EmbeddingInput::Tokens(vec![1, 2])],
            dimensions: Some(256),
            extra: json!({ "user": "u", "model": "other", "encoding_format": "float" }).as_object().unwrap().clone(),
        };
        let body = |dialect| serde_json::from_slice::<Value>(&encode(&request, dialect).unwrap()).unwrap();
        let expected = json!({ "model": "e-1", "input": ["a", [1, 2]], "dimensions": 256, "encoding_format": "base64",
            "user": "u" });
        assert_eq!(body(Dialect::OpenAi), expected);
        assert_eq!(body(Dialect::Vllm)["encoding_format"], "float");
    }

    #[test]
    fn vectors_are_read_in_either_form_and_put_in_order() {
        let body = json!({ "model": "e-1", "usage": { "prompt_tokens": 5, "total_tokens": 5 },
            "data": [{ "index": 1, "embedding": "AAAAPwAAgL8=" }, { "index": 0, "embedding": [0.25, 2] }] });
        let read = decode(body.to_string().as_bytes(), 2).unwrap();
        assert_eq!(read.vectors, [[0.25, 2.0], [0.5, -1.0]]);
        assert_eq!(read.usage.unwrap().input, 5);
        assert_eq!(read.model.as_deref(), Some("e-1"));
        let unnumbered = json!({ "data": [{ "embedding": [1] }, { "embedding": [2] }] });
        assert_eq!(decode(unnumbered.to_string().as_bytes(), 2).unwrap().vectors, [[1.0], [2.0]]);
    }

    #[test]
    fn what_is_no_vector_is_refused() {
        let cases = [
            json!({ "data": [] }),
            json!({ "data": null }),
            json!({ "data": [{ "embedding": [1] }, { "embedding": [1] }] }),
            json!({ "data": [{ "index": 7, "embedding": [1] }] }),
            json!({ "data": [{ "embedding": [] }] }),
            json!({ "data": [{ "embedding": "AAA=" }] }),
            json!({ "data": [{ "embedding": "!" }] }),
            json!({ "data": [{ "embedding": "AADAfw==" }] }),
            json!({ "data": [{ "embedding": [1e300] }] }),
            json!({ "data": [{ "embedding": vec![0; 70_000] }] }),
            json!([]),
        ];
        for case in cases {
            let kind = decode(case.to_string().as_bytes(), 1).unwrap_err().kind;
            assert_eq!(kind, FailureKind::Protocol, "{case}");
        }
        let twice = json!({ "data": [{ "index": 0, "embedding": [1] }, { "index": 0, "embedding": [1] }] });
        assert_eq!(decode(twice.to_string().as_bytes(), 2).unwrap_err().kind, FailureKind::Protocol);
        let error = json!({ "error": { "message": "x", "code": 429 } });
        assert_eq!(decode(error.to_string().as_bytes(), 1).unwrap_err().kind, FailureKind::RateLimited);
        assert_eq!(decode(b"{\"data\":[", 1).unwrap_err().kind, FailureKind::Broken);
    }
}
