//! A session's events as they come, across the end of a connection and of the server: what was missed is read again
//! from the last event that was seen.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use crate::{
    error::{Error, Exit, Result},
    http::{Events, Http, WAITS_MS},
};

/// Follows one session.
pub(crate) struct Feed<'a> {
    http: &'a Http,
    session: String,
    /// What to ask for the events after.
    cursor: String,
    stream: Option<Events>,
    /// Attempts since the last event.
    attempts: usize,
}

/// What a feed brings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// An event: its type and body.
    Event(String, Value),
    /// The connection is gone.
    Lost,
    /// It is back.
    Back,
}

impl<'a> Feed<'a> {
    /// From now on. `cursor` is where to go on if the connection is lost before the first event.
    pub(crate) async fn live(http: &'a Http, session: &str, cursor: String) -> Result<Self> {
        let stream = Some(http.events(session, None).await?);
        Ok(Self { http, session: session.to_owned(), cursor, stream, attempts: 0 })
    }

    /// From the session's first event.
    pub(crate) async fn whole(http: &'a Http, session: &str) -> Result<Self> {
        let cursor = format!("evt_{}_0_0_0", session.trim_start_matches("sess_"));
        let stream = Some(http.events(session, Some(&cursor)).await?);
        Ok(Self { http, session: session.to_owned(), cursor, stream, attempts: 0 })
    }

    /// What comes next. May be dropped while it waits.
    ///
    /// # Errors
    /// The session is gone, or the server stays away.
    pub(crate) async fn next(&mut self) -> Result<Step> {
        if let Some(stream) = &mut self.stream {
            let Some(event) = stream.next().await else {
                self.stream = None;
                return Ok(Step::Lost);
            };
            self.attempts = 0;
            self.cursor = event.id.unwrap_or_else(|| std::mem::take(&mut self.cursor));
            return Ok(Step::Event(event.kind, serde_json::from_str(&event.data).unwrap_or_default()));
        }
        self.reconnect().await?;
        Ok(Step::Back)
    }

    async fn reconnect(&mut self) -> Result<()> {
        loop {
            let Some(wait) = WAITS_MS.get(self.attempts) else { return Err(self.gave_up()) };
            sleep(Duration::from_millis(*wait)).await;
            self.attempts += 1;
            match self.http.events(&self.session, Some(&self.cursor)).await {
                Ok(stream) => {
                    self.stream = Some(stream);
                    return Ok(());
                }
                Err(error) if error.exit == Exit::Unreachable => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn gave_up(&self) -> Error {
        let message = format!("the server at {} stays away", self.http.server.url.as_str().trim_end_matches('/'));
        Error::new(Exit::Unreachable, message).advise(format!(
            "Nothing is lost: the turn goes on when it is back. Then: mainstay chat --session {}",
            self.session
        ))
    }
}
