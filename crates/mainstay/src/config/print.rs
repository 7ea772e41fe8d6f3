//! `config print`: every value with its origin, in a table or as JSON. Secrets are shown by where they are, never read.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Map, json};
use toml::{Table, Value};

use super::{Config, Origin};
use crate::{
    Options,
    offer::{self, Offers},
};

/// Widest column; longer cells push their line only.
const WIDEST: usize = 56;

/// What `config print` takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One value.
struct Row {
    name: String,
    value: Value,
    origin: Origin,
}

/// Prints the configuration, with the offers that stand in for deployments where none is configured.
///
/// # Errors
/// Where the configuration is wrong.
pub(crate) fn print(arguments: &Arguments) -> Result<()> {
    let config = super::load(&arguments.options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting threads")?;
    let offers = runtime.block_on(offer::look(&config));
    print!("{}", text(&config, offers.as_ref(), arguments.json)?);
    Ok(())
}

pub(super) fn text(config: &Config, offers: Option<&Offers>, as_json: bool) -> Result<String> {
    let mut rows = Vec::new();
    flatten(&config.merged, "", &mut |name, value| {
        rows.push(Row { origin: config.origins.of(&name), name, value: shown(value) });
    });
    if as_json { json(config, &rows, offers) } else { Ok(table(config, &rows, offers)) }
}

fn json(config: &Config, rows: &[Row], offers: Option<&Offers>) -> Result<String> {
    let mut settings = Map::new();
    for row in rows {
        let value = serde_json::to_value(&row.value)?;
        settings.insert(row.name.clone(), json!({ "value": value, "origin": row.origin.to_string() }));
    }
    let whole = json!({
        "file": config.path.as_ref().map(|path| path.display().to_string()),
        "data_dir": config.data_dir.display().to_string(),
        "settings": settings,
        "offered": offers.map(Offers::json),
    });
    Ok(format!("{}\n", serde_json::to_string_pretty(&whole)?))
}

fn table(config: &Config, rows: &[Row], offers: Option<&Offers>) -> String {
    let cells: Vec<_> =
        rows.iter().map(|row| [row.name.clone(), row.value.to_string(), row.origin.to_string()]).collect();
    let mut text =
        align(&[["SETTING", "VALUE", "ORIGIN"].map(str::to_owned)].into_iter().chain(cells).collect::<Vec<_>>());
    let file = config.path.as_ref().map_or("none".to_owned(), |path| path.display().to_string());
    let _ = writeln!(text, "\nfile            {file}\ndata directory  {}", config.data_dir.display());
    if let Some(offers) = offers {
        let _ = write!(text, "\nNo deployment is configured; offered instead:\n{}", offers.text());
    }
    text
}

/// A value without the password that an address may hold.
fn shown(value: &Value) -> Value {
    let hidden = value.as_str().and_then(|text| {
        let (scheme, rest) = text.split_once("://")?;
        let (before, host) = rest.split_once('@').filter(|(before, _)| !before.contains('/'))?;
        let (user, _) = before.split_once(':')?;
        Some(Value::String(format!("{scheme}://{user}:…@{host}")))
    });
    hidden.unwrap_or_else(|| value.clone())
}

/// Columns of one width each, two spaces apart.
fn align<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count()).filter(|width| *width <= WIDEST);
        widths.max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn flatten(table: &Table, path: &str, row: &mut impl FnMut(String, &Value)) {
    for (name, value) in table {
        let dotted = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        flatten_value(dotted, value, row);
    }
}

fn flatten_value(name: String, value: &Value, row: &mut impl FnMut(String, &Value)) {
    match value {
        Value::Table(inner) => flatten(inner, &name, row),
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(index, value)| flatten_value(format!("{name}[{index}]"), value, row));
        }
        value => row(name, value),
    }
}
