//! The checks themselves are checked: a recording is changed as if the store had a bug, and must be found out. Each bug
//! is one that a store could have: a sync left out, its failure ignored, an answer given too early.

use std::collections::BTreeMap;

use mainstay_interposer::{FileId, Op, Trace};

use crate::{
    check::{Checker, Tally},
    choice::{Progress, crashes, walk},
    disk::Disk,
    history::{History, varied},
    life::{Mark, alone, record},
};

const SEED: u64 = 11;

/// The name under which each file came to be.
fn first_names(trace: &Trace) -> BTreeMap<FileId, String> {
    let created = trace.ops.iter().filter_map(|op| match op {
        Op::Create { path, file, .. } => Some((*file, path.to_string_lossy().into_owned())),
        _ => None,
    });
    created.chain([(FileId(0), String::new())]).collect()
}

/// The recording without the syncs of some files, from a change on.
fn without_syncs(trace: &Trace, from: usize, of: impl Fn(&str) -> bool) -> Vec<Op> {
    let names = first_names(trace);
    let is_left_out = |op: &Op| matches!(op, Op::Sync { file } if of(&names[file]));
    let kept = trace.ops.iter().enumerate().filter(|(at, op)| *at < from || !is_left_out(op));
    let kept: Vec<Op> = kept.map(|(_, op)| op.clone()).collect();
    assert!(kept.len() < trace.ops.len(), "nothing was left out");
    kept
}

/// The recording with every sync of some files failing, and the process none the wiser.
fn with_ignored_failures(trace: &Trace, of: impl Fn(&str) -> bool) -> Vec<Op> {
    let names = first_names(trace);
    let fail = |op: &Op| match op {
        Op::Sync { file } if of(&names[file]) => Op::Lose { file: *file, evicted: false },
        other => other.clone(),
    };
    trace.ops.iter().map(fail).collect()
}

/// The recording with each answer given before the last change that `before` picks.
fn with_early_answers(trace: &Trace, before: impl Fn(&Op) -> bool) -> Vec<Op> {
    let mut ops: Vec<Op> = Vec::new();
    for op in &trace.ops {
        let is_answer = matches!(op, Op::Mark(number) if matches!(Mark::read(*number), Mark::Answered { .. }));
        let place = if is_answer { ops.iter().rposition(&before) } else { None };
        ops.insert(place.unwrap_or(ops.len()), op.clone());
    }
    ops
}

/// Whether a crash of this recording shows that something is wrong.
fn is_found_out(history: &History, ops: &[Op]) -> Option<String> {
    let mut checker = Checker::new(history, Tally::default());
    walk((Disk::empty(), Progress::default()), ops, |at, disk, progress| {
        let answered = matches!(ops[at], Op::Mark(_));
        if checker.tally.violations.is_empty() && (answered || at % 16 == 0) {
            for (how, remains) in crashes(disk, 1, SEED ^ at as u64) {
                checker.expect(&remains, progress.calls(), &|| format!("after change {at}, {how}"));
            }
        }
    });
    checker.tally.violations.into_iter().next()
}

fn is_log(name: &str) -> bool {
    name.ends_with("mainstay.db-wal")
}

fn is_database(name: &str) -> bool {
    name.ends_with("mainstay.db.unfinished")
}

#[test]
fn what_is_planted_is_found_out_and_nothing_else_is() {
    let _alone = alone();
    let history = History::new(varied(SEED));
    let trace = record(&history);
    let created = trace.ops.iter().position(|op| matches!(op, Op::Mark(_))).unwrap();
    let is_sync = |op: &Op| matches!(op, Op::Sync { .. });
    let is_write = |op: &Op| matches!(op, Op::Write { .. });
    let planted: Vec<(&str, Vec<Op>)> = vec![
        ("no sync at all", without_syncs(&trace, 0, |_| true)),
        ("no sync of the log", without_syncs(&trace, 0, is_log)),
        ("no sync of the database", without_syncs(&trace, 0, is_database)),
        ("no sync of the database by a checkpoint", without_syncs(&trace, created, is_database)),
        ("no sync of a blob's file", without_syncs(&trace, 0, |name| name.ends_with(".partial"))),
        ("no sync of the folder of blobs", without_syncs(&trace, 0, |name| name.ends_with("blobs"))),
        ("no sync of the data directory", without_syncs(&trace, 0, |name| name.ends_with("data"))),
        ("no sync of the folder above it", without_syncs(&trace, 0, |name| name.ends_with("home"))),
        ("no sync of the folder above that", without_syncs(&trace, 0, str::is_empty)),
        ("a failing sync of the log is ignored", with_ignored_failures(&trace, is_log)),
        ("a failing sync of the database is ignored", with_ignored_failures(&trace, is_database)),
        ("answers before the sync", with_early_answers(&trace, is_sync)),
        ("answers before the last write", with_early_answers(&trace, is_write)),
    ];
    assert_eq!(is_found_out(&history, &trace.ops), None);
    for (bug, ops) in planted {
        let found = is_found_out(&history, &ops);
        println!("{bug}: {}", found.as_deref().unwrap_or("NOT FOUND"));
        assert!(found.is_some(), "{bug} is not found out");
    }
}
