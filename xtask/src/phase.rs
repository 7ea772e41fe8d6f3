//! Runs named phases one after the other, goes on after a failure where it can, and sums up in a table.

use std::{process::ExitCode, time::Instant};

use anyhow::{Result, bail};

/// How a phase ended well.
pub(crate) enum Outcome {
    /// It ran, and all was right.
    Passed,
    /// It could not show anything; why.
    Skipped(String),
}

/// Something to run.
pub(crate) struct Phase {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    /// What it shows, for people.
    pub(crate) shows: &'static str,
    /// Phases without whose success it cannot run.
    pub(crate) needs: &'static [&'static str],
    /// The work.
    pub(crate) run: Box<dyn Fn() -> Result<Outcome>>,
}

/// A line of the table at the end.
struct Line {
    name: &'static str,
    result: String,
    ok: bool,
    seconds: f64,
}

/// Keeps the phases that were asked for; none asked for is all.
pub(crate) fn select(phases: Vec<Phase>, only: &[String]) -> Result<Vec<Phase>> {
    if let Some(unknown) = only.iter().find(|name| !phases.iter().any(|phase| phase.name == **name)) {
        let known: Vec<_> = phases.iter().map(|phase| phase.name).collect();
        bail!("there is no `{unknown}`; there are {}", known.join(", "));
    }
    Ok(phases.into_iter().filter(|phase| only.is_empty() || only.iter().any(|name| name == phase.name)).collect())
}

/// Prints what there is to run.
pub(crate) fn list(phases: &[Phase]) {
    for phase in phases {
        println!("{:12} {}", phase.name, phase.shows);
    }
}

/// Runs all of them.
pub(crate) fn run(phases: &[Phase]) -> ExitCode {
    let mut lines: Vec<Line> = Vec::new();
    for phase in phases {
        println!("==> {}: {}", phase.name, phase.shows);
        let started = Instant::now();
        let blocked = phase.needs.iter().find(|needed| lines.iter().any(|line| line.name == **needed && !line.ok));
        let (ok, result) = match blocked {
            Some(needed) => (false, format!("not run: needs {needed}")),
            None => conclude((phase.run)()),
        };
        let seconds = started.elapsed().as_secs_f64();
        println!("<== {}: {result} ({seconds:.1} s)\n", phase.name);
        lines.push(Line { name: phase.name, result, ok, seconds });
    }
    println!("{:12} {:>8}  result", "phase", "seconds");
    for line in &lines {
        println!("{:12} {:>8.1}  {}", line.name, line.seconds, line.result);
    }
    println!("{:12} {:>8.1}", "total", lines.iter().map(|line| line.seconds).sum::<f64>());
    if lines.iter().all(|line| line.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn conclude(outcome: Result<Outcome>) -> (bool, String) {
    match outcome {
        Ok(Outcome::Passed) => (true, "passed".to_owned()),
        Ok(Outcome::Skipped(why)) => {
            println!("SKIPPED {why}");
            (true, format!("SKIPPED {why}"))
        }
        Err(error) => (false, format!("FAILED {error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use super::*;

    fn phase(name: &'static str, needs: &'static [&'static str], fails: bool, ran: &Rc<Cell<u32>>) -> Phase {
        let ran = Rc::clone(ran);
        let run = move || {
            ran.set(ran.get() + 1);
            if fails { bail!("broken") } else { Ok(Outcome::Passed) }
        };
        Phase { name, shows: "", needs, run: Box::new(run) }
    }

    #[test]
    fn a_failure_stops_only_what_needs_it_and_colours_the_end() {
        let ran = Rc::new(Cell::new(0));
        let phases = [phase("a", &[], true, &ran), phase("b", &["a"], false, &ran), phase("c", &[], false, &ran)];
        assert_eq!(run(&phases), ExitCode::FAILURE);
        assert_eq!(ran.get(), 2);
        assert_eq!(run(&phases[2..]), ExitCode::SUCCESS);
    }

    #[test]
    fn what_was_not_asked_for_does_not_block() {
        let ran = Rc::new(Cell::new(0));
        let phases = vec![phase("a", &[], true, &ran), phase("b", &["a"], false, &ran)];
        let chosen = select(phases, &["b".to_owned()]).unwrap();
        assert_eq!(run(&chosen), ExitCode::SUCCESS);
        assert!(select(Vec::new(), &["x".to_owned()]).is_err());
    }
}
