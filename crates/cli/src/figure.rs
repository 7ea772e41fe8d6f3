//! Numbers as people read them: tokens, money, times. Pure.

use serde_json::Value;

/// Pico-dollars of a dollar's millionth.
const MICRO: u64 = 1_000_000;

/// A count with commas.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Tokens in and out; `None` where nothing was used.
pub(crate) fn tokens(usage: &Value) -> Option<String> {
    let of = |name: &str| usage[name].as_u64().unwrap_or(0);
    let (input, output) = (of("input_tokens"), of("output_tokens"));
    let cached = usage["input_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0);
    if input == 0 && output == 0 {
        return None;
    }
    let cached = if cached > 0 { format!(" ({} cached)", count(cached)) } else { String::new() };
    Some(format!("{} in{cached} · {} out", count(input), count(output)))
}

/// Pico-dollars in dollars, two to six decimals; `None` for nothing.
pub(crate) fn money(pico: i64) -> Option<String> {
    let sign = if pico < 0 { "-" } else { "" };
    let pico = pico.unsigned_abs();
    if pico == 0 {
        return None;
    }
    if pico < MICRO {
        return Some(format!("<{sign}$0.000001"));
    }
    let micro = pico / MICRO;
    let decimals = format!("{:06}", micro % MICRO);
    let kept = decimals.trim_end_matches('0').len().max(2);
    Some(format!("{sign}${}.{}", count(micro / MICRO), &decimals[..kept]))
}

/// How long ago, roughly.
pub(crate) fn ago(then_ms: u64, now_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(then_ms) / 1_000;
    match seconds {
        0..10 => "now".to_owned(),
        10..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        86_400..2_592_000 => format!("{} d ago", seconds / 86_400),
        _ => date(then_ms),
    }
}

/// How long something took.
pub(crate) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// `2026-11-23`, UTC.
pub(crate) fn date(ms: u64) -> String {
    let (year, month, day) = civil(ms / 86_400_000);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `2026-11-23 14:05:09Z`.
pub(crate) fn date_time(ms: u64) -> String {
    let seconds = ms / 1_000 % 86_400;
    format!("{} {:02}:{:02}:{:02}Z", date(ms), seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Year, month and day of a day since 1970, in the Gregorian calendar: 400 years have 146,097 days, and years that
/// begin in March have their leap day last.
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        let money = [0, 1, 1_000_000, 1_500_000_000_000, 123_456_000_000, -2_000_000_000_000].map(money);
        let texts = money.map(Option::unwrap_or_default);
        assert_eq!(texts, ["", "<$0.000001", "$0.000001", "$1.50", "$0.123456", "-$2.00"]);
        let usage =
            json!({ "input_tokens": 1_200, "input_tokens_details": { "cached_tokens": 1_000 }, "output_tokens": 3 });
        assert_eq!(tokens(&usage).unwrap(), "1,200 in (1,000 cached) · 3 out");
        assert_eq!(tokens(&json!({})), None);
        assert_eq!([7, 1_250, 61_000].map(duration), ["7 ms", "1.2 s", "1 min 1 s"]);
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let days = [(0, "1970-01-01"), (11_016, "2000-02-29"), (11_017, "2000-03-01"), (20_454, "2026-01-01")];
        for (day, expected) in days {
            assert_eq!(date(day * 86_400_000), expected);
        }
        assert_eq!(date_time(1_795_445_109_000), "2026-11-23 14:45:09Z");
        let ages = [3, 12, 60, 7_200, 200_000, 90 * 86_400].map(|seconds| ago(0, seconds * 1_000));
        assert_eq!(ages, ["now", "12 s ago", "1 min ago", "2 h ago", "2 d ago", "1970-01-01"]);
    }
}
