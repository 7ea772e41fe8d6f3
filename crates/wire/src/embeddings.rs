//! OpenAI's embeddings, stateless: the request as read, the vectors as shown.

use data_encoding::BASE64;
use mainstay_vocabulary::{
    Object,
    inference::{EmbeddingInput, EmbeddingRequest, Embeddings},
};
use serde_json::{Value, json};

use crate::{
    fields::{Fields, Invalid},
    stateless::check_model,
};

/// Most texts of one request; the vendor's limit.
const MAX_INPUT: usize = 2_048;

/// How vectors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As a list of numbers.
    Float,
    /// As base64 of little-endian 32-bit floats.
    Base64,
}

/// A request as read.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The model that was asked for.
    pub model: String,
    /// What it asks; the route fills in the upstream's name of the model.
    pub request: EmbeddingRequest,
    /// How the vectors are wanted.
    pub encoding: Encoding,
}

/// Reads a request.
///
/// # Errors
/// Names the parameter that is wrong.
pub fn read(object: Object) -> Result<Call, Invalid> {
    let mut fields = Fields::root(object);
    let model = fields.needed_text("model")?;
    check_model(&model)?;
    let input = read_input(fields.take("input").ok_or_else(|| Invalid::missing("input"))?)?;
    let encoding = match fields.choice("encoding_format", &["float", "base64"])?.as_deref() {
        Some("base64") => Encoding::Base64,
        _ => Encoding::Float,
    };
    let dimensions = fields.count("dimensions", 1..=u64::MAX)?;
    let request = EmbeddingRequest { upstream_model: String::new(), input, dimensions, extra: fields.rest() };
    Ok(Call { model, request, encoding })
}

fn read_input(value: Value) -> Result<Vec<EmbeddingInput>, Invalid> {
    let list = match value {
        Value::String(text) => return one(text, "input").map(|input| vec![input]),
        Value::Array(list) if list.is_empty() => {
            return Err(Invalid::value("input", "'input' must not be empty."));
        }
        Value::Array(list) if list.iter().all(Value::is_number) => {
            return Ok(vec![EmbeddingInput::Tokens(tokens(&list, "input")?)]);
        }
        Value::Array(list) if list.len() <= MAX_INPUT => list,
        Value::Array(_) => {
            return Err(Invalid::value("input", format!("'input' may have at most {MAX_INPUT} elements.")));
        }
        _ => return Err(Invalid::kind("input", "a string or an array")),
    };
    let read = |(index, value)| {
        let path = format!("input[{index}]");
        match value {
            Value::String(text) => one(text, &path),
            Value::Array(list) if !list.is_empty() => tokens(&list, &path).map(EmbeddingInput::Tokens),
            _ => Err(Invalid::kind(path, "a string or an array of tokens")),
        }
    };
    list.into_iter().enumerate().map(read).collect()
}

fn one(text: String, path: &str) -> Result<EmbeddingInput, Invalid> {
    if text.is_empty() {
        return Err(Invalid::value(path, format!("'{path}' must not be empty.")));
    }
    Ok(EmbeddingInput::Text(text))
}

fn tokens(list: &[Value], path: &str) -> Result<Vec<u32>, Invalid> {
    let token = |value: &Value| value.as_u64().and_then(|token| u32::try_from(token).ok());
    list.iter().map(token).collect::<Option<_>>().ok_or_else(|| Invalid::kind(path, "an array of tokens"))
}

/// The answer.
pub fn object(model: &str, encoding: Encoding, embeddings: &Embeddings) -> Value {
    let vector = |vector: &Vec<f32>| match encoding {
        Encoding::Float => json!(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            json!(BASE64.encode(&bytes))
        }
    };
    let data: Vec<Value> = (0..)
        .zip(&embeddings.vectors)
        .map(
            |(index, numbers): (u64, _)| json!({ "object": "embedding", "index": index, "embedding": vector(numbers) }),
        )
        .collect();
    let input = embeddings.usage.map_or(0, |usage| usage.input);
    json!({
        "object": "list", "data": data, "model": model,
        "usage": { "prompt_tokens": input, "total_tokens": input },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(value: Value) -> Result<Call, Invalid> {
        read(value.as_object().cloned().unwrap())
    }

    #[test]
    fn every_form_of_input_is_read() {
        let input = |input: Value| call(json!({ "model": "m", "input": input })).map(|call| call.request.input);
        let text = |text: &str| EmbeddingInput::Text(text.to_owned());
        assert_eq!(input(json!("a")).unwrap(), [text("a")]);
        assert_eq!(input(json!(["a", "b"])).unwrap(), [text("a"), text("b")]);
        assert_eq!(input(json!([1, 2])).unwrap(), [EmbeddingInput::Tokens(vec![1, 2])]);
        assert_eq!(
            input(json!([[1], [2]])).unwrap(),
            [EmbeddingInput::Tokens(vec![1]), EmbeddingInput::Tokens(vec![2])]
        );
        for (wrong, param) in [
            (json!(""), "input"),
            (json!([]), "input"),
            (json!({}), "input"),
            (json!(["a", ""]), "input[1]"),
            (json!(["a", 1]), "input[1]"),
            (json!([1, -2]), "input"),
            (json!(vec!["a"; MAX_INPUT + 1]), "input"),
        ] {
            assert_eq!(input(wrong).unwrap_err().param, param);
        }
    }

    #[test]
    fn vectors_are_written_either_way() {
        let embeddings = Embeddings { vectors: vec![vec![1.0, -0.5]], usage: None, model: None };
        assert_eq!(object("m", Encoding::Float, &embeddings)["data"][0]["embedding"], json!([1.0, -0.5]));
        assert_eq!(object("m", Encoding::Base64, &embeddings)["data"][0]["embedding"], json!("AACAPwAAAL8="));
    }
}
