//! The conversation on a terminal: a line is read, a turn is followed, its figures are shown.

use rustyline::{Config, Editor, error::ReadlineError, history::FileHistory};
use serde_json::Value;

use super::{
    Options, Place, cost_of,
    slash::{self, Next},
    turn::{self, Status},
};
use crate::{
    clean,
    client::{self, Client, block_on},
    clock,
    error::{Error, Exit, Result},
    figure,
    printer::{self, Printer, Show},
    screen::Style,
    table,
};

/// Lines of what was typed that are kept.
const MAX_HISTORY: usize = 1_000;

/// A conversation under way.
pub(super) struct Talk<'a> {
    pub(super) client: &'a Client,
    pub(super) place: Place,
    /// What the session has cost so far, pico-dollars.
    cost: i64,
}

/// Talks until the user leaves.
pub(super) fn run(client: &Client, options: &Options) -> Result<()> {
    let (place, short) = block_on(Place::find(client, options))?;
    let mut talk = Talk { client, place, cost: 0 };
    talk.greet(short.as_ref())?;
    let mut editor = editor(client)?;
    let prompt = client.out.paint(Style::Accent, "› ");
    loop {
        match editor.readline(&prompt) {
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) => {
                remember(&mut editor, client, &line);
                match slash::take(&mut talk, line.trim()) {
                    Ok(Next::Quit) => return talk.leave(),
                    Ok(Next::Read) => {}
                    Ok(Next::Say(text)) => talk.say(&text)?,
                    Err(error) => talk.complain(error)?,
                }
            }
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => return talk.leave(),
            Err(error) => return Err(Error::new(Exit::Failed, format!("reading the terminal: {error}"))),
        }
    }
}

fn editor(client: &Client) -> Result<Editor<(), FileHistory>> {
    let wrong = |error| Error::new(Exit::Failed, format!("the terminal cannot be used: {error}"));
    let config = Config::builder().history_ignore_space(true).max_history_size(MAX_HISTORY).map_err(wrong)?.build();
    let mut editor = Editor::with_config(config).map_err(wrong)?;
    if let Some(path) = client.memory.history() {
        let _ = editor.load_history(&path);
    }
    Ok(editor)
}

/// What was typed comes back with the arrow keys, also the next time. Lines that begin with a space do not.
fn remember(editor: &mut Editor<(), FileHistory>, client: &Client, line: &str) {
    if let (Ok(true), Some(path)) = (editor.add_history_entry(line), client.memory.history()) {
        let _ = editor.append_history(&path);
    }
}

impl Talk<'_> {
    fn dim(&self, text: &str) -> Result<()> {
        self.client.notes.line(&self.client.notes.paint(Style::Dim, text))
    }

    /// Says where one is; shows the last words of a session that goes on, and what it is still saying.
    pub(super) fn greet(&mut self, short: Option<&Value>) -> Result<()> {
        let model = clean::one_line(&self.place.model);
        let Some(short) = short else {
            let title = self.client.notes.paint(Style::Bold, "new session");
            self.client.notes.line(&format!("{title} with {model}"))?;
            return self.dim("/help shows what else there is; Ctrl-D leaves");
        };
        let id = clean::one_line(short["id"].as_str().unwrap_or_default());
        self.cost = cost_of(short);
        let active = figure::ago(short["last_active_at_ms"].as_u64().unwrap_or(0), clock::now_ms());
        self.client.notes.line(&format!("{} with {model}", self.client.notes.paint(Style::Bold, "going on")))?;
        self.dim(&format!("{id} · {} · {active} · /new begins another", turns(short)))?;
        self.client.memory.remember(&id);
        block_on(self.recall(&id))?;
        match short["status"].as_str() {
            Some("in_progress") => self.run_turn(&id, None),
            Some("requires_action") => {
                self.dim("the session waits for the results of functions; /cancel gives up on them")
            }
            _ => Ok(()),
        }
    }

    /// The last exchange, shortened.
    async fn recall(&self, id: &str) -> Result<()> {
        let page = self.client.http.get(&format!("/v1/agents/sessions/{id}/items?limit=6&order=desc")).await?;
        let items: Vec<&Value> = page["data"].as_array().into_iter().flatten().collect();
        let messages = items.into_iter().filter(|item| item["type"] == "message").take(2);
        let width = self.client.out.width().unwrap_or(80);
        for item in messages.collect::<Vec<_>>().into_iter().rev() {
            let mark = if item["role"] == "user" { "›" } else { " " };
            self.dim(&table::cut(&format!("{mark} {}", clean::one_line(&printer::text_of(item))), width))?;
        }
        Ok(())
    }

    /// One turn. What fails in it ends the turn, not the conversation.
    fn say(&mut self, text: &str) -> Result<()> {
        let session = match block_on(self.place.session(self.client)) {
            Ok(session) => session,
            Err(error) => return self.complain(error),
        };
        self.run_turn(&session, Some(text))
    }

    fn run_turn(&mut self, session: &str, text: Option<&str>) -> Result<()> {
        let mut printer = Printer::new(self.client.out, self.client.notes, Show::Talk);
        let began = clock::now_ms();
        match block_on(turn::follow(self.client, session, text, &mut printer)) {
            Ok(ended) => {
                self.report(&ended.status)?;
                let took = figure::duration(clock::now_ms().saturating_sub(began));
                self.figures(session, &ended.usage, &took)
            }
            Err(error) => self.complain(error),
        }
    }

    fn report(&self, status: &Status) -> Result<()> {
        let notes = &self.client.notes;
        match status {
            Status::Completed => Ok(()),
            Status::Cancelled => self.dim("(interrupted; the session goes on)"),
            Status::Failed { code, message } => {
                notes.line(&notes.paint(Style::Bad, &format!("the turn failed: {message} ({code})")))
            }
            Status::Waits(calls) => {
                let calls = calls.join(", ");
                self.dim(&format!("the model calls {calls}, which another client must run; /cancel gives up on it"))
            }
        }
    }

    /// What the turn took.
    fn figures(&mut self, session: &str, usage: &Value, took: &str) -> Result<()> {
        let before = self.cost;
        let now = match block_on(self.client.session(session)) {
            Ok(short) => cost_of(&short),
            Err(_) => before,
        };
        self.cost = now;
        let cost = figure::money(now.saturating_sub(before));
        let sum = figure::money(now).filter(|_| cost.is_some() && before != 0).map(|sum| format!("{sum} in all"));
        let parts = [figure::tokens(usage), cost, sum, Some(took.to_owned())];
        let line = parts.into_iter().flatten().collect::<Vec<_>>().join(" · ");
        self.dim(&format!("{line}\n"))
    }

    /// What went wrong is said; the conversation goes on, also where the server is away: it may come back.
    fn complain(&self, error: Error) -> Result<()> {
        match error.exit {
            Exit::Done => Err(error),
            _ if error.is_silent() => Ok(()),
            _ => self.client.notes.line(&self.client.notes.paint(Style::Bad, &error.to_string())),
        }
    }

    fn leave(&self) -> Result<()> {
        match &self.place.session {
            Some(session) => {
                let id = client::short(session);
                self.dim(&format!("come back with: mainstay chat · or by name: mainstay chat -s {id}"))
            }
            None => Ok(()),
        }
    }
}

/// How many turns, as far as they were counted.
fn turns(short: &Value) -> String {
    let turns = short["turns"].as_u64().unwrap_or(0);
    let more = if short["has_more_turns"] == true { "+" } else { "" };
    let noun = if turns == 1 && more.is_empty() { "turn" } else { "turns" };
    format!("{}{more} {noun}", figure::count(turns))
}
