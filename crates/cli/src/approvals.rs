//! `mainstay approvals` and `mainstay effects`: what people are asked across sessions, and their answers.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::{
    clean,
    client::{self, Client, block_on},
    clock,
    error::{Error, Exit, Result},
    figure,
    reach::{Reach, Surroundings},
    screen::Style,
    table::Table,
};

/// Sessions asked for at a time; the server's most.
const PAGE: usize = 100;
/// Most questions that are shown.
const MOST: usize = 10_000;
/// Most characters of a call's arguments in a table.
const ARGUMENTS: usize = 60;

/// Calls that wait for approval.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = "An ID is a whole one, or the end of one that the list shows.")]
pub enum Approvals {
    /// What waits: the call, why it is asked, how many must agree.
    List(List),
    /// Let a call run.
    Approve(Approve),
    /// Do not let a call run; the agent is told why.
    Deny(Deny),
    /// Let others answer as well.
    Delegate(Delegate),
}

/// Calls whose outcome nobody knows.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = "An ID is a whole one, or the end of one that the list shows.")]
pub enum Effects {
    /// What nobody knows: the call, its idempotency key, what went wrong.
    List(List),
    /// Say what became of a call.
    Resolve(Resolve),
}

/// What `list` takes.
#[derive(Clone, Debug, Args)]
pub struct List {
    #[command(flatten)]
    reach: Reach,
}

