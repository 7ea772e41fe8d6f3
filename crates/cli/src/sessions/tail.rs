//! `sessions tail`: a session's events as they come, for people or as JSON lines.

use clap::Args;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    client::Client,
    error::{Error, Exit, Result},
    feed::{Feed, Step},
    printer::{Printer, Show},
    reach::Reach,
};

/// What `tail` takes.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The session.
    #[arg(value_name = "ID")]
    id: String,
    /// Begin with the session's first event.
    #[arg(long)]
    all: bool,
    /// End when the session is idle, or waits for results that others must bring.
    #[arg(long)]
    until_idle: bool,
    #[command(flatten)]
    pub(super) reach: Reach,
}

/// When to end by oneself.
enum End {
    Never,
    /// At the next pause.
    Pause,
    /// At the first pause after this turn began.
    PauseAfter(String),
}

pub(super) async fn run(client: &Client, options: &Options) -> Result<()> {
    let mut signals = signal(SignalKind::interrupt())
        .map_err(|error| Error::new(Exit::Failed, format!("listening for Ctrl-C: {error}")))?;
    let id = client.find(&options.id).await?;
    let short = client.session(&id).await?;
    let Some(mut end) = end(options, &short) else { return Ok(()) };
    let mut feed = if options.all {
        Feed::whole(&client.http, &id).await?
    } else {
        let cursor = short["cursor"].as_str().unwrap_or_default().to_owned();
        Feed::live(&client.http, &id, cursor).await?
    };
    let mut printer = Printer::new(client.out, client.notes, Show::Everything);
    loop {
        let step = tokio::select! {
            step = feed.next() => step?,
            _ = signals.recv() => {
                printer.end_line()?;
                return Err(Error::interrupted());
            }
        };
        match step {
            Step::Event(_, ref body) if client.is_json => client.out.json_line(body)?,
            Step::Event(ref kind, ref body) => printer.event(kind, body)?,
            Step::Lost => printer.note("(the connection is lost; waiting for the server)")?,
            Step::Back => printer.note("(connected again)")?,
        }
        if let Step::Event(kind, body) = &step
            && end.is_reached(kind, body)
        {
            return printer.end_line();
        }
    }
}

/// When to end; `None` for at once.
fn end(options: &Options, short: &Value) -> Option<End> {
    if !options.until_idle {
        return Some(End::Never);
    }
    let is_idle = short["status"] != "in_progress";
    match (options.all, is_idle) {
        (false, true) => None,
        (false, false) => Some(End::Pause),
        (true, _) => {
            let turn = short[if is_idle { "last_turn_id" } else { "current_turn_id" }].as_str()?;
            Some(End::PauseAfter(turn.to_owned()))
        }
    }
}

impl End {
    fn is_reached(&mut self, kind: &str, body: &Value) -> bool {
        if let Self::PauseAfter(turn) = self
            && kind == "agent.session.turn.created"
            && body["turn_id"] == turn.as_str()
        {
            *self = Self::Pause;
        }
        let is_pause = matches!(kind, "agent.session.idle" | "agent.session.requires_action");
        is_pause && matches!(self, Self::Pause)
    }
}
