//! One line of the doctor's report, and the report for people and for scripts.

use std::io::{IsTerminal, Write};

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Grade {
    /// As it should be.
    Ok,
    /// It works; something is worth knowing.
    Warn,
    /// It does not work, or is not safe.
    Fail,
}

/// What was found about one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) subject: String,
    pub(super) grade: Grade,
    pub(super) found: String,
    /// What to do.
    pub(super) advice: Option<String>,
}

/// Everything that was found.
pub(super) struct Report(pub(super) Vec<Finding>);

impl Finding {
    pub(super) fn ok(subject: impl Into<String>, found: impl Into<String>) -> Self {
        Self { subject: subject.into(), grade: Grade::Ok, found: found.into(), advice: None }
    }

    pub(super) fn warn(subject: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { subject: subject.into(), grade: Grade::Warn, found: found.into(), advice }
    }

    pub(super) fn fail(subject: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { subject: subject.into(), grade: Grade::Fail, found: found.into(), advice }
    }
}

impl Grade {
    /// The word, and its colour on a terminal.
    const fn shown(self) -> (&'static str, &'static str) {
        match self {
            Self::Ok => ("ok", "\x1b[32m"),
            Self::Warn => ("warn", "\x1b[33m"),
            Self::Fail => ("fail", "\x1b[31m"),
        }
    }
}

impl Report {
    pub(super) fn has_failed(&self) -> bool {
        self.0.iter().any(|finding| finding.grade == Grade::Fail)
    }

    pub(super) fn print(&self, as_json: bool) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if as_json {
            let whole = json!({ "ok": !self.has_failed(), "checks": self.0 });
            writeln!(out, "{}", serde_json::to_string_pretty(&whole)?)?;
        } else {
            out.write_all(self.text(out.is_terminal()).as_bytes())?;
        }
        Ok(())
    }

    fn text(&self, colours: bool) -> String {
        let width = self.0.iter().map(|finding| finding.subject.chars().count()).max().unwrap_or_default();
        let mut text = String::new();
        for Finding { subject, grade, found, advice } in &self.0 {
            let (word, colour) = grade.shown();
            let (on, off) = if colours { (colour, "\x1b[0m") } else { ("", "") };
            text.push_str(&format!("{on}{word:4}{off}  {subject:width$}  {found}\n"));
            if let Some(advice) = advice {
                text.push_str(&format!("{:4}  {:width$}  -> {advice}\n", "", ""));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_aligned_and_fails_by_its_worst() {
        let mut report = Report(vec![Finding::ok("disk", "room"), Finding::warn("open files", "few", "raise them")]);
        assert!(!report.has_failed());
        report.0.push(Finding::fail("a", "b", "c"));
        assert!(report.has_failed());
        let expected = "ok    disk        room\nwarn  open files  few\n                  -> raise them\nfail  a           b\n                  -> c\n";
        assert_eq!(report.text(false), expected);
        assert!(report.text(true).starts_with("\x1b[32mok  \x1b[0m  disk"));
    }
}
