//! Messages as a provider: where they are asked for, with which headers, and which parts read the answer.

use std::sync::Arc;

use mainstay_vocabulary::inference::{Failure, FailureKind, Format, Request, TokenCount};
use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::Value;

use super::{
    decode::decoder,
    encode::{self, encode},
};
use crate::{
    ChunkStream, Error, Provider, Reply, Settings,
    http::{
        account::{Account, KeyHeader, Outgoing},
        call::{self, Ask},
        failure::protocol,
    },
    openai::encoded::Encoded,
    seam::estimate,
};

/// The key's header.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Which version of the API is meant.
const VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// The version that every model, cloud and compatible server takes; the one after it (2026-10-21) takes sampling
/// parameters away and changes nothing else that is sent here. A client's own request goes with the client's.
const COMMON_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// What the names of headers begin with that belong to the format.
const OWN_HEADERS: &str = "anthropic-";

/// Response headers that a receipt keeps.
const REPORTED_HEADERS: [(&str, &str); 6] = [
    ("request-id", "request_id"),
    ("x-request-id", "request_id"),
    ("anthropic-ratelimit-requests-remaining", "requests_remaining"),
    ("anthropic-ratelimit-tokens-remaining", "tokens_remaining"),
    ("anthropic-ratelimit-input-tokens-remaining", "input_tokens_remaining"),
    ("anthropic-ratelimit-output-tokens-remaining", "output_tokens_remaining"),
];

/// One account on one server.
#[derive(Debug)]
pub(crate) struct Anthropic {
    account: Arc<Account>,
    messages: Url,
    counting: Url,
}

impl Anthropic {
    /// Connects nothing yet.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let account = Account::new(settings, &KeyHeader { name: API_KEY, before: "" })?;
        // The vendor's SDKs are told an address without a version; one without any path can only lack it.
        let version: &[&str] = if account.is_bare() { &["v1"] } else { &[] };
        let url = |path: &[&str]| account.url(&[version, path].concat());
        let (messages, counting) = (url(&["messages"]), url(&["messages", "count_tokens"]));
        Ok(Self { account: Arc::new(account), messages, counting })
    }
}

impl Provider for Anthropic {
    fn infer(&self, request: Request) -> ChunkStream {
        let url = self.messages.clone();
        call::infer(self.account.clone(), request, move |request| ask(request, url))
    }

    /// Never: models from 4.6 on refuse a conversation that ends with the assistant, and older ones refuse it while
    /// they think and where the text ends with white space, as a text that was cut off often does.
    fn continues_prefix(&self) -> bool {
        false
    }

    fn format(&self) -> Option<Format> {
        Some(Format::AnthropicMessages)
    }

    fn count(&self, request: Request) -> Reply<TokenCount> {
        let (account, url) = (self.account.clone(), self.counting.clone());
        Box::pin(async move {
            let outgoing = Outgoing { url, headers: headers(&request), body: encode::count(&request)? };
            match account.ask(outgoing).await {
                Ok(body) => counted(&body).map_err(|failure| account.own(failure)),
                // Servers that speak the format without this part of it.
                Err(failure) if failure.kind == FailureKind::NotFound => Ok(estimate(&request)),
                Err(failure) => Err(failure),
            }
        })
    }
}

fn counted(body: &[u8]) -> Result<TokenCount, Failure> {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let tokens = body.and_then(|body| body.get("input_tokens")?.as_u64());
    let tokens = tokens.ok_or_else(|| protocol("a count without `input_tokens`"))?;
    Ok(TokenCount { tokens, is_exact: true })
}

fn ask(request: &Request, url: Url) -> Result<Ask, Failure> {
    let Encoded { body, lost } = encode(request)?;
    let mut headers = headers(request);
    call::name_attempt(&mut headers, request);
    let decoder = decoder(encode::verbatim(request).is_some(), lost);
    Ok(Ask { outgoing: Outgoing { url, headers, body }, decoder, reported: &REPORTED_HEADERS })
}

/// The version, and what the client's own request says about itself.
fn headers(request: &Request) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let said = encode::verbatim(request).into_iter().flat_map(|verbatim| &verbatim.headers);
    for (name, value) in said.filter(|(name, _)| name.starts_with(OWN_HEADERS)) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str())) {
            headers.append(name, value);
        }
    }
    headers.entry(VERSION).or_insert(COMMON_VERSION);
    headers
}
