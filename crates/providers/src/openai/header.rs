//! The headers of a request to either of OpenAI's formats, and those of an answer that a receipt keeps.

use mainstay_vocabulary::inference::{Request, Verbatim};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::http::call;

/// Response headers that a receipt keeps, and what it calls them.
pub(crate) const REPORTED: [(&str, &str); 3] =
    [("x-request-id", "request_id"), ("x-ms-region", "region"), ("openai-processing-ms", "processing_ms")];

/// A client's headers that go along with its own request. No others: they could name another account.
const PASSED: [&str; 1] = ["openai-beta"];

/// Names the attempt, and adds what belongs to a request that is sent as it came.
pub(crate) fn of(request: &Request, verbatim: Option<&Verbatim>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    call::name_attempt(&mut headers, request);
    let passed = verbatim.iter().flat_map(|verbatim| &verbatim.headers);
    for (name, value) in passed.filter(|(name, _)| PASSED.contains(&name.as_str())) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    headers
}
