//! The SQLite backend.

use std::fs;

use mainstay_store::{
    Error,
    seam::Slice,
    sqlite::{self, Options, Others},
};
use mainstay_testkit::store::{
    conformance,
    differential::Snapshot,
    sample::{SHARD, batch, session, slice, tenant},
    wait::wait,
};
use mainstay_vocabulary::Sequence;

use crate::scratch::Scratch;

#[test]
fn sqlite_conforms() {
    for (name, check) in conformance::ALL {
        println!("{name}");
        let scratch = Scratch::new();
        check(&*scratch.open());
    }
}

#[test]
fn sqlite_conforms_when_opened_again() {
    for (name, check) in conformance::DURABLE {
        println!("{name}");
        let scratch = Scratch::new();
        check(&|| scratch.open());
    }
}

#[test]
fn sqlite_conforms_as_a_whole() {
    for (name, check) in conformance::WHOLE {
        println!("{name}, beside a server and at rest");
        let scratch = Scratch::new();
        let store = scratch.open();
        check(&|fill| {
            fill(&*store);
            sqlite::look(scratch.path().to_owned(), Others::Allowed).unwrap()
        });
        drop(store);
        let scratch = Scratch::new();
        check(&|fill| {
            fill(&*scratch.open());
            sqlite::look(scratch.path().to_owned(), Others::Refused).unwrap()
        });
    }
}

#[test]
fn sqlite_conforms_as_a_receiver() {
    for (name, check) in conformance::RECEIVER {
        println!("{name}");
        let scratch = Scratch::new();
        check(&|| sqlite::receive(scratch.path().to_owned()).unwrap());
    }
}

#[test]
fn nobody_serves_from_an_unfinished_copy_and_nobody_copies_what_is_served() {
    let (scratch, served) = (Scratch::new(), Scratch::new());
    let to = sqlite::receive(scratch.path().to_owned()).unwrap();
    wait(to.begin([1; 32], Vec::new())).unwrap();
    drop(to);
    let opened = sqlite::open(Options { dir: scratch.path().to_owned(), most_bytes: None });
    let Err(Error::Unavailable(why)) = opened else { panic!("opened half a copy") };
    assert!(why.contains("not finished"), "{why}");
    wait(sqlite::receive(scratch.path().to_owned()).unwrap().finish()).unwrap();
    scratch.open();
    let store = served.open();
    let Err(Error::Unavailable(why)) = sqlite::look(served.path().to_owned(), Others::Refused) else {
        panic!("looked at what is served")
    };
    assert!(why.contains(&std::process::id().to_string()), "{why}");
    drop(store);
}

#[test]
fn every_acknowledged_write_is_in_a_copy_of_the_files_of_a_running_store() {
    let scratch = Scratch::new();
    let copy = Scratch::new();
    let store = scratch.open();
    let lease = wait(store.acquire(SHARD, [1; 16])).unwrap();
    for round in 0..30 {
        let mut answers = Vec::new();
        for number in 0..8 {
            answers.push(store.commit(lease, batch(session(number), round * 2, &["some", "events"])));
        }
        for answer in answers {
            wait(answer).unwrap();
        }
        let frames: Vec<_> = (0..8).map(|n| store.append_frames(lease, slice(session(n), round, round))).collect();
        frames.into_iter().for_each(|answer| wait(answer).unwrap());
        if round % 10 == 9 {
            let _ = fs::remove_dir_all(copy.path());
            fs::create_dir_all(copy.path()).unwrap();
            // Without the shared memory file: it does not survive a crash either.
            for name in ["mainstay.db", "mainstay.db-wal"] {
                fs::copy(scratch.path().join(name), copy.path().join(name)).unwrap();
            }
            assert_eq!(Snapshot::take(&*copy.open()), Snapshot::take(&*store));
        }
    }
    drop(store);
    assert_eq!(wait(scratch.open().head(session(7))).unwrap().unwrap().sequence, Sequence(60));
}

#[test]
fn a_second_opening_of_a_directory_is_refused_with_the_reason() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let again = sqlite::open(Options { dir: scratch.path().to_owned(), most_bytes: None });
    let Err(Error::Unavailable(why)) = again else { panic!("opened twice") };
    assert!(why.contains(&std::process::id().to_string()) && why.contains(&scratch.path().display().to_string()));
    drop(store);
    scratch.open();
}

#[test]
fn a_full_store_refuses_writes_and_goes_on_when_there_is_room() {
    let scratch = Scratch::new();
    let options = Options { dir: scratch.path().to_owned(), most_bytes: Some(1 << 20) };
    let store = sqlite::open(options).unwrap();
    let lease = wait(store.acquire(SHARD, [1; 16])).unwrap();
    let text = "x".repeat(10_000);
    let (large, other) = (session(1), session(2));
    wait(store.commit(lease, batch(other, 0, &["small"]))).unwrap();
    let mut sequence = 0;
    let refusal = loop {
        match wait(store.commit(lease, batch(large, sequence, &[&text]))) {
            Ok(committed) => sequence = committed.sequence.0,
            Err(error) => break error,
        }
        assert!(sequence < 1_000, "the limit does not hold");
    };
    assert_eq!(refusal, Error::Full);
    assert!(sequence > 50, "{sequence}");
    assert_eq!(wait(store.head(large)).unwrap().unwrap().sequence, Sequence(sequence));
    assert_eq!(wait(store.commit(lease, batch(large, sequence, &[&text]))), Err(Error::Full));
    let mut erase = batch(large, sequence, &["gone"]);
    erase.erase = true;
    wait(store.commit(lease, erase)).unwrap();
    wait(store.commit(lease, batch(other, 1, &[&text]))).unwrap();
    assert_eq!(wait(store.read(&tenant(), other, Sequence(0), 9)).unwrap().len(), 2);
}

/// A conversation as `NUMBERS.md` means it: some 300 bytes of text a turn, four events, streamed in three slices.
#[test]
fn a_thousand_turns_stay_within_four_megabytes_of_disk() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let lease = wait(store.acquire(SHARD, [1; 16])).unwrap();
    let id = session(1);
    let sealed = "x".repeat(380);
    for turn in 0..1_000 {
        let mut first = batch(id, turn * 4, &[&sealed, &sealed]);
        first.snapshot = Some(vec![7; 2_000].into());
        wait(store.commit(lease, first)).unwrap();
        for part in 0..3 {
            let ordinal = turn * 3 + part;
            let bytes = vec![7; 150].into();
            wait(store.append_frames(lease, Slice { session: id, first: ordinal, last: ordinal, bytes })).unwrap();
        }
        let mut last = batch(id, turn * 4 + 2, &[&sealed, &sealed]);
        last.drop_frames_below = u64::MAX;
        wait(store.commit(lease, last)).unwrap();
    }
    assert!(scratch.bytes() <= 4_000_000, "{} bytes", scratch.bytes());
}
