//! Every call that changes a file fails once, in each of its ways; the process goes on as the runtime would. Nothing
//! that was answered may be lost by the crash that follows, nothing may be damaged, and a full disk is named as that
//! and needs no repair. `MAINSTAY_CRASH_STATES` set: also every one of the many like writes of a long row of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use libc::EIO;
use mainstay_interposer::{Fault, Kind, Op, Recording, Trace};
use mainstay_store::{Error, Store};
use mainstay_testkit::store::wait::wait;
use mainstay_vocabulary::Epoch;

use crate::{
    check::{Checker, Tally, cpu_ticks},
    choice::{Progress, crashes, walk},
    crash_states::wanted,
    disk::Disk,
    history::{Call, History, Outcome, Step, varied},
    life::{self, Attempt, Mark, Scratch, alone, burst, record},
};

const SEED: u64 = 5;
/// How often one thing is tried before that counts as a failure to recover.
const ATTEMPTS: u32 = 4;
/// In a longer row of calls of one kind, only the ends and one in so many in between are made to fail in CI.
const ROW: usize = 16;

/// A process that meets a fault and goes on.
struct Survivor<'a> {
    recording: &'a Recording,
    history: &'a History,
    store: Option<Arc<dyn Store>>,
    epoch: Epoch,
    attempt: u32,
    /// Which answers were final.
    final_answers: BTreeSet<Mark>,
    /// Errors by their kind, and how often.
    refusals: BTreeMap<&'static str, usize>,
}

impl Survivor<'_> {
    fn live(&mut self) -> Result<(), String> {
        self.open()?;
        let mut first = 0;
        for step in &self.history.steps {
            match step {
                Step::Reopen => {
                    self.store = None;
                    self.open()?;
                }
                Step::Burst(calls) => {
                    self.burst(calls, first)?;
                    first += calls.len();
                }
            }
        }
        self.store = None;
        Ok(())
    }

    fn open(&mut self) -> Result<(), String> {
        for _ in 0..ATTEMPTS {
            match life::open(self.recording.root()) {
                Ok(store) => {
                    self.store = Some(store);
                    return Ok(());
                }
                Err(error) => self.meet("open", &error)?,
            }
            self.recording.heal();
        }
        Err("does not open any more".to_owned())
    }

    fn burst(&mut self, calls: &[Call], mut first: usize) -> Result<(), String> {
        let mut rest = calls;
        for _ in 0..ATTEMPTS {
            let failed = self.attempt(&mut rest, &mut first);
            let Some(error) = failed else { return Ok(()) };
            self.meet("write", &error)?;
            if error == Error::Full {
                self.full(&mut rest, &mut first)?;
            } else {
                if self.recording.heal() {
                    return Err(format!("a full disk is called {error:?}"));
                }
                self.acquire()?;
                self.settle(&mut rest, &mut first)?;
            }
        }
        Err(format!("call {first} never succeeds"))
    }

    /// Makes the calls; those that succeeded are taken off. Returns the first failure.
    fn attempt(&mut self, rest: &mut &[Call], first: &mut usize) -> Option<Error> {
        let attempt = Attempt { first: *first, number: self.attempt, epoch: self.epoch };
        self.attempt += 1;
        let answers = burst(self.recording, &**self.store.as_ref().unwrap(), (rest, attempt));
        for answer in answers {
            match answer {
                Ok(number) => self.succeeded((rest, first), (attempt.number, number)),
                Err(error) => return Some(error),
            }
        }
        None
    }

    fn succeeded(&mut self, (rest, first): (&mut &[Call], &mut usize), (attempt, answer): (u32, u64)) {
        match &rest[0] {
            Call::Acquire => self.epoch = Epoch(answer),
            Call::Commit(_) => assert_eq!(Outcome::Ok(answer), *self.history.answer(*first)),
            Call::Append(_) | Call::Sweep(_) => {}
        }
        self.final_answers.insert(Mark::Answered { call: *first, attempt });
        *first += 1;
        *rest = &rest[1..];
    }

    /// On a full disk every input is refused by that name for as long as it is full, and the next one after that is
    /// accepted under the lease that was held before.
    fn full(&mut self, rest: &mut &[Call], first: &mut usize) -> Result<(), String> {
        for _ in 0..2 {
            match self.attempt(rest, first) {
                Some(Error::Full) => {}
                // It fitted into room that was there before.
                None => return Ok(()),
                Some(other) => return Err(format!("a full disk is called {other:?}")),
            }
        }
        if !self.recording.heal() {
            return Err("full without a full disk".to_owned());
        }
        match self.attempt(rest, first) {
            None => Ok(()),
            Some(error) => Err(format!("there is room again, but {error:?}")),
        }
    }

    fn acquire(&mut self) -> Result<(), String> {
        for _ in 0..ATTEMPTS {
            match wait(Call::Acquire.make(&**self.store.as_ref().unwrap(), self.epoch)) {
                Ok(epoch) => {
                    self.epoch = Epoch(epoch);
                    return Ok(());
                }
                Err(error) => self.meet("acquire", &error)?,
            }
        }
        Err("the shard cannot be taken any more".to_owned())
    }

    /// Asks, under a new lease, which of the calls took place all the same.
    fn settle(&mut self, rest: &mut &[Call], first: &mut usize) -> Result<(), String> {
        while let Some(call) = rest.first() {
            let store = Arc::clone(self.store.as_ref().unwrap());
            let (applied, answer) = match call {
                Call::Commit(batch) => {
                    let end = batch.expected.0 + batch.events.len() as u64;
                    (wait(store.outcome(batch.session, batch.expected, batch.op)), end)
                }
                Call::Append(slice) => (
                    wait(store.frames(&mainstay_testkit::store::sample::tenant(), slice.session))
                        .map(|held| held.contains(slice)),
                    0,
                ),
                Call::Acquire => (Ok(true), self.epoch.0),
                Call::Sweep(_) => (Ok(false), 0),
            };
            if !applied.map_err(|error| format!("no outcome: {error}"))? {
                return Ok(());
            }
            let attempt = self.attempt;
            self.attempt += 1;
            Mark::Answered { call: *first, attempt }.set();
            self.succeeded((rest, first), (attempt, answer));
        }
        Ok(())
    }

    /// Counts an error; one that says that something is damaged is never right.
    fn meet(&mut self, what: &str, error: &Error) -> Result<(), String> {
        let name = match error {
            Error::Full => "full",
            Error::Unavailable(_) => "unavailable",
            Error::Unknown(_) => "unknown",
            other => return Err(format!("{what}: {other:?}")),
        };
        *self.refusals.entry(name).or_default() += 1;
        Ok(())
    }
}

