//! Durable fenced commits of 1 KiB through the store, beside a raw log with group commit: an example of that crate
//! measures, this puts its lines beside the limit of the same run and other engines.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{Scale, figure::Figure};
use crate::process::{captured, cargo};

/// Seconds for each case.
const SECONDS: (&str, &str) = ("1", "3");
/// The line that is held against the targets.
const STORE: &str = "store_append";

/// What a store is held against.
pub(super) struct Aim {
    /// The row's name.
    pub(super) row: &'static str,
    /// The line that is the limit for the ones beside it.
    pub(super) limit: &'static str,
    /// What is to be reached with many writers.
    pub(super) rate: &'static str,
    /// How long one may wait then.
    pub(super) worst: &'static str,
}

const AIM_OF_SQLITE: Aim = Aim { row: "appends", limit: "raw_log_append", rate: ">= 30 % of limit", worst: "<= 5,000" };

/// Durable appends a second of other engines, measured once, side by side on two busy cores.
const PEERS: [(u64, &str); 3] = [
    (1, "SQLite bare 5,305; fjall 4,916; PostgreSQL 3,580; redb 1,815; Restate 186"),
    (16, "fjall 24,397; PostgreSQL 18,304; redb 8,470; NATS 4,017; Restate 631"),
    (64, "fjall 57,941; PostgreSQL 52,704; redb 21,295; NATS 3,876; Restate 900"),
];
/// The writers of the case with a target.
const AIM: u64 = 64;

/// A line that the example prints.
#[derive(Deserialize)]
struct Line {
    name: String,
    writers: u64,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_us_per_op: f64,
}

pub(super) fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let folder = scale.folder("appends")?;
    let seconds = if scale.quick { SECONDS.0 } else { SECONDS.1 };
    let example = ["run", "--quiet", "--release", "-p", "mainstay-store", "--example", "appends", "--"];
    figures(&AIM_OF_SQLITE, &captured(cargo(&example).arg(folder).arg(seconds))?)
}

/// What an example printed, as figures.
pub(super) fn figures(aim: &Aim, printed: &str) -> Result<Vec<Figure>> {
    let lines = printed.lines().filter(|line| !line.trim().is_empty());
    let lines: Vec<Line> =
        lines.map(|line| serde_json::from_str(line).with_context(|| format!("`{line}`"))).collect::<Result<_>>()?;
    Ok(lines.iter().flat_map(|line| of_line(aim, line, &lines)).collect())
}

fn of_line(aim: &Aim, line: &Line, all: &[Line]) -> [Figure; 4] {
    let limit = all.iter().find(|other| other.name == aim.limit && other.writers == line.writers);
    let figure = |figure, value: f64, limit: Option<f64>| {
        let mut made = Figure::new((aim.row, &line.name), format!("{} writers", line.writers), figure, value);
        made.of_limit = limit.filter(|_| line.name == STORE).map(|limit| 100.0 * value / limit);
        made
    };
    let mut rate = figure("per_second", line.per_second, limit.map(|limit| limit.per_second));
    let mut worst = figure("p99_us", line.p99_us, limit.map(|limit| limit.p99_us));
    if line.name == STORE {
        let peers = PEERS.iter().find(|(writers, _)| *writers == line.writers);
        rate.peers = peers.map(|(_, peers)| (*peers).to_owned()).unwrap_or_default();
        if line.writers == AIM {
            rate.target = aim.rate;
            worst.target = aim.worst;
        }
    }
    [rate, figure("p50_us", line.p50_us, None), worst, figure("cpu_us", line.cpu_us_per_op, None)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = r#"{"name":"raw_log_append","writers":64,"per_second":100000,"p50_us":600,"p99_us":650,"cpu_us_per_op":2}
{"name":"store_append","writers":64,"per_second":35000,"p50_us":1800,"p99_us":4500,"cpu_us_per_op":30}
"#;

    #[test]
    fn a_figure_stands_beside_its_target_and_the_limit_of_its_run() {
        let figures = figures(&AIM_OF_SQLITE, PRINTED).unwrap();
        let rate = figures.iter().find(|figure| figure.name == STORE && figure.figure == "per_second").unwrap();
        assert_eq!((rate.of_limit, rate.target), (Some(35.0), ">= 30 % of limit"));
        let limit = figures.iter().find(|figure| figure.name == AIM_OF_SQLITE.limit).unwrap();
        assert_eq!((limit.of_limit, limit.target), (None, ""));
    }

    #[test]
    fn anything_but_json_lines_is_an_error() {
        assert!(figures(&AIM_OF_SQLITE, "done\n").is_err());
    }
}
