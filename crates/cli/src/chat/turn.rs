//! One turn from here: says something, follows what comes of it to the end, across lost connections. Ctrl-C interrupts
//! the turn, a second one leaves it to itself.

use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    clean,
    client::Client,
    error::{Error, Exit, Result},
    feed::{Feed, Step},
    http,
    printer::Printer,
};

/// How a turn went.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) status: Status,
    pub(super) turn: String,
    pub(super) usage: Value,
    /// What the model said to the user.
    pub(super) messages: Vec<String>,
    /// Whether Ctrl-C was pressed.
    pub(super) is_interrupted: bool,
}

/// How a turn stands when there is nothing more to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Completed,
    Cancelled,
    Failed {
        code: String,
        message: String,
    },
    /// For the results of these functions.
    Waits(Vec<String>),
}

impl Status {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed { .. } => "failed",
            Self::Waits(_) => "requires_action",
        }
    }
}

/// A turn that is followed.
struct Turn<'a> {
    client: &'a Client,
    session: &'a str,
    ended: Ended,
    /// Whether what was said is part of the turn, so that its end is the one that is waited for.
    is_heard: bool,
}

/// Says `text` and follows the session until it is idle; without a text, follows the turn that runs.
pub(super) async fn follow(client: &Client, session: &str, text: Option<&str>, printer: &mut Printer) -> Result<Ended> {
    let mut signals = signal(SignalKind::interrupt())
        .map_err(|error| Error::new(Exit::Failed, format!("listening for Ctrl-C: {error}")))?;
    let short = client.session(session).await?;
    if text.is_some() && short["status"] == "requires_action" {
        return Err(Error::new(Exit::Refused, "the session waits for the results of functions that its model called")
            .advise(format!(
                "Only the client that offers them can bring them. To give up on them:\nmainstay sessions cancel {session}"
            )));
    }
    let cursor = short["cursor"].as_str().unwrap_or_default().to_owned();
    let mut feed = Feed::live(&client.http, session, cursor).await?;
    if let Some(text) = text {
        let path = format!("/v1/agents/sessions/{session}/events");
        let body = http::message(text);
        tokio::select! {
            sent = client.http.post(&path, &body) => sent?,
            _ = signals.recv() => return Err(Error::interrupted()),
        };
    } else if client.session(session).await?["status"] != "in_progress" {
        // It ended before the feed began.
        return Ok(Ended { turn: String::new(), ..blank() });
    }
    let mut turn = Turn { client, session, ended: blank(), is_heard: text.is_none() };
    turn.run(&mut feed, &mut signals, printer).await?;
    printer.end_line()?;
    turn.ended.messages = printer.take_messages();
    Ok(turn.ended)
}

const fn blank() -> Ended {
    Ended {
        status: Status::Completed,
        turn: String::new(),
        usage: Value::Null,
        messages: Vec::new(),
        is_interrupted: false,
    }
}

impl Turn<'_> {
    async fn run(&mut self, feed: &mut Feed<'_>, signals: &mut Signal, printer: &mut Printer) -> Result<()> {
        loop {
            let step = tokio::select! {
                step = feed.next() => step?,
                _ = signals.recv() => {
                    self.interrupt(signals, printer).await?;
                    continue;
                }
            };
            match step {
                Step::Event(kind, body) => {
                    printer.event(&kind, &body)?;
                    if self.take(&kind, &body) {
                        return Ok(());
                    }
                }
                Step::Lost => printer.note("(the connection is lost; waiting for the server)")?,
                Step::Back => printer.note("(connected again)")?,
            }
        }
    }

    /// Takes note of an event; true if it is the last one.
    fn take(&mut self, kind: &str, body: &Value) -> bool {
        let is_done = self.is_heard || self.ended.is_interrupted;
        match kind.trim_start_matches("agent.session.") {
            "turn.item.added" if body["item"]["role"] == "user" => self.is_heard = true,
            "turn.completed" | "turn.failed" | "turn.cancelled" => self.note_end(&body["turn"]),
            "requires_action" => {
                let actions = body["session"]["required_actions"].as_array().into_iter().flatten();
                let names = actions.map(|action| clean::one_line(action["name"].as_str().unwrap_or_default()));
                self.ended.status = Status::Waits(names.collect());
                return is_done;
            }
            "idle" => return is_done,
            _ => {}
        }
        false
    }

    fn note_end(&mut self, turn: &Value) {
        let text = |value: &Value| clean::one_line(value.as_str().unwrap_or_default());
        self.ended.turn = text(&turn["id"]);
        self.ended.usage = turn["usage"].clone();
        self.ended.status = match turn["status"].as_str() {
            Some("completed") => Status::Completed,
            Some("cancelled") => Status::Cancelled,
            _ => Status::Failed { code: text(&turn["error"]["code"]), message: text(&turn["error"]["message"]) },
        };
    }

    /// Ctrl-C: the first one interrupts the turn, the second one leaves.
    async fn interrupt(&mut self, signals: &mut Signal, printer: &mut Printer) -> Result<()> {
        if std::mem::replace(&mut self.ended.is_interrupted, true) {
            printer.note("(left; what the model still says is kept)")?;
            return Err(Error::interrupted());
        }
        let path = format!("/v1/agents/sessions/{}/events", self.session);
        let body = http::cancel();
        let sent = tokio::select! {
            sent = self.client.http.post(&path, &body) => sent,
            _ = signals.recv() => return Err(Error::interrupted()),
        };
        match sent {
            // It was over already.
            Err(error) if error.exit == Exit::Refused => Ok(()),
            other => other.map(drop),
        }
    }
}
