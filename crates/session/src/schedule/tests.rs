//! Schedules against tables, with the days on which clocks are set.

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp(u64::try_from(text.parse::<Instant>().unwrap().as_millisecond()).unwrap())
}

fn periodic(expression: &str, timezone: &str) -> Schedule {
    Schedule::Periodic { expression: expression.to_owned(), timezone: timezone.to_owned() }
}

/// The occurrences after `from`.
fn occurrences<const COUNT: usize>(expression: &str, timezone: &str, from: &str) -> [String; COUNT] {
    let schedule = periodic(expression, timezone);
    let mut now = at(from);
    std::array::from_fn(|_| {
        now = schedule.next_after(now).unwrap().expect("it occurs");
        Instant::from_millisecond(i64::try_from(now.0).unwrap()).unwrap().to_string()
    })
}

#[test]
fn fields_are_read_as_a_crontab_has_them() {
    let rows = [
        ("* * * * *", "2026-11-23T10:00:00Z", "2026-11-23T10:01:00Z"),
        ("* * * * *", "2026-11-23T10:00:59.999Z", "2026-11-23T10:01:00Z"),
        ("*/15 * * * *", "2026-11-23T10:46:00Z", "2026-11-23T11:00:00Z"),
        ("10-20/5 * * * *", "2026-11-23T10:15:00Z", "2026-11-23T10:20:00Z"),
        ("50/5 * * * *", "2026-11-23T10:00:00Z", "2026-11-23T10:50:00Z"),
        ("0 9 * * mon-FRI", "2026-11-27T09:00:00Z", "2026-11-30T09:00:00Z"),
        ("0 9 * * 7", "2026-11-23T00:00:00Z", "2026-11-29T09:00:00Z"),
        ("0 9 * * 0", "2026-11-23T00:00:00Z", "2026-11-29T09:00:00Z"),
        ("0 0 1 jan,Jul *", "2026-11-23T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("0 0 31 * *", "2026-11-23T00:00:00Z", "2026-12-31T00:00:00Z"),
        ("0 0 29 2 *", "2026-11-23T00:00:00Z", "2028-02-29T00:00:00Z"),
        // Either day will do where both are said, both must where one is any.
        ("0 0 13 * 5", "2026-11-23T00:00:00Z", "2026-11-27T00:00:00Z"),
        ("0 0 */2 * 5", "2026-11-23T00:00:00Z", "2026-11-27T00:00:00Z"),
        ("0 0 29 2 */4", "2026-11-23T00:00:00Z", "2032-02-29T00:00:00Z"),
    ];
    for (expression, from, next) in rows {
        assert_eq!(occurrences::<1>(expression, "UTC", from), [next], "{expression}");
    }
}

#[test]
fn what_is_no_schedule_is_refused_by_name() {
    let rows = [
        ("", "UTC", "fields"),
        ("* * * *", "UTC", "fields"),
        ("* * * * * *", "UTC", "fields"),
        ("60 * * * *", "UTC", "minute"),
        ("* 24 * * *", "UTC", "hour"),
        ("* * 0 * *", "UTC", "day of the month"),
        ("* * * 13 *", "UTC", "month"),
        ("* * * * 8", "UTC", "day of the week"),
        ("5-1 * * * *", "UTC", "minute"),
        ("*/0 * * * *", "UTC", "minute"),
        ("1,,2 * * * *", "UTC", "minute"),
        ("+1 * * * *", "UTC", "minute"),
        ("-1 * * * *", "UTC", "minute"),
        ("1-2-3 * * * *", "UTC", "minute"),
        ("* * * * L", "UTC", "day of the week"),
        ("* * * * *", "", "timezone"),
        ("* * * * *", "Middle/Earth", "timezone"),
    ];
    for (expression, timezone, says) in rows {
        let why = periodic(expression, timezone).next_after(Timestamp(0)).unwrap_err();
        assert!(why.contains(says), "{expression}: {why}");
    }
    assert!(periodic(&"*".repeat(300), "UTC").next_after(Timestamp(0)).is_err());
    // It can be read, and never comes.
    assert_eq!(periodic("0 0 30 2 *", "UTC").next_after(Timestamp(0)), Ok(None));
}

#[test]
fn a_time_of_day_stays_while_the_clock_is_set() {
    // Berlin: forward on 29 March 2026 at 01:00 UTC, back on 25 October at 01:00 UTC.
    let nine = occurrences("0 9 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z");
    assert_eq!(nine, ["2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z", "2026-03-30T07:00:00Z"]);
    let nine = occurrences("0 9 * * *", "Europe/Berlin", "2026-10-24T00:00:00Z");
    assert_eq!(nine, ["2026-10-24T07:00:00Z", "2026-10-25T08:00:00Z", "2026-10-26T08:00:00Z"]);
}

#[test]
fn a_time_that_is_left_out_comes_later_and_one_that_comes_twice_counts_once() {
    let left_out = occurrences("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z");
    assert_eq!(left_out, ["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]);
    let twice = occurrences("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z");
    assert_eq!(twice, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    // New York, and a zone whose clock is set by half an hour.
    let new_york = occurrences("30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z");
    assert_eq!(new_york, ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]);
    let lord_howe = occurrences("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z");
    assert_eq!(lord_howe, ["2026-10-03T15:45:00Z", "2026-10-04T15:15:00Z"]);
}

#[test]
fn an_interval_goes_on_through_the_hour_that_comes_twice() {
    let back = occurrences("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:15:00Z");
    assert_eq!(back, ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"]);
    let forward = occurrences("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z");
    assert_eq!(forward, ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]);
}

#[test]
fn one_time_comes_once() {
    let once = Schedule::Once { run_at: Timestamp(5_000) };
    assert_eq!(once.next_after(Timestamp(4_999)), Ok(Some(Timestamp(5_000))));
    assert_eq!(once.next_after(Timestamp(5_000)), Ok(None));
}
