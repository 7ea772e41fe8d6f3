//! Cron expressions as crontab(5) has them: five fields of lists, ranges and steps, with names of months and weekdays.

use jiff::civil::{Date, DateTime};

/// Longest expression, bytes.
const MAX_BYTES: usize = 256;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// One field: which of its numbers match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Set {
    bits: u64,
    /// Whether it begins with `*`.
    is_any: bool,
}

impl Set {
    const fn has(self, number: i8) -> bool {
        number >= 0 && number < 64 && self.bits & (1 << number) != 0
    }
}

/// What a field may hold.
struct Field {
    name: &'static str,
    first: u8,
    last: u8,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", first: 0, last: 59, names: &[] },
    Field { name: "hour", first: 0, last: 23, names: &[] },
    Field { name: "day of the month", first: 1, last: 31, names: &[] },
    Field { name: "month", first: 1, last: 12, names: &MONTHS },
    Field { name: "day of the week", first: 0, last: 7, names: &WEEKDAYS },
];

/// An expression that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
}

impl Cron {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("it is longer than {MAX_BYTES} bytes"));
        }
        let texts: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = texts[..] else {
            return Err(format!("it has {} fields, and a schedule has five", texts.len()));
        };
        let [minutes, hours, days, months, weekdays] = &FIELDS;
        let mut weekdays = weekdays.read(weekday)?;
        // Sunday is 0 and 7.
        weekdays.bits = (weekdays.bits | weekdays.bits >> 7 & 1) & 0x7f;
        let (minutes, hours) = (minutes.read(minute)?, hours.read(hour)?);
        Ok(Self { minutes, hours, days: days.read(day)?, months: months.read(month)?, weekdays })
    }

    /// Whether it names no hours, or says which by steps through the day.
    pub(super) const fn is_any_hour(&self) -> bool {
        self.hours.is_any
    }

    pub(super) fn matches(&self, time: DateTime) -> bool {
        self.minutes.has(time.minute()) && self.hours.has(time.hour()) && self.has_day(time.date())
    }

    /// As in every crontab: where both the day of the month and that of the week are said, either will do.
    pub(super) fn has_day(&self, date: Date) -> bool {
        let of_month = self.days.has(date.day());
        let of_week = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        let is_day = if self.days.is_any || self.weekdays.is_any { of_month && of_week } else { of_month || of_week };
        self.months.has(date.month()) && is_day
    }

    /// Hours and minutes of a day that matches, in order.
    pub(super) fn times(&self) -> impl Iterator<Item = (i8, i8)> {
        let hours = (0..24).filter(|hour| self.hours.has(*hour));
        hours.flat_map(|hour| (0..60).filter(|minute| self.minutes.has(*minute)).map(move |minute| (hour, minute)))
    }
}

impl Field {
    fn read(&self, text: &str) -> Result<Set, String> {
        let wrong = |part: &str| format!("'{part}' is no {} ({} to {})", self.name, self.first, self.last);
        let mut bits = 0;
        for part in text.split(',') {
            bits |= self.part(part).ok_or_else(|| wrong(part))?;
        }
        Ok(Set { bits, is_any: text.starts_with('*') })
    }

    /// `*`, `3`, `3-7`, each with `/2` behind it or not; `3/2` goes on to the end.
    fn part(&self, text: &str) -> Option<u64> {
        let (range, step) = text.split_once('/').map_or((text, None), |(range, step)| (range, Some(step)));
        let each = step.map_or(Some(1), number).filter(|each| *each > 0)?;
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.first, self.last),
            Some((first, last)) => (self.number(first)?, self.number(last)?),
            None => {
                let first = self.number(range)?;
                (first, if step.is_some() { self.last } else { first })
            }
        };
        (first <= last).then(|| (first..=last).step_by(usize::from(each)).fold(0, |bits, number| bits | 1 << number))
    }

    fn number(&self, text: &str) -> Option<u8> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let found = named.and_then(|index| u8::try_from(index).ok()).map(|index| index + self.first);
        found.or_else(|| number(text)).filter(|number| (self.first..=self.last).contains(number))
    }
}

/// A number as people write it: digits only.
fn number(text: &str) -> Option<u8> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
