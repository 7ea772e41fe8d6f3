//! Posts what others are told of: one request, one status. Follows no redirect, reads no answer, keeps to its limits.

use std::{future::Future, pin::Pin, time::Duration};

use crate::Error;

/// Longest time for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest time for the whole request: a receiver is to take note and answer, not to work.
const TOTAL: Duration = Duration::from_secs(15);

/// What is posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Where to.
    pub url: String,
    /// Besides `content-type: application/json`.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
}

/// The status of the answer, or why there is none.
pub type Posted<'a> = Pin<Box<dyn Future<Output = Result<u16, String>> + Send + 'a>>;

/// Whoever posts.
pub trait Post: Send + Sync {
    /// Posts a letter once.
    fn post(&self, letter: Letter) -> Posted<'_>;
}

/// Posts over HTTP.
#[derive(Debug)]
pub struct Http(reqwest::Client);

impl Http {
    /// Connects nothing yet.
    ///
    /// # Errors
    /// The system's certificates cannot be used.
    pub fn new() -> Result<Self, Error> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("mainstay/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(TOTAL)
            .build();
        client.map(Self).map_err(|error| Error::Refused(format!("a client for webhooks: {}", error.without_url())))
    }
}

impl Post for Http {
    fn post(&self, letter: Letter) -> Posted<'_> {
        let request = self.0.post(letter.url).header("content-type", "application/json").body(letter.body);
        let request = letter.headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        Box::pin(async move {
            let answer = request.send().await;
            answer.map(|answer| answer.status().as_u16()).map_err(|error| error.without_url().to_string())
        })
    }
}
