//! `mainstay chat`: a conversation that outlives this program, the terminal and the server. One prompt and one answer
//! where a prompt is given, else `talk`. A turn is followed in `turn`.

use std::io::{self, IsTerminal, Read};

use clap::Args;
use serde_json::{Value, json};

use crate::{
    clean,
    client::{Client, block_on},
    error::{Error, Exit, Result},
    printer::{Printer, Show},
    reach::{Reach, Surroundings},
};

mod slash;
mod talk;
mod turn;

use turn::{Ended, Status};

/// Most bytes of a prompt from standard input; the server takes little more.
const MAX_PROMPT: u64 = 16 << 20;

/// What `chat` takes.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  mainstay chat                           talk; goes on with the last session
  mainstay chat 'and in French?'          one question, its answer on standard output
  mainstay chat --new 'Sum up:' - < a.md  a fresh session; - stands for standard input
  mainstay chat --session 3f9k2ab1        the session whose id ends so

While the model talks, Ctrl-C interrupts it; the session stays. Ctrl-D leaves, and the session stays, too.")]
pub struct Options {
    /// What to say. A `-` stands for standard input. Left out: standard input, or a conversation on a terminal.
    #[arg(value_name = "PROMPT", allow_hyphen_values = false)]
    pub prompt: Vec<String>,
    /// Begin a new session.
    #[arg(long, conflicts_with = "session")]
    pub new: bool,
    /// Go on with this session: its id, the end of its id, or `last`.
    #[arg(long, short, value_name = "ID")]
    pub session: Option<String>,
    /// Begin a new session with this model. Left out: the server's first.
    #[arg(long, short, value_name = "NAME", conflicts_with = "session")]
    pub model: Option<String>,
    /// Begin a new session with these instructions.
    #[arg(long, short, value_name = "TEXT", conflicts_with = "session")]
    pub instructions: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "the documentation would become that of the command")]
    pub reach: Reach,
}

/// Talks.
///
/// # Errors
/// See `Exit`.
pub fn run(options: &Options, around: &Surroundings) -> Result<()> {
    let client = Client::new(&options.reach, around)?;
    let prompt = prompt(&options.prompt)?;
    match prompt {
        Some(prompt) => block_on(once(&client, options, &prompt)),
        None if client.is_json || !client.out.is_terminal => {
            Err(Error::usage("a prompt is needed: mainstay chat 'Hello'"))
        }
        None => talk::run(&client, options),
    }
}

/// What to say; `None` for a conversation.
fn prompt(words: &[String]) -> Result<Option<String>> {
    let is_piped = !io::stdin().is_terminal();
    let words: Vec<String> = if words.is_empty() && is_piped { vec!["-".to_owned()] } else { words.to_vec() };
    if words.is_empty() {
        return Ok(None);
    }
    let mut parts = Vec::new();
    let mut piped = None;
    for word in words {
        if word != "-" {
            parts.push(word);
        } else if piped.replace(()).is_none() {
            parts.push(standard_input()?);
        }
    }
    let joined = if piped.is_some() { parts.join("\n\n") } else { parts.join(" ") };
    let prompt = joined.trim();
    if prompt.is_empty() {
        return Err(Error::usage("the prompt is empty"));
    }
    Ok(Some(prompt.to_owned()))
}

