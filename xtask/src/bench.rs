//! `cargo xtask bench`: runs the measuring programs and prints each figure beside its target or peer. There is no
//! pass or fail here: machines differ, so ratios within one run count. To add a measure, add to `BENCHES`.
//!
//! A measuring program prints one JSON object a line: `name`, what it varies (`writers`, `turns`, …), and figures.

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::{Map, Value};

use crate::process::{captured, cargo, root};

/// A measuring program.
struct Bench {
    /// What it is called on the command line.
    name: &'static str,
    /// What it measures.
    shows: &'static str,
    /// The package, and the example within it.
    example: (&'static str, &'static str),
    /// The example's file; a bench whose program is not there says so.
    file: &'static str,
    /// The field that tells cases of one name apart.
    varies: &'static str,
    /// The `name` of the lines that are the limit for the others of the same run.
    limit: &'static str,
    /// What stands beside the figures.
    beside: &'static [Beside],
}

/// What a figure is held against. Figures of other engines were measured once, side by side on two busy cores.
struct Beside {
    /// The case, as the value of the field that varies.
    case: u64,
    /// The figure.
    figure: &'static str,
    /// What must be reached.
    target: &'static str,
    /// What others reach.
    peers: &'static str,
}

const fn beside(case: u64, figure: &'static str, target: &'static str, peers: &'static str) -> Beside {
    Beside { case, figure, target, peers }
}

/// Every measure there is.
const BENCHES: &[Bench] = &[Bench {
    name: "appends",
    shows: "durable fenced commits of 1 KiB through the store, beside a raw log with group commit",
    example: ("mainstay-store", "appends"),
    file: "crates/store/examples/appends.rs",
    varies: "writers",
    limit: "raw-log",
    beside: &[
        beside(1, "per_second", "", "SQLite bare 5,305; fjall 4,916; PostgreSQL 3,580; redb 1,815; Restate 186"),
        beside(16, "per_second", "", "fjall 24,397; PostgreSQL 18,304; redb 8,470; NATS 4,017; Restate 631"),
        beside(
            64,
            "per_second",
            ">= 30 % of limit",
            "fjall 57,941; PostgreSQL 52,704; redb 21,295; NATS 3,876; Restate 900",
        ),
        beside(64, "p99_us", "<= 5,000", "PostgreSQL 2,000; fjall 7,800; redb 8,000; NATS 68,000; Restate 120,000"),
    ],
}];

/// What to run.
#[derive(Args)]
pub struct Arguments {
    /// Which; all of them if none is named.
    names: Vec<String>,
    /// Print one JSON object a figure instead of the table.
    #[arg(long)]
    json: bool,
}

/// One measured number and what it is held against.
#[derive(serde::Serialize)]
struct Figure {
    bench: &'static str,
    name: String,
    case: String,
    figure: String,
    value: f64,
    /// In percent of the limit of the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    of_limit: Option<f64>,
    target: &'static str,
    peers: &'static str,
}

/// Runs the benches.
///
/// # Errors
/// Where one was asked for that does not exist, or a program fails or prints something else than JSON lines.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    for name in &arguments.names {
        ensure!(BENCHES.iter().any(|bench| bench.name == name), "there is no bench `{name}`");
    }
    let chosen = |bench: &&Bench| arguments.names.is_empty() || arguments.names.iter().any(|name| name == bench.name);
    for bench in BENCHES.iter().filter(chosen) {
        if !root().join(bench.file).exists() {
            println!("{}: not measured, {} does not exist yet", bench.name, bench.file);
            continue;
        }
        let (package, example) = bench.example;
        let printed = captured(&mut cargo(&["run", "--quiet", "--release", "-p", package, "--example", example]))?;
        let figures = figures(bench, &printed)?;
        if arguments.json {
            figures.iter().try_for_each(|figure| serde_json::to_string(figure).map(|line| println!("{line}")))?;
        } else {
            println!("{}: {}\n{}", bench.name, bench.shows, table(&figures));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A line that a program printed.
type Line = Map<String, Value>;

fn figures(bench: &'static Bench, printed: &str) -> Result<Vec<Figure>> {
    let lines: Vec<Line> = printed
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).with_context(|| format!("{}: `{line}`", bench.name)))
        .collect::<Result<_>>()?;
    let of_line = |line| {
        let limit = lines.iter().find(|other| {
            !bench.is_limit(line) && bench.is_limit(other) && other.get(bench.varies) == line.get(bench.varies)
        });
        bench.figures_of(line, limit)
    };
    Ok(lines.iter().flat_map(of_line).collect())
}