/// What `approve` takes.
#[derive(Clone, Debug, Args)]
pub struct Approve {
    /// The question.
    #[arg(value_name = "ID")]
    id: String,
    /// Run it with these arguments instead, a JSON object; where the policy lets them be edited.
    #[arg(long, value_name = "JSON")]
    arguments: Option<String>,
    /// Why; kept in the journal.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

/// What `deny` takes.
#[derive(Clone, Debug, Args)]
pub struct Deny {
    /// The question.
    #[arg(value_name = "ID")]
    id: String,
    /// Why; the agent is told.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

/// What `delegate` takes.
#[derive(Clone, Debug, Args)]
pub struct Delegate {
    /// The question.
    #[arg(value_name = "ID")]
    id: String,
    /// A principal who may answer as well; may be given several times.
    #[arg(long, value_name = "PRINCIPAL", required = true)]
    to: Vec<String>,
    #[command(flatten)]
    reach: Reach,
}

/// What `resolve` takes.
#[derive(Clone, Debug, Args)]
pub struct Resolve {
    /// The call, as the list shows it.
    #[arg(value_name = "ID")]
    id: String,
    /// What became of it. `again` makes it once more under the same idempotency key.
    #[arg(long = "as", value_name = "OUTCOME", value_parser = ["happened", "did_not_happen", "again", "abandon"])]
    outcome: String,
    /// What it brought, for the agent; with `--as happened`.
    #[arg(long, value_name = "TEXT")]
    output: Option<String>,
    /// How you know; kept in the journal.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

impl Approvals {
    /// How to reach the server.
    pub const fn reach(&self) -> &Reach {
        match self {
            Self::List(options) => &options.reach,
            Self::Approve(options) => &options.reach,
            Self::Deny(options) => &options.reach,
            Self::Delegate(options) => &options.reach,
        }
    }
}

impl Effects {
    /// How to reach the server.
    pub const fn reach(&self) -> &Reach {
        match self {
            Self::List(options) => &options.reach,
            Self::Resolve(options) => &options.reach,
        }
    }
}

/// Does it.
///
/// # Errors
/// See `Exit`.
pub fn approvals(verb: &Approvals, around: &Surroundings) -> Result<()> {
    let client = Client::new(verb.reach(), around)?;
    block_on(async {
        match verb {
            Approvals::List(_) => list(&client, "approvals").await,
            Approvals::Approve(options) => {
                let mut body = said("approve", options.reason.as_deref());
                if let Some(arguments) = &options.arguments {
                    let read: Map<String, Value> = serde_json::from_str(arguments)
                        .map_err(|error| Error::usage(format!("--arguments is no JSON object: {error}")))?;
                    body.insert("arguments".to_owned(), Value::Object(read));
                }
                answer(&client, ("approvals", &options.id), body, "approved").await
            }
            Approvals::Deny(options) => {
                let body = said("deny", options.reason.as_deref());
                answer(&client, ("approvals", &options.id), body, "denied").await
            }
            Approvals::Delegate(options) => {
                let mut body = said("delegate", None);
                body.insert("to".to_owned(), json!(options.to));
                answer(&client, ("approvals", &options.id), body, "handed on").await
            }
        }
    })
}

/// Does it.
///
/// # Errors
/// See `Exit`.
pub fn effects(verb: &Effects, around: &Surroundings) -> Result<()> {
    let client = Client::new(verb.reach(), around)?;
    block_on(async {
        match verb {
            Effects::List(_) => list(&client, "effects").await,
            Effects::Resolve(options) => {
                let mut body = said(&options.outcome, options.reason.as_deref());
                if let Some(output) = &options.output {
                    body.insert("output".to_owned(), json!(output));
                }
                answer(&client, ("effects", &options.id), body, "resolved").await
            }
        }
    })
}

fn said(decision: &str, reason: Option<&str>) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("decision".to_owned(), json!(decision));
    if let Some(reason) = reason {
        body.insert("reason".to_owned(), json!(reason));
    }
    body
}

async fn read(client: &Client, what: &str) -> Result<Vec<Value>> {
    let mut found: Vec<Value> = Vec::new();
    let mut after = String::new();
    loop {
        let page = client.http.get(&format!("/mainstay/v1/{what}?limit={PAGE}{after}")).await?;
        found.extend(page["data"].as_array().cloned().unwrap_or_default());
        let last = page["last_session_id"].as_str().unwrap_or_default();
        if page["has_more"] != true || last.is_empty() || found.len() >= MOST {
            return Ok(found);
        }
        after = format!("&after={last}");
    }
}

async fn list(client: &Client, what: &str) -> Result<()> {
    let found = read(client, what).await?;
    if client.is_json {
        return client.out.document(&json!({ "data": found }));
    }
    if found.is_empty() {
        return client.notes.line(match what {
            "approvals" => "nothing waits for an approval",
            _ => "the outcome of every call is known",
        });
    }
    let waits = what == "approvals";
    let mut table = Table::new(match waits {
        true => &["ID", "AGREED", "ASKED", "TOOL", "ARGUMENTS", "WHY"][..],
        false => &["ID", ">ATTEMPTS", "TOOL", "ARGUMENTS", "IDEMPOTENCY KEY", "WHY"][..],
    });
    for question in &found {
        let text = |name: &str| clean::one_line(question[name].as_str().unwrap_or_default());
        let id = text("id");
        let id = if client.out.is_terminal { client::short(&id).to_owned() } else { id };
        let tool = format!("{}/{}", text("toolset"), text("tool"));
        let arguments: String = clean::one_line(&question["arguments"].to_string()).chars().take(ARGUMENTS).collect();
        let mut row = vec![(id, Some(Style::Bold))];
        if waits {
            let agreed = question["agreed"].as_array().map_or(0, Vec::len);
            row.push((format!("{agreed} of {}", question["quorum"].as_u64().unwrap_or(1)), None));
            row.push((figure::ago(question["asked_at_ms"].as_u64().unwrap_or(0), clock::now_ms()), None));
            row.extend([(tool, Some(Style::Accent)), (arguments, None), (text("message"), None)]);
        } else {
            row.push((figure::count(question["attempts"].as_u64().unwrap_or(0)), None));
            row.extend([(tool, Some(Style::Accent)), (arguments, None), (text("idempotency_key"), None)]);
            row.push((text("why"), None));
        }
        table.row(row);
    }
    client.out.write(&table.render(&client.out))?;
    if client.out.is_terminal {
        let next = if waits {
            "mainstay approvals approve ID, or deny ID"
        } else {
            "mainstay effects resolve ID --as OUTCOME"
        };
        client.notes.line(&client.notes.paint(Style::Dim, next))?;
    }
    Ok(())
}

async fn answer(client: &Client, (what, id): (&str, &str), body: Map<String, Value>, done: &str) -> Result<()> {
    let id = find(client, what, id).await?;
    let open = client.http.post(&format!("/mainstay/v1/{what}/{id}"), &Value::Object(body)).await?;
    if client.is_json {
        return client.out.document(&open);
    }
    client.out.line(&format!("{} {id}", client.out.paint(Style::Good, done)))?;
    let still = open["data"].as_array().into_iter().flatten();
    for question in still.filter(|question| question["id"] != json!(id)) {
        let next = clean::one_line(question["id"].as_str().unwrap_or_default());
        client.notes.line(&format!("its session asks for more: {next}"))?;
    }
    Ok(())
}

/// A whole id, or the end of one that is listed.
async fn find(client: &Client, what: &str, text: &str) -> Result<String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(Error::new(Exit::NotFound, "that is not the id of a question"));
    }
    if text.starts_with("mcpr_") {
        return Ok(text.to_owned());
    }
    let found = read(client, what).await?;
    let mut ids = found.iter().filter_map(|question| question["id"].as_str()).filter(|id| id.ends_with(text));
    match (ids.next(), ids.next()) {
        (Some(id), None) => Ok(id.to_owned()),
        (Some(_), Some(_)) => Err(Error::usage(format!("several questions end in {text}: give more of the id"))),
        (None, _) => Err(Error::new(Exit::NotFound, format!("no question ends in {text}"))),
    }
}
