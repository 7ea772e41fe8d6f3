//! Opens what a crash left by the code that recovers a real store, and compares it with what may be there. What was
//! opened before is not opened again; whether it is enough is asked anew each time.

use std::{
    collections::{HashMap, HashSet},
    fs,
    ops::RangeInclusive,
};

use mainstay_store::seam::{Lease, Slice};
use mainstay_testkit::store::{
    sample::{SHARD, batch, session, tenant},
    wait::wait,
};
use mainstay_vocabulary::{Epoch, Sequence};

use crate::{
    content::{Content, SESSIONS},
    disk::Remains,
    history::History,
    life::{self, Scratch},
};

/// One in so many states is also written to, closed and opened again.
const WRITTEN_TO: usize = 16;

/// Opens what crashes leave of one history.
pub(crate) struct Checker<'a> {
    history: &'a History,
    scratch: Scratch,
    /// By the digest of what was left: after how many calls this is held, or why it cannot be used.
    found: HashMap<u64, Result<usize, String>>,
    pub(crate) tally: Tally,
}

/// What was looked at.
#[derive(Default)]
pub(crate) struct Tally {
    /// States by content, over all histories of a test.
    pub(crate) distinct: HashSet<u64>,
    pub(crate) opened: usize,
    pub(crate) asked: usize,
    pub(crate) written_to: usize,
    pub(crate) violations: Vec<String>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(history: &'a History, tally: Tally) -> Self {
        Self { history, scratch: Scratch::new(), found: HashMap::new(), tally }
    }

    /// Looks at what a crash left when so many calls were answered (the least that must be there) and so many made.
    pub(crate) fn check(&mut self, remains: &Remains, calls: RangeInclusive<usize>) -> Result<usize, String> {
        self.tally.asked += 1;
        let digest = remains.digest();
        let found = match self.found.get(&digest) {
            Some(found) => found.clone(),
            None => {
                self.tally.distinct.insert(digest);
                let found = self.open(remains, &calls);
                self.found.insert(digest, found.clone());
                found
            }
        };
        let found = found?;
        if self.history.is_within(found, calls.clone()) {
            return Ok(found);
        }
        let [held, least] = [found, *calls.start()].map(|calls| self.history.content(calls).summary());
        Err(format!("what call {found} left is there, of calls {calls:?}: {held}; must be at least {least}"))
    }

    /// As `check`, but a violation is kept, with where it was.
    pub(crate) fn expect(&mut self, remains: &Remains, calls: RangeInclusive<usize>, place: &dyn Fn() -> String) {
        if let Err(why) = self.check(remains, calls) {
            self.tally.violations.push(format!("{}: {why}", place()));
        }
    }

    fn open(&mut self, remains: &Remains, calls: &RangeInclusive<usize>) -> Result<usize, String> {
        let root = self.scratch.path();
        remains.save(root).unwrap();
        self.tally.opened += 1;
        let store = life::open(root).map_err(|error| format!("does not open: {error}"))?;
        let content = Content::read(&*store).map_err(|error| format!("cannot be read: {error}"))?;
        let found = self.history.find(&content).ok_or_else(|| {
            let least = self.history.content(*calls.start()).summary();
            format!("was never so: {}; must be at least {least}", content.summary())
        })?;
        drop(store);
        if self.tally.opened.is_multiple_of(WRITTEN_TO) {
            self.tally.written_to += 1;
            self.write(&content, self.history.epoch(*calls.start()))?;
        }
        Ok(found)
    }

    /// The store takes a lease that is newer than any given before, writes, and holds all of it when opened again.
    fn write(&self, before: &Content, epoch: u64) -> Result<(), String> {
        let root = self.scratch.path();
        let failed = |error| format!("cannot be written to: {error}");
        let store = life::open(root).map_err(|error| format!("does not open again: {error}"))?;
        let lease = wait(store.acquire(SHARD, [8; 16])).map_err(failed)?;
        if lease.epoch <= Epoch(epoch) {
            return Err(format!("gives epoch {} again, {epoch} was given", lease.epoch.0));
        }
        let again = Content::read(&*store).map_err(failed)?;
        if again != *before {
            return Err(format!("holds something else when opened again: {}", again.summary()));
        }
        let id = session(SESSIONS + 1);
        wait(store.commit(lease, batch(id, 0, &["after a crash"]))).map_err(failed)?;
        let slice = Slice { session: id, first: 0, last: 0, bytes: vec![1; 100].into() };
        wait(store.append_frames(Lease { shard: SHARD, ..lease }, slice)).map_err(failed)?;
        drop(store);
        let store = life::open(root).map_err(|error| format!("does not open after a write: {error}"))?;
        let events = wait(store.read(&tenant(), id, Sequence(0), 9)).map_err(failed)?;
        let frames = wait(store.frames(&tenant(), id)).map_err(failed)?;
        let again = Content::read(&*store).map_err(failed)?;
        let same = again == *before && events.len() == 1 && &*events[0].bytes == b"after a crash" && frames.len() == 1;
        if same { Ok(()) } else { Err("what was written after the crash is not there".to_owned()) }
    }
}

impl Tally {
    /// Says what was done; fails if anything was wrong.
    pub(crate) fn report(&self, what: &str, ticks_before: u64) {
        let seconds = (cpu_ticks() - ticks_before) as f64 / 100.0;
        println!(
            "{what}: {} states asked for, {} distinct, {} opened ({} written to), {:.1} CPU-s, {:.0} opened per CPU-s",
            self.asked,
            self.distinct.len(),
            self.opened,
            self.written_to,
            seconds,
            self.opened as f64 / seconds.max(0.01),
        );
        let shown: Vec<_> = self.violations.iter().take(5).collect();
        assert!(shown.is_empty(), "{} violations, the first: {shown:#?}", self.violations.len());
    }
}

/// CPU time of this process, in hundredths of a second, as Linux counts it.
pub(crate) fn cpu_ticks() -> u64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap();
    // The name, in brackets, may hold blanks; user and system time are the 12th and 13th field behind it.
    let fields: Vec<_> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
