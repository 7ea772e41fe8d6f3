//! `sessions fork`: another session with the same past.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::{clean, client::Client, error::Result, reach::Reach, screen::Style};

/// What `fork` takes.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The session.
    #[arg(value_name = "ID")]
    id: String,
    /// The last turn to inherit, by its id. Left out: the last one that is over.
    #[arg(long, value_name = "TURN")]
    turn: Option<String>,
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) async fn run(client: &Client, options: &Options) -> Result<()> {
    let id = client.find(&options.id).await?;
    let mut body = Map::new();
    if let Some(turn) = &options.turn {
        body.insert("turn_id".to_owned(), json!(turn));
    }
    client.session(&id).await?;
    let made = client.http.post(&format!("/mainstay/v1/sessions/{id}/fork"), &Value::Object(body)).await?;
    if client.is_json {
        return client.out.document(&made);
    }
    let fork = clean::one_line(made["id"].as_str().unwrap_or_default());
    client.out.line(&fork)?;
    if client.out.is_terminal {
        let next = format!("go on there with: mainstay chat --session {fork}");
        client.notes.line(&client.notes.paint(Style::Dim, &next))?;
    }
    Ok(())
}
