//! What the lane does when SQLite fails. A commit hook stands for the disk: it makes COMMIT itself fail.

use mainstay_vocabulary::{OpId, Sequence, Tenant};
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::*;
use crate::{
    seam::{Batch, Committed},
    sqlite::tests::Scratch,
};

const SHARD: Shard = Shard(0);

fn batch(number: u8, expected: u64) -> Batch {
    Batch {
        session: SessionId::new(SHARD, [number; 16]),
        tenant: Tenant("acme".into()),
        expected: Sequence(expected),
        op: OpId([expected as u8; 16]),
        events: vec![b"event"[..].into()],
        chain: [0; 32],
        open: true,
        wakeups: Vec::new(),
        index: Vec::new(),
        idempotency: None,
        moves: Vec::new(),
        blobs: Vec::new(),
        snapshot: None,
        drop_frames_below: 0,
        erase: false,
    }
}

fn lane(scratch: &Scratch) -> Lane {
    let folder = Folder::new(scratch.path().to_owned());
    folder.prepare().unwrap();
    Lane::new(folder.clone(), Readers::new(folder), None).unwrap()
}

/// Writes as one transaction and returns the answers.
fn write(lane: &mut Lane, lease: Lease, batches: Vec<Batch>) -> Vec<Result<Committed, Error>> {
    let (requests, answers): (Vec<_>, Vec<_>) = batches
        .into_iter()
        .map(|batch| {
            let (reply, answer) = oneshot::channel();
            (Request::Commit { lease, batch: Box::new(batch), reply }, answer)
        })
        .unzip();
    lane.write(requests);
    answers
        .into_iter()
        .map(|mut answer| answer.try_recv().unwrap_or_else(|_: TryRecvError| panic!("no answer")))
        .collect()
}

fn fail_commits(lane: &mut Lane, fail: bool) {
    let hook = fail.then_some(|| true);
    lane.open.as_mut().unwrap().connection.commit_hook(hook).unwrap();
}

#[test]
fn a_failed_commit_is_unknown_to_all_of_its_batches_and_closes_the_lane_until_the_shard_is_taken() {
    let scratch = Scratch::new("unknown");
    let mut lane = lane(&scratch);
    let lease = lane.acquire(SHARD, [1; 16]).unwrap();
    assert!(write(&mut lane, lease, vec![batch(1, 0)])[0].is_ok());
    fail_commits(&mut lane, true);
    let answers = write(&mut lane, lease, vec![batch(1, 1), batch(2, 0), batch(3, 7)]);
    assert!(answers.iter().all(|answer| matches!(answer, Err(Error::Unknown(_)))), "{answers:?}");
    let answers = write(&mut lane, lease, vec![batch(1, 1)]);
    assert!(matches!(answers[0], Err(Error::Unknown(_))), "waiting alone would not help: {answers:?}");
    assert!(matches!(lane.frames(&Tenant("acme".into()), SessionId::new(SHARD, [1; 16])), Err(Error::Unavailable(_))));

    let newer = lane.acquire(SHARD, [1; 16]).unwrap();
    assert!(newer.epoch > lease.epoch);
    let answers = write(&mut lane, newer, vec![batch(1, 1), batch(2, 0)]);
    assert!(answers.iter().all(Result::is_ok), "the caches were read anew: {answers:?}");
}

#[test]
fn a_lease_on_another_shard_does_not_survive_the_failure() {
    let scratch = Scratch::new("other");
    let mut lane = lane(&scratch);
    let other = lane.acquire(Shard(1), [1; 16]).unwrap();
    let lease = lane.acquire(SHARD, [1; 16]).unwrap();
    fail_commits(&mut lane, true);
    write(&mut lane, lease, vec![batch(1, 0)]);
    lane.acquire(SHARD, [1; 16]).unwrap();
    let mut theirs = batch(1, 0);
    theirs.session = SessionId::new(Shard(1), [1; 16]);
    assert_eq!(write(&mut lane, other, vec![theirs]), [Err(Error::Fenced)]);
}

#[test]
fn an_acquire_that_fails_gives_no_lease() {
    let scratch = Scratch::new("acquire");
    let mut lane = lane(&scratch);
    fail_commits(&mut lane, true);
    assert!(matches!(lane.acquire(SHARD, [1; 16]), Err(Error::Unknown(_))));
    assert!(lane.acquire(SHARD, [1; 16]).is_ok());
}

#[test]
fn a_broken_assertion_fails_the_transaction_and_closes_the_lane() {
    let scratch = Scratch::new("assertion");
    let mut lane = lane(&scratch);
    let lease = lane.acquire(SHARD, [1; 16]).unwrap();
    write(&mut lane, lease, vec![batch(1, 0), batch(2, 0)]);
    // Somebody changed a head behind the lane's back.
    lane.open.as_ref().unwrap().connection.execute("UPDATE session SET sequence = 5 WHERE key = 2", []).unwrap();
    let answers = write(&mut lane, lease, vec![batch(1, 1), batch(2, 1)]);
    assert!(answers.iter().all(|answer| matches!(answer, Err(Error::Corrupt(_)))), "{answers:?}");
    let lease = lane.acquire(SHARD, [1; 16]).unwrap();
    let answers = write(&mut lane, lease, vec![batch(1, 1), batch(2, 1)]);
    assert!(answers[0].is_ok(), "nothing of the failed transaction was written: {answers:?}");
    assert_eq!(answers[1], Err(Error::Conflict { head: Sequence(5) }));
}