impl Bench {
    fn is_limit(&self, line: &Line) -> bool {
        line.get("name").and_then(Value::as_str) == Some(self.limit)
    }

    /// The numbers of a line, but for the one that names its case.
    fn figures_of(&'static self, line: &Line, limit: Option<&Line>) -> Vec<Figure> {
        let case = line.get(self.varies);
        let numbers = line.iter().filter(|(key, _)| *key != self.varies);
        let numbers = numbers.filter_map(|(key, value)| Some((key, value.as_f64()?)));
        let figure = |(key, value): (&String, f64)| {
            let held = self
                .beside
                .iter()
                .filter(|_| !self.is_limit(line))
                .find(|beside| beside.figure == key && case.and_then(Value::as_u64) == Some(beside.case));
            let limit = limit.and_then(|limit| limit.get(key)?.as_f64()).filter(|limit| *limit != 0.0);
            Figure {
                bench: self.name,
                name: line.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
                case: case.map_or_else(String::new, |case| format!("{case} {}", self.varies)),
                figure: key.clone(),
                value,
                of_limit: limit.map(|limit| 100.0 * value / limit),
                target: held.map_or("", |beside| beside.target),
                peers: held.map_or("", |beside| beside.peers),
            }
        };
        numbers.map(figure).collect()
    }
}

/// Columns as wide as their widest cell, numbers to the right.
fn table(figures: &[Figure]) -> String {
    const NUMBERS: [usize; 2] = [3, 4];
    let head = ["name", "case", "figure", "value", "of limit", "target", "peers"].map(str::to_owned);
    let rows = figures.iter().map(|figure| {
        let of_limit = figure.of_limit.map_or_else(String::new, |percent| format!("{percent:.0} %"));
        let value = if figure.value < 100.0 { format!("{:.2}", figure.value) } else { format!("{:.0}", figure.value) };
        let [name, case, figure_name] = [&figure.name, &figure.case, &figure.figure].map(Clone::clone);
        [name, case, figure_name, value, of_limit, figure.target.to_owned(), figure.peers.to_owned()]
    });
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(rows).collect();
    let widths: Vec<usize> =
        (0..7).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if NUMBERS.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = r#"{"name":"raw-log","writers":64,"per_second":100000,"p99_us":650}
{"name":"store","writers":64,"per_second":35000,"p99_us":4500}
"#;

    #[test]
    fn a_figure_stands_beside_its_target_and_the_limit_of_its_run() {
        let figures = figures(&BENCHES[0], PRINTED).unwrap();
        let rate = figures.iter().find(|figure| figure.name == "store" && figure.figure == "per_second").unwrap();
        assert_eq!((rate.of_limit, rate.target), (Some(35.0), ">= 30 % of limit"));
        let limit = figures.iter().find(|figure| figure.name == "raw-log").unwrap();
        assert_eq!((limit.of_limit, limit.target), (None, ""));
    }

    #[test]
    fn columns_line_up() {
        let text = table(&figures(&BENCHES[0], PRINTED).unwrap());
        let at = |line: &str| line.find("writers").unwrap();
        let rows: Vec<_> = text.lines().skip(1).collect();
        assert_eq!(rows.len(), 4);
        assert!(rows.iter().all(|row| at(row) == at(rows[0])));
    }

    #[test]
    fn anything_but_json_lines_is_an_error() {
        assert!(figures(&BENCHES[0], "done\n").is_err());
    }
}
