//! `sessions show`: a session and its journal, read page by page.

use clap::Args;
use serde_json::{Value, json};

use super::{list, timeline::Timeline};
use crate::{
    clean,
    client::Client,
    clock,
    error::Result,
    figure,
    reach::Reach,
    screen::{Screen, Style},
};

/// Events asked for at a time; the server's most.
const PAGE: u64 = 500;

/// Most events that one document holds: what is printed is not kept, a document is.
const MAX_EVENTS: usize = 100_000;

/// What `show` takes.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The session.
    #[arg(value_name = "ID")]
    id: String,
    /// Show whole texts, arguments and results, not one line of each.
    #[arg(long, short)]
    full: bool,
    /// Begin after this event of the journal.
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    after: u64,
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(client: &Client, options: &Options) -> Result<()> {
    let id = client.find(&options.id).await?;
    let short = client.session(&id).await?;
    let mut events: Vec<Value> = Vec::new();
    let mut timeline = Timeline::new(client.out, options.full);
    if !client.is_json {
        client.out.write(&heading(&short, &client.out))?;
    }
    let mut after = options.after;
    loop {
        let path = format!("/mainstay/v1/sessions/{id}/journal?after_sequence={after}&limit={PAGE}");
        let page = client.http.get(&path).await?;
        let data = page["data"].as_array().cloned().unwrap_or_default();
        let Some(last) = data.last().and_then(|event| event["sequence"].as_u64()) else { break };
        after = last;
        if client.is_json {
            events.extend(data);
        } else {
            data.iter().try_for_each(|event| client.out.write(&timeline.event(event)))?;
        }
        if page["has_more"] != true || events.len() >= MAX_EVENTS {
            break;
        }
    }
    if client.is_json {
        let is_whole = after >= short["events"].as_u64().unwrap_or(0);
        return client.out.document(&json!({ "session": short, "journal": events, "is_whole": is_whole }));
    }
    Ok(())
}

fn heading(short: &Value, out: &Screen) -> String {
    let text = |name: &str| clean::one_line(short[name].as_str().unwrap_or_default());
    let status = text("status");
    let (state, style) = list::state(&status);
    let state = style.map_or_else(|| state.to_owned(), |style| out.paint(style, state));
    let active = figure::ago(short["last_active_at_ms"].as_u64().unwrap_or(0), clock::now_ms());
    let mut lines = vec![format!("{}  {state}", out.paint(Style::Bold, &text("id")))];
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            lines.push(format!("{}{value}", out.paint(Style::Dim, &format!("{name:<9}"))));
        }
    };
    row("model", Some(text("model")));
    row("agent", short["agent_name"].as_str().map(clean::one_line));
    row("parent", short["parent"]["session_id"].as_str().map(clean::one_line));
    row("created", short["created_at_ms"].as_u64().map(figure::date_time));
    row("active", Some(active));
    row("tokens", figure::tokens(&short["usage"]));
    row("cost", short["cost_pico_usd"].as_i64().and_then(figure::money));
    let tags = short["metadata"].as_object().filter(|tags| !tags.is_empty());
    row("metadata", tags.map(|tags| clean::one_line(&Value::Object(tags.clone()).to_string())));
    format!("{}\n", lines.join("\n"))
}
