//! What all clients of a world share: where the server is, how a request is repeated until it is answered, and the
//! list of what was found to be wrong.

use std::{net::SocketAddr, sync::Mutex, time::Duration};

use serde_json::Value;
use tokio::sync::watch;

use crate::http::{Reply, Request, exchange};

/// Between two tries or two looks.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// Something is wrong; it stands in the findings.
#[derive(Debug)]
pub(super) struct Broken;

/// The clients' side of a world.
pub(super) struct Shared {
    /// Where the server is; `None` while there is none.
    pub(super) address: watch::Sender<Option<SocketAddr>>,
    /// Turns true when nothing is killed any more and clients are to come to an end.
    pub(super) calm: watch::Sender<bool>,
    /// Looks at something that must come about.
    pub(super) patience: usize,
    pub(super) key: String,
    findings: Mutex<Vec<String>>,
}

impl Shared {
    pub(super) fn new(key: String, patience: usize) -> Self {
        let (address, calm) = (watch::Sender::new(None), watch::Sender::new(false));
        Self { address, calm, patience, key, findings: Mutex::default() }
    }

    /// Notes what is wrong.
    pub(super) fn find(&self, what: String) -> Broken {
        self.findings.lock().unwrap().push(what);
        Broken
    }

    pub(super) fn findings(&self) -> Vec<String> {
        self.findings.lock().unwrap().clone()
    }

    /// An error if something is wrong already.
    pub(super) fn sound(&self) -> Result<(), Broken> {
        if self.findings.lock().unwrap().is_empty() { Ok(()) } else { Err(Broken) }
    }

    pub(super) fn is_calm(&self) -> bool {
        *self.calm.borrow()
    }

    /// Where the server is, once there is one; an error if something is wrong already.
    pub(super) async fn address(&self) -> Result<SocketAddr, Broken> {
        self.sound()?;
        let address = *self.address.subscribe().wait_for(Option::is_some).await.map_err(|_| Broken)?;
        address.ok_or(Broken)
    }

    /// Repeats a request until it is answered. Only for requests that may be repeated: reads, or with a key.
    pub(super) async fn call(&self, request: &Request) -> Result<Reply, Broken> {
        let keyed = request.clone().key(&self.key);
        for _ in 0..self.patience {
            match exchange(self.address().await?, &keyed).await {
                // Another test's server may have taken the port of one that was killed: 401.
                Ok(reply) if matches!(reply.status, 401 | 503) => {}
                Ok(reply) if reply.status >= 500 => {
                    return Err(
                        self.find(format!("{} {}: {} {}", request.method, request.path, reply.status, reply.text))
                    );
                }
                Ok(reply) => return Ok(reply),
                Err(_) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(self.find(format!("{} {} was never answered", request.method, request.path)))
    }

    /// The same; the answer must have this status.
    pub(super) async fn expect(&self, request: &Request, status: u16) -> Result<Value, Broken> {
        let reply = self.call(request).await?;
        if reply.status == status {
            return Ok(reply.json());
        }
        let body = String::from_utf8_lossy(&request.body);
        let (method, path, got, text) = (request.method, &request.path, reply.status, &reply.text);
        Err(self.find(format!("{method} {path} {body}: {got} instead of {status}: {text}")))
    }

    /// A whole list, page by page.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<Value>, Broken> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let after = all.last().map_or_else(String::new, |last| format!("&after={}", text(last, "id")));
            let page = self.expect(&Request::get(format!("{path}?order=asc&limit=7{after}")), 200).await?;
            let data = page["data"].as_array().cloned().unwrap_or_default();
            let has_more = page["has_more"] == true;
            if has_more && data.is_empty() {
                return Err(self.find(format!("{path}: an empty page has more")));
            }
            all.extend(data);
            if !has_more {
                return Ok(all);
            }
        }
    }
}

/// A text of an object; empty if there is none.
pub(super) fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or_default()
}
