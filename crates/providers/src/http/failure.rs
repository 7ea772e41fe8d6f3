//! What upstream errors mean. Their message is kept for people, shortened; the class is found from status, code and,
//! for prompts that do not fit, from the words that servers use.

use std::{error::Error, fmt::Write as _};

use mainstay_vocabulary::inference::{Failure, FailureKind};
use reqwest::header::HeaderMap;
use serde_json::Value;

/// Longest provider message that is kept, bytes.
const MAX_MESSAGE_BYTES: usize = 500;

/// Longest wait that is believed: a day, in milliseconds.
const MAX_RETRY_AFTER_MS: u64 = 24 * 60 * 60 * 1_000;

/// How servers say that a prompt does not fit, in lower case (OpenAI, vLLM, llama.cpp, Ollama and gateways).
const CONTEXT_TEXTS: [&str; 9] = [
    "context_length_exceeded",
    "exceed_context_size",
    "context length",
    "context size",
    "context window",
    "maximum model length",
    "max_model_len",
    "prompt is too long",
    "exceed context limit",
];

/// How servers say that an account has no money or quota left, in lower case.
const QUOTA_TEXTS: [&str; 4] =
    ["insufficient_quota", "exceeded your current quota", "billing_error", "credit balance is too low"];

/// Statuses of the error types that say no number inside a stream (Anthropic's; OpenAI's have the same names).
const STATUSES: [(&str, u16); 9] = [
    ("invalid_request_error", 400),
    ("authentication_error", 401),
    ("permission_error", 403),
    ("not_found_error", 404),
    ("request_too_large", 413),
    ("rate_limit_error", 429),
    ("api_error", 500),
    ("timeout_error", 504),
    ("overloaded_error", 529),
];

/// How codes begin that Responses gives for a request which will never be served, where it has no status to say so.
const REFUSED_CODES: [&str; 9] = [
    "invalid_prompt",
    "invalid_image",
    "invalid_base64_image",
    "image_",
    "unsupported_image",
    "empty_image",
    "failed_to_download_image",
    "bio_policy",
    "misalignment_policy",
];

/// What came back breaks the format.
pub(crate) fn protocol(message: &str) -> Failure {
    Failure { kind: FailureKind::Protocol, message: message.to_owned(), retry_after_ms: None }
}

/// An error inside a stream, or inside an answer that calls itself a success.
pub(crate) fn in_stream(error: &Value) -> Failure {
    let said = Said::read(error);
    let status = said.code.parse().ok().filter(|status| (400..600).contains(status));
    let named = || STATUSES.iter().find(|(class, _)| *class == said.class).map(|(_, status)| *status);
    let refused = || REFUSED_CODES.iter().any(|code| said.code.starts_with(code)).then_some(400);
    let kind = classify(status.or_else(named).or_else(refused).unwrap_or(500), &said);
    Failure { kind, message: bounded(&said.message), retry_after_ms: None }
}

/// A response that is not a success.
pub(crate) fn of_response(status: u16, headers: &HeaderMap, body: &[u8]) -> Failure {
    let said = Said::body(body);
    let mut message = format!("answered {status}");
    if !said.message.is_empty() {
        let _ = write!(message, ": {}", said.message);
    }
    Failure { kind: classify(status, &said), message: bounded(&message), retry_after_ms: retry_after_ms(headers) }
}

/// A call that brought no response, or whose response broke off.
pub(crate) fn of_transport(error: reqwest::Error) -> Failure {
    let kind = match (error.is_timeout(), error.is_connect()) {
        (true, _) => FailureKind::Timeout,
        (false, true) => FailureKind::Connect,
        (false, false) => FailureKind::Broken,
    };
    let error = error.without_url();
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(message, ": {cause}");
        source = cause.source();
    }
    Failure { kind, message: bounded(&message), retry_after_ms: None }
}

/// What an error object says.
struct Said {
    message: String,
    code: String,
    class: String,
}

