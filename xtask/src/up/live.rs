//! What `up` shows of a long piece of work: one live line on a terminal, now and then a plain line elsewhere.

use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// Between two drawings of the live line.
const REDRAW: Duration = Duration::from_millis(250);
/// Between two plain lines.
const LINE: Duration = Duration::from_secs(30);
/// Cells of the bar.
const CELLS: usize = 20;

/// One piece of work.
pub(crate) struct Live {
    is_terminal: bool,
    began: Instant,
    shown: Option<Instant>,
}

impl Live {
    pub(crate) fn begin() -> Self {
        Self { is_terminal: std::io::stdout().is_terminal(), began: Instant::now(), shown: None }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Shows how far it is, `done` of 1, if it is time to.
    pub(crate) fn show(&mut self, done: f64, what: &str) {
        let pause = if self.is_terminal { REDRAW } else { LINE };
        // The first plain line has time: what is quick needs none.
        let since = self.shown.or((!self.is_terminal).then_some(self.began));
        if since.is_some_and(|since| since.elapsed() < pause) {
            return;
        }
        self.shown = Some(Instant::now());
        let left = left(self.elapsed(), done);
        if self.is_terminal {
            print!("\r  [{}] {}  {left}  {what}\x1b[K", bar(done), clock(self.elapsed()));
            let _ = std::io::stdout().flush();
        } else {
            println!("  {:.0} %, {left}; {what}", done * 100.0);
        }
    }

    /// Counts from now: nothing is done yet.
    pub(crate) fn restart(&mut self) {
        self.began = Instant::now();
    }

    /// Prints a line of somebody else's above the live one.
    pub(crate) fn interrupt(&self, line: &str) {
        let clear = if self.is_terminal { "\r\x1b[K" } else { "" };
        println!("{clear}{line}");
    }

    /// Ends the live line with what came of it.
    pub(crate) fn end(self, result: &str) {
        let clear = if self.is_terminal { "\r\x1b[K" } else { "" };
        println!("{clear}  {result} ({})", clock(self.elapsed()));
    }
}

fn bar(done: f64) -> String {
    let full = (done.clamp(0.0, 1.0) * CELLS as f64) as usize;
    (0..CELLS).map(|cell| if cell < full { '#' } else { '-' }).collect()
}

fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

/// What remains if the rest goes as what is done; nothing is claimed before a hundredth is done.
fn left(elapsed: Duration, done: f64) -> String {
    if done < 0.01 {
        return "a while left".to_owned();
    }
    let seconds = elapsed.as_secs_f64() * (1.0 - done) / done;
    match seconds.max(0.0) as u64 {
        0..10 => "nearly there".to_owned(),
        seconds @ 10..90 => format!("about {} s left", seconds.next_multiple_of(10)),
        seconds => format!("about {} min left", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_from_what_is_done() {
        let minute = Duration::from_secs(60);
        assert_eq!(left(minute, 0.001), "a while left");
        assert_eq!(left(minute, 0.25), "about 3 min left");
        assert_eq!(left(minute, 0.75), "about 20 s left");
        assert_eq!(left(minute, 0.999), "nearly there");
        assert_eq!((bar(0.5), clock(minute)), (format!("{}{}", "#".repeat(10), "-".repeat(10)), "1:00".to_owned()));
        assert_eq!(bar(7.0), "#".repeat(CELLS));
    }
}
