//! What every command has: the server, the two ways out, what is remembered, and how a session is named.

use serde_json::Value;

use crate::{
    error::{Error, Exit, Result},
    http::Http,
    memory::Memory,
    reach::{Reach, Server, Surroundings},
    screen::Screen,
};

/// Sessions among which the end of an id is looked for: one page of the list.
const SEARCHED: usize = 100;

/// Characters of an id's end that a table shows; the odds that two of 100 sessions share them are one in 10^8.
const SHORT_ID: usize = 8;

/// What every command has.
pub(crate) struct Client {
    pub(crate) http: Http,
    pub(crate) out: Screen,
    pub(crate) notes: Screen,
    pub(crate) memory: Memory,
    pub(crate) is_json: bool,
}

impl Client {
    pub(crate) fn new(reach: &Reach, around: &Surroundings) -> Result<Self> {
        let server = Server::find(reach, around)?;
        let memory = Memory::new(around.state_dir.as_deref(), &server.identity);
        Ok(Self {
            http: Http::new(server)?,
            out: Screen::out(reach, around),
            notes: Screen::error(reach, around),
            memory,
            is_json: reach.json,
        })
    }

    /// A session in short.
    pub(crate) async fn session(&self, id: &str) -> Result<Value> {
        self.http.get(&format!("/mainstay/v1/sessions/{id}")).await.map_err(|error| match error.exit {
            Exit::NotFound => Error::new(Exit::NotFound, format!("there is no session {id}")).advise(LIST),
            _ => error,
        })
    }

    /// The id that a person means: a whole one, the end of one, or `last`.
    pub(crate) async fn find(&self, text: &str) -> Result<String> {
        if text == "last" {
            let none = || Error::new(Exit::NotFound, "there was no last session").advise(LIST);
            return self.memory.last_session().ok_or_else(none);
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(Error::new(Exit::NotFound, "that is not the id of a session").advise(LIST));
        }
        if text.starts_with("sess_") {
            return Ok(text.to_owned());
        }
        let page = self.http.get(&format!("/mainstay/v1/sessions?limit={SEARCHED}")).await?;
        let ids = page["data"].as_array().into_iter().flatten().filter_map(|session| session["id"].as_str());
        let mut found = ids.filter(|id| id.ends_with(text));
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(id.to_owned()),
            (Some(_), Some(_)) => Err(Error::usage(format!("several sessions end in {text}: give more of the id"))),
            (None, _) => {
                let message = format!("none of the latest {SEARCHED} sessions ends in {text}");
                Err(Error::new(Exit::NotFound, message).advise(LIST))
            }
        }
    }
}

/// What to do where a session is not found.
const LIST: &str = "mainstay sessions list shows those that there are.";

/// As much of an id as a person needs.
pub(crate) fn short(id: &str) -> &str {
    id.get(id.len().saturating_sub(SHORT_ID)..).unwrap_or(id)
}

/// Runs a command.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Error::new(Exit::Failed, format!("starting: {error}")))?.block_on(work)
}