#[test]
fn a_shard_that_another_connection_took_is_fenced_by_the_database() {
    let scratch = Scratch::new("fence");
    let mut lane = lane(&scratch);
    let lease = lane.acquire(SHARD, [1; 16]).unwrap();
    apply::take_shard(&lane.folder.writer().unwrap(), 0, &[2; 16]).unwrap();
    assert_eq!(write(&mut lane, lease, vec![batch(1, 0), batch(2, 0)]), [Err(Error::Fenced), Err(Error::Fenced)]);
}

#[test]
fn the_log_is_checkpointed_and_keeps_its_length() {
    let scratch = Scratch::new("log");
    let mut lane = lane(&scratch);
    let lease = lane.acquire(SHARD, [1; 16]).unwrap();
    let mut lengths = Vec::new();
    for expected in 0..2_000 {
        let mut batch = batch(1, expected);
        batch.events = vec![vec![7; 2_000].into()];
        assert!(write(&mut lane, lease, vec![batch])[0].is_ok());
        lengths.push(std::fs::metadata(lane.folder.log()).unwrap().len());
    }
    assert!(lengths.is_sorted(), "the log is never cut");
    assert!(lengths.last() < Some(&(2 << 20)), "{:?}", lengths.last());
    assert!(std::fs::metadata(lane.folder.database()).unwrap().len() > 3_500_000, "the log was copied");
}

#[test]
fn orphaned_files_are_swept_and_named_ones_stay() {
    let scratch = Scratch::new("orphans");
    let mut lane = lane(&scratch);
    let lease = lane.acquire(SHARD, [1; 16]).unwrap();
    let mut named = batch(1, 0);
    named.blobs.push(crate::seam::Blob { digest: [1; 32], bytes: vec![0; blobs::LARGEST_ROW + 1].into() });
    let (session, digest) = (named.session, named.blobs[0].digest);
    assert!(write(&mut lane, lease, vec![named])[0].is_ok());
    let kept = lane.blobs.path(&session, &digest);
    let orphan = lane.blobs.path(&session, &[2; 32]);
    let partial = orphan.with_extension("partial");
    for path in [&orphan, &partial] {
        std::fs::write(path, b"left by a crash").unwrap();
    }
    let never = mainstay_vocabulary::Timestamp(0);
    let later = mainstay_vocabulary::Timestamp(u64::MAX >> 16);
    assert!(lane.blobs.orphans(never, |_, _| false).is_empty(), "the grace period has not passed");
    let mut orphans = lane.blobs.orphans(later, |_, found| *found == digest);
    orphans.sort();
    assert_eq!(orphans, [orphan.clone(), partial.clone()]);
    // A row may have come to name a file since the reader looked.
    orphans.push(kept.clone());
    lane.sweep(&Sweep { shard: SHARD, now: later, orphans }).unwrap();
    assert_eq!([&kept, &orphan, &partial].map(|path| path.exists()), [true, false, false]);
}

/// Everything but the pages that hold content: heads and the indexes that find things.
#[test]
fn an_idle_session_costs_at_most_four_hundred_bytes_of_index() {
    const SESSIONS: u64 = 4_000;
    let scratch = Scratch::new("idle");
    let mut lane = lane(&scratch);
    let lease = lane.acquire(SHARD, [1; 16]).unwrap();
    let idle = |number: u64| {
        let mut rest = [0; 16];
        rest[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let mut batch = batch(0, 0);
        (batch.session, batch.open) = (SessionId::new(SHARD, rest), false);
        batch.events = vec![vec![7; 300].into(); 8];
        batch.snapshot = Some(vec![7; 600].into());
        let key = [&number.to_be_bytes()[..], batch.session.as_bytes()].concat();
        batch.index.push(crate::seam::IndexChange { kind: "session", key, value: Some(vec![7; 20]) });
        batch
    };
    for hundred in 0..SESSIONS / 100 {
        let batches = (hundred * 100..(hundred + 1) * 100).map(idle).collect();
        assert!(write(&mut lane, lease, batches).iter().all(Result::is_ok));
    }
    let open = lane.open.as_ref().unwrap();
    let bytes: i64 = open
        .connection
        .query_row("SELECT sum(pgsize) FROM dbstat WHERE name NOT IN ('event', 'snapshot')", [], |row| row.get(0))
        .unwrap();
    let each = bytes as u64 / SESSIONS;
    assert!(each <= 400, "{each} bytes");
}