/// Which calls are made to fail: all, but for the middle of long rows of like calls.
fn targets(calls: &[Kind], wants: impl Fn(Kind) -> bool) -> Vec<usize> {
    let row = if wanted(0) > 0 { 1 } else { ROW };
    let is_inside =
        |at: usize| at >= 4 && calls.get(at - 4..at + 5).is_some_and(|near| near.iter().all(|kind| *kind == calls[at]));
    (0..calls.len()).filter(|at| wants(calls[*at]) && (!is_inside(*at) || at.is_multiple_of(row))).collect()
}

/// One life with one fault, and the crashes after it.
fn suffer(history: &History, fault: (usize, Fault), tally: Tally) -> (Tally, BTreeMap<&'static str, usize>) {
    let scratch = Scratch::new();
    let recording = Recording::start(scratch.path(), Some(fault)).unwrap();
    let mut survivor = Survivor {
        recording: &recording,
        history,
        store: None,
        epoch: Epoch(0),
        attempt: 0,
        final_answers: BTreeSet::new(),
        refusals: BTreeMap::new(),
    };
    let lived = survivor.live();
    let Survivor { final_answers, refusals, .. } = survivor;
    let root = recording.root().to_owned();
    let trace = recording.finish();
    let mut checker = Checker::new(history, tally);
    if let Err(why) = lived {
        checker.tally.violations.push(format!("{fault:?}: {why}; met {refusals:?}"));
        return (checker.tally, refusals);
    }
    let ops = trace.ops.into_iter().map(|op| if counts(&op, &final_answers) { op } else { Op::Mark(0) });
    let trace = Trace { ops: ops.collect(), ..trace };
    look(&mut checker, (&trace, fault), &root);
    (checker.tally, refusals)
}

/// Whether it is not the mark of an answer that was not final.
fn counts(op: &Op, final_answers: &BTreeSet<Mark>) -> bool {
    let Op::Mark(number) = op else { return true };
    let mark = Mark::read(*number);
    matches!(mark, Mark::Made { .. }) || final_answers.contains(&mark)
}

/// Crashes when the fault struck, after the next answers, and in the end.
fn look(checker: &mut Checker<'_>, (trace, fault): (&Trace, (usize, Fault)), root: &std::path::Path) {
    let Some(struck) = trace.struck else {
        checker.tally.violations.push(format!("{fault:?} never struck"));
        return;
    };
    let last = trace.ops.len() - 1;
    let mut answers = 0;
    walk((Disk::empty(), Progress::default()), &trace.ops, |at, disk, progress| {
        let answered = at > struck && matches!(trace.ops[at], Op::Mark(_));
        answers += usize::from(answered);
        if at == struck || at == last || (answered && answers < 3) {
            for (how, remains) in crashes(disk, 1, SEED ^ at as u64) {
                checker.expect(&remains, progress.calls(), &|| format!("{fault:?}, after change {at}, {how}"));
            }
        }
        if at == last
            && let Some(difference) = disk.killed().difference(root, "-shm")
        {
            checker.tally.violations.push(format!("{fault:?}: not everything was recorded: {difference}"));
        }
    });
}

fn faults(what: &str, fault: &[Fault], wants: impl Fn(Kind) -> bool) -> BTreeMap<&'static str, usize> {
    let ticks = cpu_ticks();
    let history = History::new(varied(SEED));
    let calls = record(&history).calls;
    let mut tally = Tally::default();
    let (mut injected, mut met) = (BTreeMap::new(), BTreeMap::new());
    for at in targets(&calls, wants) {
        for fault in fault {
            let (after, refusals) = suffer(&history, (at, *fault), tally);
            tally = after;
            *injected.entry(calls[at]).or_insert(0) += 1;
            refusals.into_iter().for_each(|(name, count)| *met.entry(name).or_insert(0) += count);
        }
    }
    tally.report(&format!("{what}: {injected:?} of {} calls made to fail, met {met:?}", calls.len()), ticks);
    met
}

#[test]
fn an_input_output_error_at_every_call() {
    let _alone = alone();
    let met = faults("EIO", &[Fault::Error(EIO)], |_| true);
    assert!(met["unknown"] > 0 && met["unavailable"] > 0, "{met:?}");
}

#[test]
fn a_full_disk_from_every_call_on() {
    let _alone = alone();
    let met = faults("full disk", &[Fault::Full], |kind| !matches!(kind, Kind::Sync | Kind::Remove));
    assert!(met["full"] > 0, "{met:?}");
}

#[test]
fn a_failing_sync_at_every_sync() {
    let _alone = alone();
    let failures = [Fault::SyncLost, Fault::SyncEvicted, Fault::SyncLanded, Fault::Error(libc::ENOSPC)];
    let met = faults("failing sync", &failures, |kind| kind == Kind::Sync);
    assert!(met["unknown"] > 0, "{met:?}");
}
