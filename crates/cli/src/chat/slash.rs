//! What begins with a slash is for this program, not for the model.

use super::{Place, choose, models, talk::Talk};
use crate::{
    clean,
    client::block_on,
    error::{Error, Result},
    http,
    screen::Style,
    sessions,
};

/// Sessions that `/sessions` shows.
const SHOWN: usize = 10;

const HELP: &str = "\
/new              begin a new session with this model
/model [NAME]     the models; with a name, begin a new session with it
/sessions         the latest sessions
/session ID       go on with that one: its id, or the end of it
/cancel           give up on what the session waits for
/help             this
/quit             leave; the session stays (Ctrl-D, too)
//WORDS           say something that begins with a slash
Ctrl-C while the model talks interrupts it.
A line that begins with a space is not remembered.";

/// What comes after a line was looked at.
pub(super) enum Next {
    /// Say this to the model.
    Say(String),
    /// Read the next one.
    Read,
    /// Leave.
    Quit,
}

/// Looks at a line.
pub(super) fn take(talk: &mut Talk<'_>, line: &str) -> Result<Next> {
    let Some(command) = line.strip_prefix('/') else { return Ok(Next::Say(line.to_owned())) };
    if command.starts_with('/') {
        return Ok(Next::Say(command.to_owned()));
    }
    let (verb, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    match (verb, rest.trim()) {
        ("help" | "?", _) => talk.client.out.line(HELP)?,
        ("quit" | "exit" | "q", _) => return Ok(Next::Quit),
        ("new", _) => renew(talk, None)?,
        ("model" | "models", "") => show_models(talk)?,
        ("model", name) => renew(talk, Some(name))?,
        ("sessions", _) => block_on(sessions::print_list(talk.client, SHOWN))?,
        ("cancel", _) => cancel(talk)?,
        ("session", "") => return Err(Error::usage("which one? /sessions shows them")),
        ("session", id) => go_on(talk, id)?,
        (other, _) => return Err(Error::usage(format!("there is no /{other}; /help shows what there is"))),
    }
    Ok(Next::Read)
}

fn renew(talk: &mut Talk<'_>, model: Option<&str>) -> Result<()> {
    let model = match model {
        Some(_) => block_on(choose(talk.client, model))?,
        None => talk.place.model.clone(),
    };
    talk.place = Place { session: None, model, instructions: talk.place.instructions.clone() };
    talk.greet(None)
}

fn go_on(talk: &mut Talk<'_>, id: &str) -> Result<()> {
    let short = block_on(async { talk.client.session(&talk.client.find(id).await?).await })?;
    talk.place = Place::of(&short);
    talk.greet(Some(&short))
}

fn cancel(talk: &Talk<'_>) -> Result<()> {
    let Some(session) = &talk.place.session else { return Err(Error::usage("nothing has been said yet")) };
    block_on(talk.client.http.post(&format!("/v1/agents/sessions/{session}/events"), &http::cancel()))?;
    talk.client.notes.line("cancelled")
}

fn show_models(talk: &Talk<'_>) -> Result<()> {
    for model in block_on(models(talk.client))? {
        let is_ours = model == talk.place.model;
        let name = clean::one_line(&model);
        let out = &talk.client.out;
        out.line(&if is_ours { out.paint(Style::Bold, &format!("* {name}")) } else { format!("  {name}") })?;
    }
    Ok(())
}
