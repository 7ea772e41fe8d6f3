//! Where output goes: whether it is a terminal, how wide, with which colours.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::{
    clean,
    error::{Error, Result},
    reach::{Color, Reach, Surroundings},
};

/// Columns that are made use of; a terminal may claim any number.
const WIDTHS: std::ops::RangeInclusive<usize> = 20..=400;

/// How a text is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Beside the matter.
    Dim,
    /// A heading.
    Bold,
    /// Something to look at first.
    Accent,
    /// It went well.
    Good,
    /// It goes on.
    Busy,
    /// It went wrong.
    Bad,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Dim => "2",
            Self::Bold => "1",
            Self::Accent => "1;36",
            Self::Good => "32",
            Self::Busy => "33",
            Self::Bad => "31",
        }
    }
}

/// One of the two ways out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    /// Whether somebody watches.
    pub(crate) is_terminal: bool,
    has_colors: bool,
    width: Option<usize>,
    is_error: bool,
}

impl Screen {
    /// Standard output.
    pub(crate) fn out(reach: &Reach, around: &Surroundings) -> Self {
        let out = io::stdout();
        let is_terminal = out.is_terminal();
        let width = rustix::termios::tcgetwinsize(&out).ok().map(|size| usize::from(size.ws_col));
        Self::new((reach, around), is_terminal, width, false)
    }

    /// Standard error: what is said beside the matter.
    pub(crate) fn error(reach: &Reach, around: &Surroundings) -> Self {
        let out = io::stderr();
        let is_terminal = out.is_terminal();
        let width = rustix::termios::tcgetwinsize(&out).ok().map(|size| usize::from(size.ws_col));
        Self::new((reach, around), is_terminal, width, true)
    }

    fn new((reach, around): (&Reach, &Surroundings), is_terminal: bool, width: Option<usize>, is_error: bool) -> Self {
        let has_colors = match reach.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && !around.is_plain,
        };
        let width = width.filter(|width| is_terminal && *width > 0);
        Self {
            is_terminal,
            has_colors,
            width: width.map(|width| width.clamp(*WIDTHS.start(), *WIDTHS.end())),
            is_error,
        }
    }

    /// A screen of a width, for tests.
    #[cfg(test)]
    pub(crate) const fn sample(width: Option<usize>) -> Self {
        Self { is_terminal: width.is_some(), has_colors: false, width, is_error: false }
    }

    /// Columns, where it is a terminal that knows.
    pub(crate) const fn width(&self) -> Option<usize> {
        self.width
    }

    /// The text in a style, where colours are wanted.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        if self.has_colors && !text.is_empty() {
            format!("\x1b[{}m{text}\x1b[0m", style.code())
        } else {
            text.to_owned()
        }
    }

    /// Writes as it stands, at once.
    pub(crate) fn write(&self, text: &str) -> Result<()> {
        let written = if self.is_error {
            let mut out = io::stderr().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        } else {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        };
        written.map_err(|error| Error::of_output(&error))
    }

    /// Writes a line.
    pub(crate) fn line(&self, text: &str) -> Result<()> {
        self.write(&format!("{text}\n"))
    }

    /// A whole document.
    pub(crate) fn document(&self, value: &Value) -> Result<()> {
        // A value always has a JSON form.
        self.line(&clean::json(&serde_json::to_string_pretty(value).unwrap_or_default()))
    }

    /// One line of a stream.
    pub(crate) fn json_line(&self, value: &Value) -> Result<()> {
        self.line(&clean::json(&value.to_string()))
    }
}