fn standard_input() -> Result<String> {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(MAX_PROMPT + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::new(Exit::Failed, format!("reading standard input: {error}")))?;
    if bytes.len() as u64 > MAX_PROMPT {
        return Err(Error::usage(format!("standard input holds more than {} MiB", MAX_PROMPT >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| Error::usage("standard input is not text (UTF-8)"))
}

/// A session, or what one will be made of once there is something to say.
#[derive(Clone, Debug)]
struct Place {
    session: Option<String>,
    model: String,
    instructions: Option<String>,
}

impl Place {
    /// Where to talk, and the session in short if there is one.
    async fn find(client: &Client, options: &Options) -> Result<(Self, Option<Value>)> {
        if let Some(text) = &options.session {
            let short = client.session(&client.find(text).await?).await?;
            return Ok((Self::of(&short), Some(short)));
        }
        let wants_another = options.new || options.model.is_some() || options.instructions.is_some();
        if let Some(last) = client.memory.last_session().filter(|_| !wants_another) {
            match client.session(&last).await {
                Ok(short) => return Ok((Self::of(&short), Some(short))),
                // Deleted meanwhile, or another data directory at the same address.
                Err(error) if error.exit == Exit::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let model = choose(client, options.model.as_deref()).await?;
        Ok((Self { session: None, model, instructions: options.instructions.clone() }, None))
    }

    fn of(short: &Value) -> Self {
        let text = |name: &str| short[name].as_str().map(str::to_owned);
        Self { session: text("id"), model: text("model").unwrap_or_default(), instructions: None }
    }

    /// The session's id; makes the session where there is none.
    async fn session(&mut self, client: &Client) -> Result<String> {
        let session = match &self.session {
            Some(session) => session.clone(),
            None => {
                let agent = json!({ "model": self.model, "instructions": self.instructions });
                let body = json!({ "agent": agent, "environment": { "type": "none" } });
                let made = client.http.post("/v1/agents/sessions", &body).await?;
                let wrong = || Error::new(Exit::Failed, "the server made a session without an id");
                made["id"].as_str().map(str::to_owned).ok_or_else(wrong)?
            }
        };
        client.memory.remember(&session);
        self.session = Some(session.clone());
        Ok(session)
    }
}

/// The names of the models.
async fn models(client: &Client) -> Result<Vec<String>> {
    let list = client.http.get("/v1/models").await?;
    let ids = list["data"].as_array().into_iter().flatten().filter_map(|model| model["id"].as_str());
    Ok(ids.map(str::to_owned).collect())
}

async fn choose(client: &Client, wanted: Option<&str>) -> Result<String> {
    let models = models(client).await?;
    match wanted {
        Some(wanted) if models.iter().any(|model| model == wanted) => Ok(wanted.to_owned()),
        Some(wanted) => {
            let known = models.iter().map(|model| clean::one_line(model)).collect::<Vec<_>>().join(", ");
            let error = Error::new(Exit::NotFound, format!("there is no model {wanted}"));
            Err(error.advise(format!("This server has: {known}")))
        }
        None => models.into_iter().next().ok_or_else(|| {
            Error::new(Exit::Failed, "the server serves no model").advise("Its configuration needs a [[deployment]].")
        }),
    }
}

/// One prompt, one answer.
async fn once(client: &Client, options: &Options, prompt: &str) -> Result<()> {
    let (mut place, short) = Place::find(client, options).await?;
    let show = if client.is_json { Show::Nothing } else { Show::Answer };
    let before = short.as_ref().map_or(0, cost_of);
    if let Some(short) = short.filter(|short| short["status"] == "in_progress") {
        // Somebody else's turn, or one of before the last interruption: its answer is not this one's.
        let session = short["id"].as_str().unwrap_or_default();
        turn::follow(client, session, None, &mut Printer::new(client.out, client.notes, Show::Nothing)).await?;
    }
    let session = place.session(client).await?;
    let mut printer = Printer::new(client.out, client.notes, show);
    let ended = turn::follow(client, &session, Some(prompt), &mut printer).await?;
    if client.is_json {
        let cost = cost_of(&client.session(&session).await?).saturating_sub(before);
        client.out.document(&document(&session, &ended, cost))?;
    }
    verdict(&ended, &session)
}

/// What a session has cost, pico-dollars.
fn cost_of(short: &Value) -> i64 {
    short["cost_pico_usd"].as_i64().unwrap_or(0)
}

fn document(session: &str, ended: &Ended, cost: i64) -> Value {
    let error = match &ended.status {
        Status::Failed { code, message } => json!({ "code": code, "message": message }),
        _ => Value::Null,
    };
    json!({
        "session_id": session,
        "turn_id": ended.turn,
        "status": ended.status.name(),
        "text": ended.messages.join("\n\n"),
        "error": error,
        "usage": ended.usage,
        "cost_pico_usd": cost,
    })
}

/// The exit of a single question.
fn verdict(ended: &Ended, session: &str) -> Result<()> {
    match &ended.status {
        Status::Completed => Ok(()),
        Status::Cancelled if ended.is_interrupted => Err(Error::interrupted()),
        Status::Cancelled => Err(Error::new(Exit::Failed, "the turn was cancelled")),
        Status::Failed { code, message } => {
            let error = Error::new(Exit::Failed, format!("the turn failed: {message} ({code})"));
            Err(error.advise(format!("mainstay sessions show {session} has the details.")))
        }
        Status::Waits(calls) => {
            let message = format!("the session waits for the result of {}", calls.join(", "));
            let advice = "Only the client that offered these functions can run them. To give up on them:";
            Err(Error::new(Exit::Failed, message).advise(format!("{advice}\nmainstay sessions cancel {session}")))
        }
    }
}