impl Said {
    fn body(body: &[u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(value) => Self::read(&value),
            Err(_) => Self::text(&String::from_utf8_lossy(body)),
        }
    }

    /// `{"error": {"message", "code", "type"}}`, the inner object alone, `{"error": "text"}`, `{"detail": …}`, text.
    fn read(value: &Value) -> Self {
        let error = value.get("error").filter(|error| !error.is_null()).unwrap_or(value);
        if let Some(text) = error.as_str() {
            return Self::text(text);
        }
        let message = error.get("message").or_else(|| error.get("detail"));
        Self {
            message: message.map(text_of).unwrap_or_default(),
            code: error.get("code").map(text_of).unwrap_or_default(),
            class: error.get("type").map(text_of).unwrap_or_default(),
        }
    }

    fn text(text: &str) -> Self {
        Self { message: text.to_owned(), code: String::new(), class: String::new() }
    }

    fn says(&self, texts: &[&str]) -> bool {
        let all = [&self.code, &self.class, &self.message].map(|text| text.to_lowercase());
        texts.iter().any(|words| all.iter().any(|text| text.contains(words)))
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn classify(status: u16, said: &Said) -> FailureKind {
    let is_rate_limit = said.code.contains("rate_limit") || said.class.contains("rate_limit");
    match status {
        // llama.cpp has answered 500 to a prompt that does not fit; it never fits later either.
        400 | 413 | 422 | 500 if said.says(&CONTEXT_TEXTS) => FailureKind::ContextLength,
        400 | 402 | 403 | 429 | 500 if said.says(&QUOTA_TEXTS) => FailureKind::Quota,
        402 => FailureKind::Quota,
        500.. if is_rate_limit => FailureKind::RateLimited,
        401..=403 => FailureKind::Authentication,
        // A redirect is not followed: it would carry prompt and key to an address nobody configured.
        300..=399 | 404 | 405 | 410 => FailureKind::NotFound,
        408 | 504 => FailureKind::Timeout,
        413 => FailureKind::ContextLength,
        429 => FailureKind::RateLimited,
        400..=499 => FailureKind::InvalidRequest,
        _ => FailureKind::Upstream,
    }
}

/// One line, at most `MAX_MESSAGE_BYTES`.
pub(crate) fn bounded(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_MESSAGE_BYTES);
    let mut line: String = text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if end < text.len() {
        line.push('…');
    }
    line
}

/// `retry-after-ms`, or `retry-after` in seconds; a date is ignored, because there is no clock here.
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let milliseconds = number("retry-after-ms").or_else(|| number("retry-after").map(|seconds| seconds * 1_000.0))?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is wanted")]
    let whole = (milliseconds >= 0.0).then_some(milliseconds.ceil() as u64)?;
    Some(whole.min(MAX_RETRY_AFTER_MS))
}

#[cfg(test)]
mod tests {
    use mainstay_vocabulary::inference::FailureKind;
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{bounded, in_stream, of_response, retry_after_ms};

    fn kind(status: u16, body: &str) -> FailureKind {
        of_response(status, &HeaderMap::new(), body.as_bytes()).kind
    }

    #[test]
    fn statuses_have_classes() {
        let cases = [
            (307, FailureKind::NotFound),
            (400, FailureKind::InvalidRequest),
            (401, FailureKind::Authentication),
            (402, FailureKind::Quota),
            (403, FailureKind::Authentication),
            (404, FailureKind::NotFound),
            (408, FailureKind::Timeout),
            (413, FailureKind::ContextLength),
            (422, FailureKind::InvalidRequest),
            (429, FailureKind::RateLimited),
            (500, FailureKind::Upstream),
            (503, FailureKind::Upstream),
            (504, FailureKind::Timeout),
            (529, FailureKind::Upstream),
        ];
        for (status, expected) in cases {
            assert_eq!(kind(status, "{}"), expected, "{status}");
        }
    }

