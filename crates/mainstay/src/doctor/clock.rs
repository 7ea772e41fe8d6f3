//! The clock: whether it can be right, goes forward, and agrees with what a provider says of the time.

use std::{fs, path::Path, time::UNIX_EPOCH};

use mainstay_runtime::clock::{Clock, System};

use super::finding::Finding;

/// Nobody ran this program before: 1 January 2026, milliseconds since 1970.
const EARLIEST_MS: u64 = 1_767_225_600_000;

/// Nor will after: 1 January 2100.
const LATEST_MS: u64 = 4_102_444_800_000;

/// How often it is read in a row.
const READINGS: usize = 1_000;

/// A provider's clock is told in whole seconds and some time passes on the way; beyond this they differ, seconds.
const SKEW_WARN: u64 = 5;

/// Beyond this, certificates and expiries go wrong, seconds.
const SKEW_FAIL: u64 = 300;

/// What a provider said of the time, and when.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) provider: String,
    /// Its `Date` header.
    pub(super) date: String,
    /// Our clock then, milliseconds.
    pub(super) at_ms: u64,
}

pub(super) fn examine(data_dir: &Path, heard: &[Heard]) -> Finding {
    let readings: Vec<_> = (0..READINGS).map(|_| System.now().0).collect();
    of_readings(&readings, written(data_dir)).unwrap_or_else(|| of_skew(heard))
}

/// When the store was last written, milliseconds since 1970.
fn written(data_dir: &Path) -> Option<u64> {
    let times = ["mainstay.db", "mainstay.db-wal", "mainstay.lock"].map(|name| {
        let time = fs::metadata(data_dir.join(name)).ok()?.modified().ok()?;
        u64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
    });
    times.into_iter().flatten().max()
}

/// What is wrong with the clock by itself.
fn of_readings(readings: &[u64], written: Option<u64>) -> Option<Finding> {
    let now = readings.last().copied()?;
    let advice = "set the clock, and let NTP keep it";
    if !(EARLIEST_MS..LATEST_MS).contains(&now) {
        return Some(Finding::fail("clock", format!("it says {} s since 1970", now / 1_000), advice));
    }
    if readings.windows(2).any(|two| two[1] < two[0]) {
        return Some(Finding::fail("clock", "it went backwards while it was read", advice));
    }
    let ahead = written?.saturating_sub(now) / 1_000;
    (ahead >= SKEW_WARN).then(|| {
        let found = format!("the store was written {ahead} s in the future");
        Finding::warn("clock", found, "was the clock set back? events keep their order, timers wait longer")
    })
}

/// What others say.
fn of_skew(heard: &[Heard]) -> Finding {
    let skew = |heard: &Heard| Some((seconds_of(&heard.date)?.abs_diff(heard.at_ms / 1_000), heard.provider.clone()));
    // The smallest counts: one provider may be wrong, hardly all.
    match heard.iter().filter_map(skew).min() {
        None => Finding::ok("clock", "it goes forward; not compared with any other (--online does)"),
        Some((skew, provider)) => {
            let found = format!("it differs by {skew} s from that of {provider}");
            match skew {
                0..SKEW_WARN => Finding::ok("clock", found),
                SKEW_WARN..SKEW_FAIL => Finding::warn("clock", found, "let NTP keep it"),
                _ => Finding::fail("clock", found, "set the clock, and let NTP keep it"),
            }
        }
    }
}

/// Seconds since 1970 of an HTTP date such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn seconds_of(date: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = date.split_once(", ")?;
    let [day, month, year, time, "GMT"] = rest.split(' ').collect::<Vec<_>>()[..] else { return None };
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let [hour, minute, second] = time.split(':').collect::<Vec<_>>()[..] else { return None };
    let (hour, minute, second): (u64, u64, u64) = (hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?);
    let is_date = (1970..10_000).contains(&year) && (1..=31).contains(&day);
    let is_time = hour < 24 && minute < 60 && second <= 60;
    (is_date && is_time).then(|| days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days since 1 January 1970: years begin in March, so that the leap day is their last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before = year * 365 + year / 4 - year / 100 + year / 400;
    before + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Grade, *};

    #[test]
    fn dates_are_read() {
        for (date, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199)),
            ("Mon, 23 Nov 2026 12:00:00 GMT", Some(1_795_435_200)),
            ("Mon, 23 Nov 2026 12:00:00 CET", None),
            ("Mon, 23 Nov 1026 12:00:00 GMT", None),
            ("Mon, 23 Nov 2026 25:00:00 GMT", None),
            ("yesterday", None),
        ] {
            assert_eq!(seconds_of(date), seconds, "{date}");
        }
    }

    #[test]
    fn every_month_has_its_days() {
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        for (month, length) in (1..).zip(lengths) {
            let next = if month == 12 { days(2027, 1, 1) } else { days(2026, month + 1, 1) };
            assert_eq!(next - days(2026, month, 1), length, "month {month}");
        }
        assert_eq!(days(2028, 3, 1) - days(2028, 2, 1), 29);
    }

    #[test]
    fn a_clock_that_cannot_be_right_is_found() {
        const NOW: u64 = 1_795_435_200_000;
        let grade = |readings: &[u64], written| of_readings(readings, written).map(|finding| finding.grade);
        assert_eq!(grade(&[NOW, NOW, NOW + 1], Some(NOW - 9_000)), None);
        assert_eq!(grade(&[0, 1], None), Some(Grade::Fail));
        assert_eq!(grade(&[NOW, NOW - 1], None), Some(Grade::Fail));
        assert_eq!(grade(&[NOW], Some(NOW + 60_000)), Some(Grade::Warn));
    }

    #[test]
    fn skew_is_graded_by_the_nearest() {
        let heard = |date: &str, at_s: u64| Heard { provider: "p".into(), date: date.into(), at_ms: at_s * 1_000 };
        let date = "Mon, 23 Nov 2026 12:00:00 GMT";
        let grade = |heard: &[Heard]| of_skew(heard).grade;
        assert_eq!(grade(&[heard(date, 1_795_435_202)]), Grade::Ok);
        assert_eq!(grade(&[heard(date, 1_795_435_230)]), Grade::Warn);
        assert_eq!(grade(&[heard(date, 1_795_439_200)]), Grade::Fail);
        assert_eq!(grade(&[heard(date, 1_795_439_200), heard(date, 1_795_435_200)]), Grade::Ok);
        assert_eq!(grade(&[heard("noon", 0)]), Grade::Ok);
    }
}
