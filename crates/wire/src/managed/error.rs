//! Errors in this vendor's shape. Their kind follows from the status; the server's own code stands in `details`.

use mainstay_vocabulary::Object;
use serde_json::{Value, json};

/// An error's body.
pub fn body(status: u16, (message, code, param): (&str, Option<&str>, Option<&str>), request: Option<&str>) -> Value {
    let mut error = Object::new();
    error.insert("type".to_owned(), json!(kind(status)));
    error.insert("message".to_owned(), json!(message));
    if let Some(code) = code {
        let mut details = Object::new();
        details.insert("error_code".to_owned(), json!(code));
        if let Some(param) = param {
            details.insert("param".to_owned(), json!(param));
        }
        error.insert("details".to_owned(), Value::Object(details));
    }
    json!({ "type": "error", "error": error, "request_id": request })
}

const fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        409 => "conflict_error",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_follows_the_status_and_the_code_stands_in_the_details() {
        let body = body(404, ("There is none.", Some("not_found"), Some("id")), Some("req_1"));
        let details = json!({ "error_code": "not_found", "param": "id" });
        let error = json!({ "type": "not_found_error", "message": "There is none.", "details": details });
        assert_eq!(body, json!({ "type": "error", "error": error, "request_id": "req_1" }));
        for (status, kind) in [(400, "invalid_request_error"), (413, "invalid_request_error"), (507, "api_error")] {
            assert_eq!(self::body(status, ("", None, None), None)["error"]["type"], kind);
        }
    }
}
