//! When an automation fires: once, or by a cron expression in a time zone. Pure: the zones' rules are compiled in, and
//! "now" is told.

mod cron;
#[cfg(test)]
mod tests;

use jiff::{Timestamp as Instant, ToSpan as _, tz::TimeZone};
use mainstay_vocabulary::Timestamp;
use serde::{Deserialize, Serialize};

use cron::Cron;

/// Days that are looked through for the next occurrence: 29 February on a certain weekday comes within 40 years.
const MAX_DAYS: usize = 41 * 366;
/// Minutes of an hour that is said to be any: a clock that is set back repeats at most two hours.
const MAX_REPEATED: i64 = 180;
const MINUTE_MS: i64 = 60_000;

/// When an automation fires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// At one time.
    Once {
        /// Then.
        run_at: Timestamp,
    },
    /// Again and again.
    Periodic {
        /// Five fields: minute, hour, day of the month, month, day of the week.
        expression: String,
        /// A name of the IANA time zone database.
        timezone: String,
    },
}

impl Schedule {
    /// The first occurrence after a time; `None` where none comes any more.
    ///
    /// # Errors
    /// The expression or the time zone cannot be read; says which and why.
    pub fn next_after(&self, at: Timestamp) -> Result<Option<Timestamp>, String> {
        match self {
            Self::Once { run_at } => Ok(Some(*run_at).filter(|run_at| *run_at > at)),
            Self::Periodic { expression, timezone } => {
                let cron = Cron::read(expression).map_err(|why| format!("'expression' is not a schedule: {why}"))?;
                let unknown = || format!("'timezone' is no name of the IANA time zone database: {}", short(timezone));
                let zone = Some(timezone).filter(|name| !name.is_empty()).and_then(|name| TimeZone::get(name).ok());
                Ok(next(&cron, &zone.ok_or_else(unknown)?, at))
            }
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

fn next(cron: &Cron, zone: &TimeZone, at: Timestamp) -> Option<Timestamp> {
    let now = Instant::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
    let repeated = if cron.is_any_hour() { soon(cron, zone, now) } else { None };
    let found = repeated.or_else(|| later(cron, zone, now))?;
    u64::try_from(found.as_millisecond()).ok().map(Timestamp)
}

/// The next minute that matches, by the clock on the wall as it goes: an hour that comes twice counts twice, one that
/// is left out does not count.
fn soon(cron: &Cron, zone: &TimeZone, now: Instant) -> Option<Instant> {
    let first = now.as_millisecond().div_euclid(MINUTE_MS) + 1;
    let minutes = (first..first + MAX_REPEATED).filter_map(|minute| Instant::from_millisecond(minute * MINUTE_MS).ok());
    minutes.into_iter().find(|instant| cron.matches(zone.to_datetime(*instant)))
}

/// The next time of day that matches. One that a clock set forward leaves out comes as much later as the clock was set,
/// one that comes twice counts the first time.
fn later(cron: &Cron, zone: &TimeZone, now: Instant) -> Option<Instant> {
    let mut date = zone.to_datetime(now).date();
    for _ in 0..MAX_DAYS {
        if cron.has_day(date) {
            let times = cron.times().filter_map(|(hour, minute)| {
                zone.to_ambiguous_timestamp(date.at(hour, minute, 0, 0)).compatible().ok()
            });
            if let Some(found) = times.filter(|instant| *instant > now).min() {
                return Some(found);
            }
        }
        date = date.checked_add(1.day()).ok()?;
    }
    None
}