    #[test]
    fn prompts_that_do_not_fit_are_recognised() {
        let bodies = [
            (
                400,
                r#"{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
            ),
            (
                400,
                r#"{"object":"error","message":"This model's maximum context length is 4096 tokens. However","code":400}"#,
            ),
            (
                400,
                r#"{"error":{"message":"The decoder prompt (length 9) is longer than the maximum model length of 8","code":400}}"#,
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"request (9 tokens) exceeds the available context size (8)","type":"exceed_context_size_error"}}"#,
            ),
            (
                500,
                r#"{"error":{"code":500,"message":"the request exceeds the available context size","type":"server_error"}}"#,
            ),
            (400, r#"{"error":"input length exceeds the context length"}"#),
        ];
        for (status, body) in bodies {
            assert_eq!(kind(status, body), FailureKind::ContextLength, "{body}");
        }
        assert_eq!(kind(401, r#"{"error":"context length"}"#), FailureKind::Authentication);
    }

    #[test]
    fn an_empty_account_is_no_rate_limit() {
        let bodies = [
            (429, r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to"}}"#,
            ),
            (403, r#"{"type":"error","error":{"type":"billing_error","message":"x"}}"#),
        ];
        for (status, body) in bodies {
            assert_eq!(kind(status, body), FailureKind::Quota, "{body}");
        }
    }

    #[test]
    fn errors_in_a_stream_have_classes() {
        let cases = [
            (r#"{"message":"overloaded"}"#, FailureKind::Upstream),
            (r#"{"message":"slow down","code":429}"#, FailureKind::RateLimited),
            (r#"{"message":"slow down","code":"rate_limit_exceeded"}"#, FailureKind::RateLimited),
            (r#"{"message":"bad tool","code":"400"}"#, FailureKind::InvalidRequest),
            (r#"{"message":"x","code":"context_length_exceeded"}"#, FailureKind::ContextLength),
            (r#""just text""#, FailureKind::Upstream),
            (r#"{"type":"overloaded_error","message":"Overloaded"}"#, FailureKind::Upstream),
            (r#"{"type":"rate_limit_error","message":"slow down"}"#, FailureKind::RateLimited),
            (r#"{"type":"authentication_error","message":"x"}"#, FailureKind::Authentication),
            (r#"{"type":"timeout_error","message":"x"}"#, FailureKind::Timeout),
            (r#"{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}"#, FailureKind::ContextLength),
            (r#"{"type":"invalid_request_error","message":"x"}"#, FailureKind::InvalidRequest),
            (r#"{"type":"billing_error","message":"x"}"#, FailureKind::Quota),
            (r#"{"code":"invalid_prompt","message":"x"}"#, FailureKind::InvalidRequest),
            (r#"{"code":"image_too_large","message":"x"}"#, FailureKind::InvalidRequest),
            (r#"{"code":"server_error","message":"x"}"#, FailureKind::Upstream),
            (r#"{"type":"insufficient_quota","message":"x"}"#, FailureKind::Quota),
        ];
        for (error, expected) in cases {
            assert_eq!(in_stream(&serde_json::from_str(error).unwrap()).kind, expected, "{error}");
        }
    }

    #[test]
    fn messages_are_one_bounded_line() {
        assert_eq!(bounded("a\nb"), "a b");
        let long = bounded(&"ä".repeat(400));
        assert_eq!(long.chars().count(), 251);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn waits_are_read_and_bounded() {
        let wait = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            retry_after_ms(&headers)
        };
        assert_eq!(wait("retry-after", "2"), Some(2_000));
        assert_eq!(wait("retry-after", "0.5"), Some(500));
        assert_eq!(wait("retry-after-ms", "20"), Some(20));
        assert_eq!(wait("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(wait("retry-after", "-1"), None);
        assert_eq!(wait("retry-after", "NaN"), None);
        assert_eq!(wait("retry-after", "1e300"), Some(86_400_000));
    }
}
