//! How nodes of one cluster reach each other: a letter, answered whole or line by line. Must not know what is said.

use std::{future::Future, pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream, stream::BoxStream};

use crate::Error;

/// Longest time for a connection: nodes are near each other.
const CONNECT: Duration = Duration::from_secs(2);
/// Longest silence on a connection that is listened to; its other end says something more often than that.
const SILENCE: Duration = Duration::from_secs(15);
/// Idle connections kept to one node.
const IDLE: usize = 64;
/// Largest whole answer, bytes: a session's state.
const MAX_ANSWER: usize = 64 << 20;
/// Longest line, bytes: what one commit shows.
const MAX_LINE: usize = 64 << 20;

/// What is said to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Where to.
    pub url: String,
    /// Besides the content type.
    pub headers: Vec<(&'static str, String)>,
    /// What.
    pub body: Vec<u8>,
    /// How long the answer may take.
    pub within: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// Nothing arrived there.
    NotSent(String),
    /// It may have arrived.
    Lost(String),
    /// The node answered with this status.
    Refused(u16, String),
}

/// A whole answer.
pub type Answered<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, Unreached>> + Send + 'a>>;
/// Lines as they come, without their ends. An error is the end.
pub type Lines = BoxStream<'static, Result<Bytes, String>>;
/// The beginning of an answer by lines.
pub type Listened<'a> = Pin<Box<dyn Future<Output = Result<Lines, Unreached>> + Send + 'a>>;

/// Whoever carries letters between nodes.
pub trait Peers: Send + Sync {
    /// Sends a letter and reads the whole answer.
    fn ask(&self, letter: Letter) -> Answered<'_>;

    /// Sends a letter and reads the answer line by line, for as long as it lasts.
    fn listen(&self, letter: Letter) -> Listened<'_>;
}

/// Over HTTP.
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
            .user_agent(concat!("mainstay-node/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .pool_max_idle_per_host(IDLE)
            .build();
        client.map(Self).map_err(|error| Error::Refused(format!("a client for nodes: {}", error.without_url())))
    }

    async fn send(&self, letter: Letter, within: Option<Duration>) -> Result<reqwest::Response, Unreached> {
        let request = self.0.post(letter.url).header("content-type", "application/json").body(letter.body);
        let request = letter.headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let request = within.into_iter().fold(request, reqwest::RequestBuilder::timeout);
        let answer = request.send().await.map_err(|error| {
            let is_connect = error.is_connect();
            let text = error.without_url().to_string();
            if is_connect { Unreached::NotSent(text) } else { Unreached::Lost(text) }
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status().as_u16();
        let text = whole(answer).await.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Err(Unreached::Refused(status, text.unwrap_or_default()))
    }
}

impl Peers for Http {
    fn ask(&self, letter: Letter) -> Answered<'_> {
        Box::pin(async move {
            let within = letter.within;
            whole(self.send(letter, Some(within)).await?).await
        })
    }

    fn listen(&self, letter: Letter) -> Listened<'_> {
        Box::pin(async move {
            let within = letter.within;
            let sent = tokio::time::timeout(within, self.send(letter, None)).await;
            let answer = sent.unwrap_or_else(|_| Err(Unreached::Lost("no answer in time".to_owned())))?;
            Ok(lines(answer))
        })
    }
}

async fn whole(mut answer: reqwest::Response) -> Result<Vec<u8>, Unreached> {
    let mut bytes = Vec::new();
    let lost = |error: reqwest::Error| Unreached::Lost(error.without_url().to_string());
    while let Some(piece) = answer.chunk().await.map_err(lost)? {
        if bytes.len() + piece.len() > MAX_ANSWER {
            return Err(Unreached::Lost("the answer is too large".to_owned()));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Cuts a stream of pieces into lines; what follows the last end of line is dropped.
fn lines(answer: reqwest::Response) -> Lines {
    // How much of what is held was looked through.
    let state = (answer, BytesMut::new(), 0);
    stream::try_unfold(state, |(mut answer, mut held, mut seen)| async move {
        loop {
            if let Some(end) = held[seen..].iter().position(|byte| *byte == b'\n') {
                let end = seen + end;
                let line = held.split_to(end + 1).freeze().slice(..end);
                return Ok(Some((line, (answer, held, 0))));
            }
            seen = held.len();
            if held.len() > MAX_LINE {
                return Err("a line is too long".to_owned());
            }
            match answer.chunk().await.map_err(|error| error.without_url().to_string())? {
                Some(piece) => held.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
    })
    .boxed()
}
