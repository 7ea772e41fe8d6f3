//! Instants as this wire writes and reads them: RFC 3339. Calendar arithmetic after the proleptic Gregorian calendar.

use mainstay_vocabulary::Timestamp;

const DAY_MS: u64 = 86_400_000;

/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: u64 = 719_468;

/// Days in 400 years.
const ERA: u64 = 146_097;

/// `2026-11-23T15:04:05.120Z`.
pub fn write(at: Timestamp) -> String {
    let (year, month, day) = date(at.0 / DAY_MS);
    let ms = at.0 % DAY_MS;
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

/// The date of a day since 1970-01-01. Years are counted from March, so that the odd day comes last.
const fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + EPOCH;
    let (era, day_of_era) = (shifted / ERA, shifted % ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + (month <= 2) as u64, month, day)
}

/// An instant of 1970 or later with `Z` or an offset; digits beyond milliseconds are dropped.
pub fn read(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let mut parts = date.split('-');
    let mut next = |length| number(parts.next()?, length);
    let (year, month, day) = (next(4)?, next(2)?, next(2)?);
    let clock = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, offset) = split_offset(clock)?;
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = whole.split(':');
    let mut next = || number(parts.next()?, 2);
    let (hour, minute, second) = (next()?, next()?, next()?);
    let is_clock = parts.next().is_none() && hour < 24 && minute < 60 && second < 60;
    if !is_clock || !(1970..=9_999).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    let days = days_of((year, month, day));
    if day == 0 || self::date(days) != (year, month, day) {
        return None;
    }
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    let at = i64::try_from(seconds).ok()?.checked_sub(offset)?;
    Some(Timestamp(u64::try_from(at).ok()? * 1_000 + milliseconds(fraction)?))
}

fn days_of((year, month, day): (u64, u64, u64)) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * from_march + 2) / 5 + day.max(1) - 1;
    let day_of_era = year % 400 * 365 + year % 400 / 4 - year % 400 / 100 + day_of_year;
    (year / 400 * ERA + day_of_era).saturating_sub(EPOCH)
}

/// The clock and the seconds that its offset is ahead.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let at = text.rfind(['+', '-'])?;
    let (clock, offset) = text.split_at(at);
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let ahead = i64::try_from(number(hours, 2)? * 3_600 + number(minutes, 2)? * 60).ok()?;
    Some((clock, if offset.starts_with('-') { -ahead } else { ahead }))
}

fn number(text: &str, length: usize) -> Option<u64> {
    let is_number = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn milliseconds(fraction: &str) -> Option<u64> {
    let is_number = (1..=9).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("{fraction:0<3}").get(..3)?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_are_written_and_read() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_795_446_245_120, "2026-11-23T15:04:05.120Z"),
        ] {
            assert_eq!(write(Timestamp(ms)), text);
            assert_eq!(read(text), Some(Timestamp(ms)));
        }
    }

    #[test]
    fn every_day_of_four_centuries_reads_back() {
        for day in 0..ERA {
            let at = Timestamp(day * DAY_MS + 1);
            assert_eq!(read(&write(at)), Some(at));
        }
    }

    #[test]
    fn offsets_and_fractions_are_read_and_nonsense_is_not() {
        let at = Some(Timestamp(1_795_446_245_120));
        for text in ["2026-11-23T16:04:05.12+01:00", "2026-11-23 15:04:05.120999Z", "2026-11-23t09:34:05.12-05:30"] {
            assert_eq!(read(text), at, "{text}");
        }
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T15:04:05",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:00é",
            "é026-01-01T00:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
