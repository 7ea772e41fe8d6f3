//! Every state that a crash can leave of a recorded life opens with all that was answered, and with nothing by halves.
//! `MAINSTAY_CRASH_STATES` says how many states the four parts open together.

use mainstay_interposer::{Op, Recording, Trace};

use crate::{
    check::{Checker, Tally, cpu_ticks},
    choice::{Progress, crashes, walk},
    disk::{Disk, Remains},
    history::{History, long, short},
    life::{self, Scratch, alone, record},
};

/// Of the life that is recorded, and of the choice of crashes.
const SEED: u64 = 1;
/// Steps of that life: enough for the log to be begun anew several times.
const STEPS: usize = 110;
/// States, told apart by content, that the four parts open together where nobody says otherwise.
const STATES: usize = 20_000;
/// Tests that share the work, so that they run at once.
const PARTS: usize = 4;

#[allow(clippy::disallowed_methods, reason = "a soak says how much it wants")]
pub(crate) fn wanted(usual: usize) -> usize {
    std::env::var("MAINSTAY_CRASH_STATES").map_or(usual, |amount| amount.parse().unwrap())
}

/// How often a file was written from its beginning: for a log, how often it was begun anew.
fn beginnings(trace: &Trace, name: &str) -> usize {
    let (mut files, mut count) = (Vec::new(), 0);
    for op in &trace.ops {
        match op {
            Op::Create { path, file, .. } if path.ends_with(name) => files.push(*file),
            Op::Write { file, offset: 0, bytes } if files.contains(file) => {
                count += usize::from(bytes.iter().any(|byte| *byte != 0));
            }
            _ => {}
        }
    }
    count
}

fn part(number: usize) {
    let ticks = cpu_ticks();
    let history = History::new(long(SEED, STEPS));
    let trace = record(&history);
    assert!(beginnings(&trace, "mainstay.db-wal") >= 3, "the log was never begun anew");
    let mut checker = Checker::new(&history, Tally::default());
    // About half of what is asked for was there before: neighbours share what they may leave.
    let some = (wanted(STATES) * 2).div_ceil(trace.ops.len());
    let begin = (Disk::empty(), Progress::default());
    walk(begin, &trace.ops, |at, disk, progress| {
        // Neighbours go to one part, so that states which they share are opened once.
        if at / 64 % PARTS == number {
            for (how, remains) in crashes(disk, some, SEED ^ (at as u64) << 20) {
                checker.expect(&remains, progress.calls(), &|| format!("after change {at}, {how}"));
            }
        }
    });
    let what = format!("part {number} of {PARTS}, {} calls, {} changes", history.length(), trace.ops.len());
    checker.tally.report(&what, ticks);
    // A soak asks for more than there is at moments when little is under way.
    let least = STATES.min(wanted(STATES)) / PARTS;
    assert!(checker.tally.distinct.len() >= least, "only {} states", checker.tally.distinct.len());
}

#[test]
fn part_1_opens_with_all_that_was_answered() {
    let _alone = alone();
    part(0);
}

#[test]
fn part_2_opens_with_all_that_was_answered() {
    let _alone = alone();
    part(1);
}

#[test]
fn part_3_opens_with_all_that_was_answered() {
    let _alone = alone();
    part(2);
}

#[test]
fn part_4_opens_with_all_that_was_answered() {
    let _alone = alone();
    part(3);
}

/// Where a first life ends.
struct End {
    disk: Disk,
    remains: Remains,
    progress: Progress,
    at: usize,
}

/// Lives on after a crash, and crashes again while recovering and after it.
fn second_life(first: &History, (end, killed): (&End, bool), tally: Tally) -> Tally {
    let mut checker = Checker::new(first, tally);
    let found = match checker.check(&end.remains, end.progress.calls()) {
        Ok(found) => found,
        Err(why) => {
            checker.tally.violations.push(format!("after change {}: {why}", end.at));
            return checker.tally;
        }
    };
    let history = first.continued(found, short());
    let scratch = Scratch::new();
    end.remains.save(scratch.path()).unwrap();
    let recording = Recording::start(scratch.path(), None).unwrap();
    life::live(&recording, (&history, found));
    let trace = recording.finish();
    // A process that was killed leaves its unsynced changes to the next; a power loss leaves none.
    let disk = if killed { end.disk.renumbered(&trace.names) } else { Disk::settled(&end.remains, &trace.names) };
    // Until something new is answered, only what the first life was answered must be there.
    let least = if killed { found.min(end.progress.answered) } else { found };
    let mut checker = Checker::new(&history, checker.tally);
    walk((disk, Progress { made: found, answered: least }), &trace.ops, |at, disk, progress| {
        let answered = at > 0 && matches!(trace.ops[at], Op::Mark(_));
        if answered || at % 7 == 0 {
            let place = |how: &str| format!("crash after change {}, then after {at} of the next life, {how}", end.at);
            for (how, remains) in crashes(disk, usize::from(answered), SEED ^ at as u64) {
                checker.expect(&remains, progress.calls(), &|| place(&how));
            }
        }
    });
    checker.tally
}

fn second_lives(killed: bool, what: &str) {
    let ticks = cpu_ticks();
    let history = History::new(long(SEED + 1, 30));
    let trace = record(&history);
    let mut ends = Vec::new();
    let stride = (trace.ops.len() * 90 / wanted(STATES).max(1)).max(1);
    walk((Disk::empty(), Progress::default()), &trace.ops, |at, disk, progress| {
        // Every moment of the creation, and some of the rest.
        if progress.answered == 0 || at % (8 * stride) == 0 {
            let mut remains = disk.killed();
            if !killed {
                remains = crashes(disk, 1, at as u64).last().map_or(remains, |(_, remains)| remains);
            }
            ends.push(End { disk: disk.clone(), remains, progress, at });
        }
    });
    let mut tally = Tally::default();
    for end in &ends {
        tally = second_life(&history, (end, killed), tally);
    }
    tally.report(&format!("{what}, {} first lives", ends.len()), ticks);
    assert!(tally.distinct.len() > ends.len());
}

#[test]
fn a_killed_process_and_then_a_crash_of_the_next() {
    let _alone = alone();
    second_lives(true, "killed, then a crash");
}

#[test]
fn a_power_loss_and_then_a_crash_of_the_next() {
    let _alone = alone();
    second_lives(false, "power lost, then a crash");
}
