//! `sessions list`: the latest sessions as a table.

use clap::Args;
use serde_json::{Value, json};

use crate::{
    clean,
    client::{self, Client},
    clock,
    error::Result,
    figure,
    reach::Reach,
    screen::Style,
    table::Table,
};

/// Sessions asked for at a time; the server's most.
const PAGE: usize = 100;

/// What `list` takes.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Most sessions to show, from 1 to 10000.
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
    /// Oldest first.
    #[arg(long)]
    oldest: bool,
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(client: &Client, options: &Options) -> Result<()> {
    let limit = usize::try_from(options.limit).unwrap_or(PAGE);
    let order = if options.oldest { "asc" } else { "desc" };
    let (sessions, has_more) = read(client, limit, order).await?;
    if client.is_json {
        return client.out.document(&json!({ "data": sessions, "has_more": has_more }));
    }
    print(client, &sessions)?;
    if has_more && client.out.is_terminal {
        client.notes.line(&client.notes.paint(Style::Dim, "there are more: --limit COUNT"))?;
    }
    Ok(())
}

/// The latest sessions, as a table.
pub(crate) async fn print_list(client: &Client, limit: usize) -> Result<()> {
    print(client, &read(client, limit, "desc").await?.0)
}

async fn read(client: &Client, limit: usize, order: &str) -> Result<(Vec<Value>, bool)> {
    let mut sessions: Vec<Value> = Vec::new();
    loop {
        let size = (limit - sessions.len()).min(PAGE);
        let after = sessions.last().and_then(|session| session["id"].as_str()).map(|id| format!("&after={id}"));
        let path = format!("/mainstay/v1/sessions?limit={size}&order={order}{}", after.unwrap_or_default());
        let page = client.http.get(&path).await?;
        let data = page["data"].as_array().cloned().unwrap_or_default();
        let has_more = page["has_more"] == true && !data.is_empty();
        sessions.extend(data);
        if !has_more || sessions.len() >= limit {
            return Ok((sessions, has_more));
        }
    }
}

fn print(client: &Client, sessions: &[Value]) -> Result<()> {
    if sessions.is_empty() {
        return client.notes.line("there are no sessions yet; mainstay chat begins one");
    }
    let mut table = Table::new(&["SESSION", "STATE", ">TURNS", "ACTIVE", ">COST", "MODEL", "FIRST WORDS"]);
    for session in sessions {
        let text = |name: &str| clean::one_line(session[name].as_str().unwrap_or_default());
        let id = text("id");
        let more = if session["has_more_turns"] == true { "+" } else { "" };
        let status = text("status");
        let (state, style) = state(&status);
        table.row(vec![
            (if client.out.is_terminal { client::short(&id).to_owned() } else { id }, Some(Style::Bold)),
            (state.to_owned(), style),
            (format!("{}{more}", figure::count(session["turns"].as_u64().unwrap_or(0))), None),
            (figure::ago(session["last_active_at_ms"].as_u64().unwrap_or(0), clock::now_ms()), None),
            (figure::money(session["cost_pico_usd"].as_i64().unwrap_or(0)).unwrap_or_else(|| "–".to_owned()), None),
            (text("model"), None),
            (words(session), None),
        ]);
    }
    client.out.write(&table.render(&client.out))
}

/// What a session is doing, in a word.
pub(super) fn state(status: &str) -> (&str, Option<Style>) {
    match status {
        "in_progress" => ("working", Some(Style::Busy)),
        "requires_action" => ("waiting", Some(Style::Accent)),
        "idle" => ("idle", Some(Style::Dim)),
        other => (other, None),
    }
}

/// How it began.
fn words(session: &Value) -> String {
    let words = clean::one_line(session["first_words"].as_str().unwrap_or_default());
    match session["parent"]["session_id"].as_str() {
        Some(parent) => format!("(fork of {}) {words}", client::short(&clean::one_line(parent))),
        None => words,
    }
}
