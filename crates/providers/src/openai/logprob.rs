//! Log probabilities in the vocabulary's shape, whichever server reports them: some leave out what a reader can know.

use serde_json::{Value, json};

/// An upstream's list; `None` where there is nothing in it.
pub(crate) fn canonical(logprobs: Option<Value>) -> Option<Value> {
    let Some(Value::Array(tokens)) = logprobs else { return None };
    let tokens: Vec<Value> = tokens.into_iter().filter(Value::is_object).map(with_alternatives).collect();
    (!tokens.is_empty()).then_some(Value::Array(tokens))
}

fn with_alternatives(token: Value) -> Value {
    let alternatives = match token.get("top_logprobs") {
        Some(Value::Array(all)) => all.iter().map(one).collect(),
        _ => Vec::new(),
    };
    let mut token = one(&token);
    token["top_logprobs"] = Value::Array(alternatives);
    token
}

/// `{ token, logprob, bytes }`.
fn one(token: &Value) -> Value {
    let text = token.get("token").and_then(Value::as_str).unwrap_or_default();
    let bytes = token.get("bytes").filter(|bytes| bytes.is_array());
    let bytes = bytes.cloned().unwrap_or_else(|| json!(text.as_bytes()));
    let logprob = token.get("logprob").filter(|logprob| logprob.is_number()).cloned().unwrap_or(Value::Null);
    json!({ "token": text, "logprob": logprob, "bytes": bytes })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::canonical;

    #[test]
    fn what_a_server_leaves_out_is_filled_in() {
        let given =
            json!([{ "token": "ä", "logprob": -0.5, "top_logprobs": [{ "token": "a", "logprob": -1 }], "x": 1 }]);
        let expected = json!([{ "token": "ä", "logprob": -0.5, "bytes": [195, 164],
            "top_logprobs": [{ "token": "a", "logprob": -1, "bytes": [97] }] }]);
        assert_eq!(canonical(Some(given)), Some(expected));
        for nothing in [None, Some(json!(null)), Some(json!([])), Some(json!("x")), Some(json!([1]))] {
            assert_eq!(canonical(nothing), None);
        }
    }
}
