//! Whether an account's server can be reached and takes its key: one list of models, asked for by a person who wants
//! to know. Never part of an inference.

use std::{error::Error as _, fmt::Write as _};

use reqwest::{
    RequestBuilder, Url,
    header::{AUTHORIZATION, DATE},
};

use crate::{Kind, Secret, Settings};

/// The version of the API that the question is asked in.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The status of its list of models.
    pub status: u16,
    /// Its clock, as its `Date` header says.
    pub date: Option<String>,
}

/// Why a server did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(String);

/// Asks an account's server for its models. Waits for a connection and for the head of the answer as long as the
/// settings say for a connection.
///
/// # Errors
/// Where there is no answer: no such host, no connection, no trusted certificate, too slow.
pub async fn reach(kind: Kind, settings: &Settings) -> Result<Reached, Unreachable> {
    let base = settings.base_url.as_deref().ok_or_else(|| Unreachable("it has no address".to_owned()))?;
    let url = Url::parse(&format!("{}/models", base.trim_end_matches('/')));
    let url = url.map_err(|error| Unreachable(format!("{base:?} is not an address: {error}")))?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .user_agent(concat!("mainstay/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(settings.timeouts.connect)
        .timeout(settings.timeouts.connect.saturating_mul(2))
        .build()
        .map_err(unreachable)?;
    let request = keyed(client.get(url), kind, settings.api_key.as_ref());
    let answer = request.send().await.map_err(unreachable)?;
    let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
    Ok(Reached { status: answer.status().as_u16(), date })
}

fn keyed(request: RequestBuilder, kind: Kind, key: Option<&Secret>) -> RequestBuilder {
    match key.map(Secret::expose) {
        None => request,
        Some(key) if kind == Kind::Anthropic => {
            request.header("x-api-key", key).header("anthropic-version", ANTHROPIC_VERSION)
        }
        Some(key) => request.header(AUTHORIZATION, format!("Bearer {key}")),
    }
}

/// The whole chain of reasons, which the outermost alone does not tell; never the address, which may hold a secret.
fn unreachable(error: reqwest::Error) -> Unreachable {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let _ = write!(text, ": {inner}");
        source = inner.source();
    }
    Unreachable(text)
}
