//! Reads one file over HTTP from where an earlier read stopped: how model files come from a hub. Knows nothing of what
//! the bytes mean; how many are taken is the caller's to bound. Certificates are checked against the system's store,
//! as in every other call of this crate.

use std::{error::Error as _, fmt::Write as _, time::Duration};

use bytes::Bytes;
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderName, IF_RANGE, LAST_MODIFIED, RANGE},
    redirect::{Action, Attempt, Policy},
};

/// Until a connection stands, TLS included.
const CONNECT: Duration = Duration::from_secs(10);

/// Longest silence of a server, before the head of its answer and between two pieces of the body.
const SILENCE: Duration = Duration::from_secs(60);

/// Most redirects: a hub sends on to its storage, a mirror to the hub; more is a loop.
const MAX_REDIRECTS: usize = 5;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The connection failed or broke off; asking again may help.
    #[error("the connection failed: {0}")]
    Broken(String),
    /// The server will not give this file; asking again does not help.
    #[error("{0}")]
    Refused(String),
}

/// What an earlier read left.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// How many bytes are there.
    pub bytes: u64,
    /// What the server called that version of the file.
    pub validator: String,
}

/// A file that is being read.
#[derive(Debug)]
pub struct Download {
    response: Response,
    start: u64,
    total: Option<u64>,
}

impl Download {
    /// Asks for the file; for its rest where `earlier` says so and the server still has the same version.
    ///
    /// # Errors
    /// Where there is no connection, or the answer is not the file.
    pub async fn open(address: &str, earlier: Option<&Earlier>) -> Result<Self, DownloadError> {
        let url = parse(address)?;
        let mut request = client(&url).map_err(broken)?.get(url).header(ACCEPT_ENCODING, "identity");
        if let Some(Earlier { bytes, validator }) = earlier {
            request = request.header(RANGE, format!("bytes={bytes}-")).header(IF_RANGE, validator);
        }
        let response = request.send().await.map_err(|error| match error.is_redirect() {
            true => DownloadError::Refused(chain(error)),
            false => broken(error),
        })?;
        Self::read_head(response, earlier.map_or(0, |earlier| earlier.bytes))
    }

    fn read_head(response: Response, asked: u64) -> Result<Self, DownloadError> {
        let status = response.status();
        match status {
            StatusCode::OK => {
                let total = response.content_length();
                Ok(Self { response, start: 0, total })
            }
            StatusCode::PARTIAL_CONTENT => {
                let range = header(&response, &CONTENT_RANGE).unwrap_or_default();
                let (start, total) = content_range(&range)
                    .filter(|(start, _)| *start == asked)
                    .ok_or_else(|| DownloadError::Refused(format!("answered another range than asked: {range:?}")))?;
                Ok(Self { response, start, total })
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(DownloadError::Broken(format!("answered {status}")))
            }
            status => Err(DownloadError::Refused(format!("answered {status}"))),
        }
    }

    /// Where in the file the first piece belongs: 0 where the server sends it from the beginning.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// How long the whole file is, if the server says so.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// What names this version of the file in a later `Earlier`: a strong ETag, else the time of its last change.
    pub fn validator(&self) -> Option<String> {
        let etag = header(&self.response, &ETAG).filter(|etag| !etag.starts_with("W/"));
        etag.or_else(|| header(&self.response, &LAST_MODIFIED))
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// Where the connection breaks off or falls silent.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, DownloadError> {
        self.response.chunk().await.map_err(broken)
    }
}

fn parse(address: &str) -> Result<Url, DownloadError> {
    let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| DownloadError::Refused(format!("{address:?} is not an http or https address")))
}

fn client(url: &Url) -> Result<Client, reqwest::Error> {
    // Fails only where a provider is installed already, and then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("mainstay/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::custom(follow))
        .http1_only()
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE);
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    builder.build()
}

/// A proxy of the environment is for other machines.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn follow(attempt: Attempt<'_>) -> Action {
    match objection(attempt.previous(), attempt.url()) {
        Some(reason) => attempt.error(reason),
        None => attempt.follow(),
    }
}

/// Why a redirect is not followed.
fn objection(previous: &[Url], next: &Url) -> Option<String> {
    if previous.len() > MAX_REDIRECTS {
        return Some(format!("sent on more than {MAX_REDIRECTS} times"));
    }
    let was_https = previous.last().is_some_and(|url| url.scheme() == "https");
    (was_https && next.scheme() != "https").then(|| format!("sent on from https to {}", next.scheme()))
}

fn header(response: &Response, name: &HeaderName) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// First byte and length of the whole, of `bytes 10-99/100` (RFC 9110, 14.4); a whole of `*` is unknown.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-')?.0.parse().ok()?;
    if total == "*" {
        return Some((start, None));
    }
    Some((start, Some(total.parse().ok()?)))
}

fn broken(error: reqwest::Error) -> DownloadError {
    DownloadError::Broken(chain(error))
}

/// The causes without the address, which the caller names.
fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(message, ": {cause}");
        source = cause.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::{MAX_REDIRECTS, Url, content_range, objection};

    #[test]
    fn ranges_are_read_as_the_standard_writes_them() {
        assert_eq!(content_range("bytes 10-99/100"), Some((10, Some(100))));
        assert_eq!(content_range("bytes 10-99/*"), Some((10, None)));
        for wrong in ["", "bytes */100", "bytes 10-99", "items 1-2/3", "bytes x-99/100", "bytes 10-99/x"] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn redirects_end_and_never_leave_tls() {
        let [secure, plain] = ["https://a/x", "http://b/x"].map(|text| Url::parse(text).unwrap());
        assert_eq!(objection(std::slice::from_ref(&plain), &secure), None);
        assert_eq!(objection(std::slice::from_ref(&secure), &secure), None);
        assert_eq!(objection(std::slice::from_ref(&secure), &plain).unwrap(), "sent on from https to http");
        assert!(objection(&vec![secure.clone(); MAX_REDIRECTS + 1], &secure).is_some());
    }
}
