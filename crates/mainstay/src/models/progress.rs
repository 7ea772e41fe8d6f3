//! What a pull tells its operator while it runs: one live line on a terminal, plain lines elsewhere, or JSON events for
//! scripts. The result itself goes to standard output, everything else but the events to standard error.

use std::io::{IsTerminal, Write};

use mainstay_runtime::clock::{Clock, System};
use serde_json::{Value, json};

use super::{library::Installed, name::Name};

/// Between two drawings of the live line, milliseconds: often enough to look alive.
const REDRAW_MS: u64 = 100;
/// Between two events for scripts, milliseconds.
const EVENT_MS: u64 = 500;
/// Between two plain lines, milliseconds: a log is not filled by a slow line.
const LINE_MS: u64 = 5_000;
/// Cells of the bar.
const CELLS: u64 = 20;
/// Before so many milliseconds a rate says nothing.
const RATE_AFTER_MS: u64 = 300;

/// How it is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Live,
    Lines,
    Json,
}

/// One pull or import.
pub(crate) struct Progress {
    style: Style,
    name: String,
    doing: &'static str,
    total: Option<u64>,
    /// When and at how many bytes this stage began.
    began_ms: u64,
    began_bytes: u64,
    told_ms: u64,
    is_drawn: bool,
}

impl Progress {
    pub(crate) fn new(name: &Name, as_json: bool) -> Self {
        Self::of(name.to_string(), as_json)
    }

    /// Of something else than a model.
    pub(crate) fn of(name: String, as_json: bool) -> Self {
        let style = match (as_json, std::io::stderr().is_terminal()) {
            (true, _) => Style::Json,
            (false, true) => Style::Live,
            (false, false) => Style::Lines,
        };
        let (doing, total) = ("", None);
        Self { style, name, doing, total, began_ms: 0, began_bytes: 0, told_ms: 0, is_drawn: false }
    }

    /// A source is asked.
    pub(crate) fn trying(&mut self, source: &str) {
        self.tell(&format!("{} from {source}", self.name), json!({ "event": "source", "source": source }));
    }

    /// A source did not bring it.
    pub(crate) fn failed(&mut self, source: &str, reason: &str) {
        self.tell(
            &format!("  not from there: {reason}"),
            json!({ "event": "failed", "source": source, "reason": reason }),
        );
    }

    /// What an earlier pull left is used.
    pub(crate) fn resumed(&mut self, bytes: u64) {
        self.tell(&format!("  going on at {}", size(bytes)), json!({ "event": "resumed", "bytes": bytes }));
    }

    /// The connection broke; it is asked again.
    pub(crate) fn again(&mut self, reason: &str) {
        self.tell(&format!("  {reason}; asking again"), json!({ "event": "again", "reason": reason }));
    }

    /// Another process pulls the same model.
    pub(crate) fn waiting(&mut self) {
        self.tell(
            &format!("{} is being installed by another process; waiting", self.name),
            json!({ "event": "waiting" }),
        );
    }

    /// It is here.
    pub(crate) fn installed(&mut self, model: &Installed, was_here: bool) {
        self.clear();
        let event = if was_here { "present" } else { "installed" };
        if self.style == Style::Json {
            return print(&json!({ "event": event, "model": model, "path": model.path }));
        }
        let how = if was_here { "is here and whole" } else { "is installed" };
        let what = format!("{}, {}", size(model.bytes), model.licence);
        say(&format!("{} {how} ({what}): {}", model.name, model.path.display()));
    }

    /// Bytes begin to come, or to be read, from `bytes` on.
    pub(crate) fn begin(&mut self, doing: &'static str, bytes: u64, total: Option<u64>) {
        (self.doing, self.total) = (doing, total);
        (self.began_ms, self.began_bytes, self.told_ms) = (System.now().0, bytes, 0);
        if self.style == Style::Lines {
            self.told_ms = self.began_ms;
        }
    }

    /// So many bytes of the whole are here.
    pub(crate) fn advance(&mut self, bytes: u64) {
        let now = System.now().0;
        let pause = match self.style {
            Style::Live => REDRAW_MS,
            Style::Lines => LINE_MS,
            Style::Json => EVENT_MS,
        };
        if now.saturating_sub(self.told_ms) < pause {
            return;
        }
        self.told_ms = now;
        let rate = self.rate(bytes, now);
        match self.style {
            Style::Json => print(&json!({
                "event": "progress", "doing": self.doing, "bytes": bytes, "total": self.total, "bytes_per_second": rate,
            })),
            Style::Lines => eprintln!("  {}", self.line(bytes, rate)),
            Style::Live => {
                let bar = self.total.map_or_else(String::new, |total| format!("[{}]  ", bar(bytes, total)));
                eprint!("\r  {bar}{}\x1b[K", self.line(bytes, rate));
                let _ = std::io::stderr().flush();
                self.is_drawn = true;
            }
        }
    }

    fn rate(&self, bytes: u64, now: u64) -> Option<u64> {
        let elapsed = now.saturating_sub(self.began_ms);
        let since = bytes.saturating_sub(self.began_bytes);
        (elapsed >= RATE_AFTER_MS).then(|| since.saturating_mul(1_000) / elapsed)
    }

    fn line(&self, bytes: u64, rate: Option<u64>) -> String {
        let of = self.total.map_or_else(String::new, |total| format!(" of {}", size(total)));
        let mut line = format!("{} {}{of}", self.doing, size(bytes));
        if let Some(rate) = rate.filter(|rate| *rate > 0) {
            line.push_str(&format!("  {}/s", size(rate)));
            if let Some(total) = self.total {
                line.push_str(&format!("  {} left", duration(total.saturating_sub(bytes).div_ceil(rate))));
            }
        }
        line
    }

    fn tell(&mut self, line: &str, event: Value) {
        self.clear();
        match self.style {
            Style::Json => print(&event),
            Style::Live | Style::Lines => eprintln!("{line}"),
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            eprint!("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn print(event: &Value) {
    say(&event.to_string());
}

/// Something for standard output; a reader that has gone is no reason to fail.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn bar(bytes: u64, total: u64) -> String {
    let full = (bytes.saturating_mul(CELLS) / total.max(1)).min(CELLS);
    (0..CELLS).map(|cell| if cell < full { '#' } else { '-' }).collect()
}

/// Bytes as people read them, in powers of ten as shops and hubs count.
pub(crate) fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1_000 => return format!("{bytes} bytes"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        1_000_000_000..1_000_000_000_000 => (1_000_000_000, "GB"),
        _ => (1_000_000_000_000, "TB"),
    };
    format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit)
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::{bar, duration, size};

    #[test]
    fn figures_read_well() {
        assert_eq!(size(999), "999 bytes");
        assert_eq!(size(98_362_432), "98.3 MB");
        assert_eq!(size(5_000_000_000), "5.0 GB");
        assert_eq!(duration(59), "59 s");
        assert_eq!(duration(61), "1 min 1 s");
        assert_eq!(duration(7_260), "2 h 1 min");
        assert_eq!(bar(0, 0), "-".repeat(20));
        assert_eq!(bar(5, 10), format!("{}{}", "#".repeat(10), "-".repeat(10)));
        assert_eq!(bar(20, 10), "#".repeat(20));
    }
}
