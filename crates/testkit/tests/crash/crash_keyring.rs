//! The key files under the same crashes and faults: a key that was given to somebody is there after any crash, one that
//! was destroyed stays destroyed, and creation leaves nothing that is refused.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use mainstay_interposer::{Fault, Kind, Op, Recording, Trace, mark};
use mainstay_seal::{Entropy, Error, Keyring};
use mainstay_testkit::store::random::Random;
use mainstay_vocabulary::{SessionId, Shard, Tenant};

use crate::{
    check::cpu_ticks,
    choice::crashes,
    crash_states::wanted,
    disk::{Disk, Remains},
    life::{Scratch, alone},
};

/// Ways in which what was not synced may be left, at each moment.
const WAYS: usize = 24;
/// How often one thing is tried before that counts as a failure to recover.
const ATTEMPTS: usize = 3;
const CONTEXT: &[u8] = b"crash";

struct Seeded(AtomicU64);

impl Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        let mut random = Random::new(self.0.fetch_add(1, Ordering::Relaxed));
        bytes.fill_with(|| random.number() as u8);
    }
}

/// What is done with the keyring, by subject. The keyring is opened again where nothing is named.
#[derive(Clone, Copy, Debug)]
enum Step {
    Open,
    Make(&'static str),
    Destroy(&'static str),
}

const STEPS: [Step; 12] = [
    Step::Open,
    Step::Make("one"),
    Step::Make("two"),
    Step::Destroy("one"),
    Step::Make("three"),
    Step::Open,
    Step::Make("four"),
    Step::Destroy("three"),
    Step::Make("five"),
    Step::Open,
    Step::Destroy("five"),
    Step::Make("six"),
];

fn session() -> SessionId {
    SessionId::new(Shard(0), [1; 16])
}

fn tenant() -> Tenant {
    Tenant("acme".into())
}

fn open(root: &Path, seed: u64) -> Result<Keyring, Error> {
    Keyring::open(&root.join("home/keys"), &Seeded(AtomicU64::new(seed)))
}

/// What was sealed under each subject's key; the proof that it is the same key.
type Sealed = BTreeMap<&'static str, (Vec<u8>, mainstay_seal::KeyId)>;

/// Does all steps, trying again what fails, and marks each that succeeded by its number.
fn live(root: &Path) -> Result<Sealed, String> {
    let entropy = Seeded(AtomicU64::new(1_000));
    let (mut ring, mut sealed) = (None, Sealed::new());
    for (number, step) in STEPS.iter().enumerate() {
        let mut last = None;
        let done = (0..ATTEMPTS).any(|_| {
            let done = match step {
                Step::Open => {
                    drop(ring.take());
                    open(root, 1).map(|opened| ring = Some(opened))
                }
                Step::Make(subject) => {
                    let sealer = ring.as_ref().unwrap().sealer(&tenant(), subject, session(), &entropy);
                    sealer.map(|sealer| {
                        let bytes = sealer.seal(CONTEXT, subject.as_bytes(), &entropy).to_vec();
                        sealed.insert(*subject, (bytes, sealer.key_id()));
                    })
                }
                Step::Destroy(subject) => ring.as_ref().unwrap().destroy(&tenant(), subject),
            };
            last = done.err();
            last.is_none()
        });
        if !done {
            return Err(format!("{step:?}: {last:?}"));
        }
        mark(number as u64);
    }
    Ok(sealed)
}

/// Opens what a crash left after so many steps; one more may have been under way.
fn check(root: &Path, done: usize, sealed: &Sealed) -> Result<(), String> {
    let ring = open(root, 2).map_err(|error| format!("does not open: {error}"))?;
    for (subject, (bytes, id)) in sealed {
        let at = |wanted: fn(&Step, &str) -> bool| STEPS.iter().position(|step| wanted(step, subject));
        let made = at(|step, subject| matches!(step, Step::Make(name) if *name == subject));
        let destroyed = at(|step, subject| matches!(step, Step::Destroy(name) if *name == subject));
        let opened = ring.opener(*id, session()).and_then(|opener| opener.open(CONTEXT, bytes));
        let right = match &opened {
            Ok(text) => text == subject.as_bytes() && destroyed.is_none_or(|step| step >= done),
            Err(Error::Destroyed) => destroyed.is_some_and(|step| step <= done),
            Err(Error::Unknown) => made.is_none_or(|step| step >= done),
            Err(_) => false,
        };
        if !right {
            return Err(format!("after {done} steps the key of {subject} is {opened:?}"));
        }
    }
    let sealer = ring.sealer(&tenant(), "later", session(), &Seeded(AtomicU64::new(9_000)));
    let id = sealer.map_err(|error| format!("makes no key: {error}"))?.key_id();
    drop(ring);
    let ring = open(root, 3).map_err(|error| format!("does not open again: {error}"))?;
    ring.opener(id, session()).map(drop).map_err(|error| format!("lost the next key: {error}"))
}

#[derive(Default)]
struct Looked {
    scratch: Option<Scratch>,
    seen: HashSet<(u64, usize)>,
    violations: Vec<String>,
}

impl Looked {
    fn look(&mut self, remains: &Remains, (done, sealed): (usize, &Sealed), place: &dyn Fn() -> String) {
        if !self.seen.insert((remains.digest(), done)) {
            return;
        }
        let scratch = self.scratch.get_or_insert_with(Scratch::new);
        remains.save(scratch.path()).unwrap();
        if let Err(why) = check(scratch.path(), done, sealed) {
            self.violations.push(format!("{}: {why}", place()));
        }
    }

    fn look_at_all(&mut self, (trace, ways): (&Trace, usize), (from, sealed): (usize, &Sealed), what: &str) {
        let (mut disk, mut done) = (Disk::empty(), 0);
        for (at, op) in trace.ops.iter().enumerate() {
            disk.apply(op);
            if let Op::Mark(number) = op {
                done = *number as usize + 1;
            }
            if at >= from {
                for (how, remains) in crashes(&disk, ways, at as u64) {
                    self.look(&remains, (done, sealed), &|| format!("{what}, after change {at}, {how}"));
                }
            }
        }
    }

    fn report(&self, what: &str, ticks: u64) {
        let seconds = (cpu_ticks() - ticks) as f64 / 100.0;
        println!("{what}: {} distinct states, {seconds:.1} CPU-s", self.seen.len());
        let shown: Vec<_> = self.violations.iter().take(5).collect();
        assert!(shown.is_empty(), "{} violations, the first: {shown:#?}", self.violations.len());
    }
}

fn recorded(fault: Option<(usize, Fault)>) -> (Trace, Result<Sealed, String>) {
    let scratch = Scratch::new();
    let recording = Recording::start(scratch.path(), fault).unwrap();
    let lived = live(recording.root());
    (recording.finish(), lived)
}

#[test]
fn every_crash_leaves_the_keys_that_were_given_out() {
    let _alone = alone();
    let ticks = cpu_ticks();
    let (trace, sealed) = recorded(None);
    let mut looked = Looked::default();
    let ways = WAYS + wanted(0) / 20 / trace.ops.len();
    looked.look_at_all((&trace, ways), (0, &sealed.unwrap()), "crash");
    looked.report(&format!("keyring, {} changes", trace.ops.len()), ticks);
}

#[test]
fn every_call_may_fail() {
    let _alone = alone();
    let ticks = cpu_ticks();
    let calls = recorded(None).0.calls;
    let mut looked = Looked::default();
    let mut injected = 0;
    for (at, kind) in calls.iter().enumerate() {
        let on_sync = [Fault::SyncLost, Fault::SyncEvicted, Fault::SyncLanded];
        let syncs: &[Fault] = if *kind == Kind::Sync { &on_sync } else { &[] };
        for fault in [Fault::Error(libc::EIO), Fault::Error(libc::ENOSPC)].iter().chain(syncs) {
            injected += 1;
            let (trace, lived) = recorded(Some((at, *fault)));
            let what = format!("{fault:?} at call {at}");
            match (lived, trace.struck) {
                (Ok(sealed), Some(struck)) => looked.look_at_all((&trace, 1), (struck, &sealed), &what),
                (Err(why), _) => looked.violations.push(format!("{what}: {why}")),
                (_, None) => looked.violations.push(format!("{what}: never struck")),
            }
        }
    }
    looked.report(&format!("keyring, {injected} calls made to fail"), ticks);
}

#[test]
fn a_missing_sync_is_found_out() {
    let _alone = alone();
    let (trace, sealed) = recorded(None);
    let sealed = sealed.unwrap();
    let ops = trace.ops.iter().filter(|op| !matches!(op, Op::Sync { .. })).cloned().collect();
    let mut looked = Looked::default();
    looked.look_at_all((&Trace { ops, ..trace }, 1), (0, &sealed), "no sync");
    assert!(!looked.violations.is_empty());
}
