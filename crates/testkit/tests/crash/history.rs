//! What a process asks of a store, in order, and what the model says the store holds after each call. A crash must leave
//! what it held after one of them: none that was answered is missing, and each is there whole or not at all.

use mainstay_store::{
    Error, Store,
    seam::{Batch, Blob, Idempotency, IndexChange, Lease, Move, Slice, WakeupChange},
};
use mainstay_testkit::store::{
    Memory,
    random::Random,
    sample::{SHARD, batch, session},
    wait::wait,
};
use mainstay_vocabulary::{Epoch, OpId, Timestamp};

use crate::content::{ACCOUNTS, BLOBS, Content, KINDS, SCOPES, SESSIONS};

/// One call.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Acquire,
    Commit(Box<Batch>),
    Append(Slice),
    Sweep(Timestamp),
}

/// What is asked next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// These calls at once: the first alone in a transaction, all others in the next.
    Burst(Vec<Call>),
    /// The store is closed and opened.
    Reopen,
}

/// What a call is answered, as far as it is compared: the sequence of a commit, the epoch of an acquire, else 0.
pub(crate) type Outcome = Result<u64, Error>;

/// The steps of a life and what the model makes of them.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) steps: Vec<Step>,
    /// What is held after so many calls.
    contents: Vec<Content>,
    /// The same, by the first number of calls with equal content.
    first_equal: Vec<usize>,
    epochs: Vec<u64>,
    answers: Vec<Outcome>,
}

impl Call {
    /// Makes it; `epoch` is the lease's.
    pub(crate) fn make<'a>(&self, store: &'a dyn Store, epoch: Epoch) -> mainstay_store::seam::Answer<'a, u64> {
        let lease = Lease { shard: SHARD, epoch };
        match self.clone() {
            Self::Acquire => {
                let answer = store.acquire(SHARD, [7; 16]);
                Box::pin(async { answer.await.map(|lease| lease.epoch.0) })
            }
            Self::Commit(batch) => {
                let answer = store.commit(lease, *batch);
                Box::pin(async { answer.await.map(|committed| committed.sequence.0) })
            }
            Self::Append(slice) => {
                let answer = store.append_frames(lease, slice);
                Box::pin(async { answer.await.map(|()| 0) })
            }
            Self::Sweep(now) => {
                let answer = store.sweep(SHARD, now);
                Box::pin(async { answer.await.map(|()| 0) })
            }
        }
    }
}

impl History {
    /// Runs steps on the model.
    pub(crate) fn new(steps: Vec<Step>) -> Self {
        let model = Memory::default();
        let mut history = Self { steps, ..Self::default() };
        let mut epoch = Epoch(0);
        history.note(&model, epoch);
        let calls: Vec<Call> = history.calls().cloned().collect();
        for call in &calls {
            let answer = wait(call.make(&model, epoch));
            if let (Call::Acquire, Ok(given)) = (call, &answer) {
                epoch = Epoch(*given);
            }
            history.answers.push(answer);
            history.note(&model, epoch);
        }
        history
    }

    /// This life up to so many calls, and another one after it.
    pub(crate) fn continued(&self, calls: usize, steps: Vec<Step>) -> Self {
        let lived = self.calls().take(calls).map(|call| Step::Burst(vec![call.clone()]));
        Self::new(lived.chain(steps).collect())
    }

    fn note(&mut self, model: &Memory, epoch: Epoch) {
        let content = Content::read(model).unwrap();
        let equal = self.contents.last().is_some_and(|last| *last == content);
        let first = if equal { *self.first_equal.last().unwrap() } else { self.contents.len() };
        self.first_equal.push(first);
        self.contents.push(content);
        self.epochs.push(epoch.0);
    }

    fn calls(&self) -> impl Iterator<Item = &Call> {
        self.steps.iter().flat_map(|step| match step {
            Step::Burst(calls) => calls.as_slice(),
            Step::Reopen => &[],
        })
    }

    /// How many calls there are.
    pub(crate) fn length(&self) -> usize {
        self.answers.len()
    }

    /// What the model answered.
    pub(crate) fn answer(&self, call: usize) -> &Outcome {
        &self.answers[call]
    }

    /// The epoch after so many calls.
    pub(crate) fn epoch(&self, calls: usize) -> u64 {
        self.epochs[calls]
    }

    /// What is held after so many calls.
    pub(crate) fn content(&self, calls: usize) -> &Content {
        &self.contents[calls]
    }

    /// The fewest calls after which this is held; `None` if it never is.
    pub(crate) fn find(&self, content: &Content) -> Option<usize> {
        self.contents.iter().position(|held| held == content)
    }

    /// Whether what is held after `found` calls is also held after some number of them in the range.
    pub(crate) fn is_within(&self, found: usize, mut range: std::ops::RangeInclusive<usize>) -> bool {
        range.any(|calls| self.first_equal[calls] == self.first_equal[found])
    }
}

/// A long life: everything that a batch can carry, group commits, blobs as rows and as files, an erasure, takeovers,
/// and enough of it that the log is checkpointed and begun anew several times.
pub(crate) fn long(seed: u64, steps: usize) -> Vec<Step> {
    let mut author = Author::new(seed);
    let mut script = vec![Step::Burst(vec![Call::Acquire])];
    for number in 0..SESSIONS - 1 {
        script.push(Step::Burst(vec![author.commit(number)]));
    }
    for step in 0..steps {
        match step * 12 / steps {
            now if now == (step + 1) * 12 / steps => {}
            1 | 6 => script.push(Step::Burst(vec![author.large_blob(0)])),
            3 => script.push(Step::Burst(vec![Call::Acquire])),
            4 | 10 => script.extend([Step::Reopen, Step::Burst(vec![Call::Acquire])]),
            5 => script.push(Step::Burst(vec![Call::Sweep(Timestamp(50))])),
            8 => script.push(Step::Burst(vec![author.erase(0)])),
            _ => {}
        }
        let calls = if author.random.percent(35) { author.random.below(7) + 2 } else { 1 };
        script.push(Step::Burst((0..calls).map(|_| author.call()).collect()));
    }
    script
}

/// A life with one of everything, for faults: small, but for one event that fills the log.
pub(crate) fn varied(seed: u64) -> Vec<Step> {
    let mut author = Author::new(seed);
    let mut script = vec![Step::Burst(vec![Call::Acquire]), Step::Burst(vec![author.commit(0)])];
    script.push(Step::Burst((1..4).flat_map(|number| [author.commit(number), author.append(number)]).collect()));
    script.push(Step::Burst(vec![author.large_blob(0)]));
    let mut filling = author.batch(1);
    filling.events[0] = vec![5; 1_100_000].into();
    script.push(Step::Burst(vec![Call::Commit(Box::new(filling))]));
    script.push(Step::Burst(vec![author.commit(1), author.append(1), author.commit(2)]));
    script.push(Step::Burst(vec![author.erase(0)]));
    script.extend([Step::Reopen, Step::Burst(vec![Call::Acquire]), Step::Burst(vec![author.commit(2)])]);
    script
}

/// A short life for the time after a crash, of a process that has found so many events of each session.
pub(crate) fn short() -> Vec<Step> {
    let last = session(SESSIONS - 1);
    let mut second = batch(last, 1, &["written after a crash", "twice"]);
    second.open = true;
    second.blobs.push(Blob { digest: [0; 32], bytes: vec![9; 300_000].into() });
    vec![
        Step::Burst(vec![Call::Acquire]),
        Step::Burst(vec![Call::Commit(Box::new(batch(last, 0, &["after a crash"])))]),
        Step::Burst(vec![Call::Commit(Box::new(second))]),
    ]
}

/// Writes calls that the model accepts.
struct Author {
    random: Random,
    heads: [u64; SESSIONS as usize],
    ordinals: [u64; SESSIONS as usize],
    scope: u8,
}

impl Author {
    fn new(seed: u64) -> Self {
        let none = [0; SESSIONS as usize];
        Self { random: Random::new(seed), heads: none, ordinals: none, scope: 0 }
    }

    fn call(&mut self) -> Call {
        let number = self.random.below(u64::from(SESSIONS) - 1) as u8;
        // Session 0 is erased one day and takes no slices after it.
        if number > 0 && self.random.percent(30) { self.append(number) } else { self.commit(number) }
    }

    fn append(&mut self, number: u8) -> Call {
        let first = self.ordinals[usize::from(number)];
        let last = first + self.random.below(3);
        self.ordinals[usize::from(number)] = last + 1;
        let length = 20 + self.random.below(200) as usize;
        Call::Append(Slice { session: session(number), first, last, bytes: self.random.bytes(length).into() })
    }

    fn batch(&mut self, number: u8) -> Batch {
        let random = &mut self.random;
        let mut batch = batch(session(number), self.heads[usize::from(number)], &[]);
        batch.op = OpId(random.number().to_be_bytes().repeat(2).try_into().unwrap());
        for _ in 0..=random.below(2) {
            let length = 100 + random.below(1_400) as usize;
            batch.events.push(random.bytes(length).into());
        }
        self.heads[usize::from(number)] += batch.events.len() as u64;
        batch.chain = [random.number() as u8; 32];
        batch.open = random.percent(50);
        batch
    }

    fn commit(&mut self, number: u8) -> Call {
        let mut batch = self.batch(number);
        let random = &mut self.random;
        if random.percent(20) {
            batch.snapshot = Some(random.bytes(600).into());
        }
        if random.percent(30) {
            batch.drop_frames_below = random.below(self.ordinals[usize::from(number)] + 2);
        }
        if random.percent(30) && self.scope < SCOPES {
            let [scope, request] = [[self.scope; 32], [random.number() as u8; 32]];
            batch.idempotency = Some(Idempotency { scope, request, expires: Timestamp(random.below(100)) });
            self.scope += 1;
        }
        if random.percent(30) {
            let at = random.percent(70).then(|| Timestamp(random.below(20)));
            batch.wakeups.push(WakeupChange { key: (*random.one_of(&["retry", "deadline"])).to_owned(), at });
        }
        if random.percent(40) {
            let value = random.percent(75).then(|| random.bytes(40));
            let kind = KINDS[random.below(KINDS.len() as u64) as usize];
            batch.index.push(IndexChange { kind, key: vec![random.below(9) as u8], value });
        }
        if random.percent(20) {
            batch.moves.push(Move { account: random.one_of(&ACCOUNTS).to_vec(), amount: random.below(100) as i64 });
        }
        if random.percent(8) {
            let bytes = random.bytes(9_000).into();
            batch.blobs.push(Blob { digest: [random.below(u64::from(BLOBS)) as u8; 32], bytes });
        }
        Call::Commit(Box::new(batch))
    }

    fn large_blob(&mut self, number: u8) -> Call {
        let mut batch = self.batch(number);
        // One that is there keeps its content.
        let digest = [self.heads[0] as u8 % BLOBS; 32];
        batch.blobs.push(Blob { digest, bytes: self.random.bytes(270_000).into() });
        Call::Commit(Box::new(batch))
    }

    fn erase(&mut self, number: u8) -> Call {
        let mut batch = self.batch(number);
        batch.erase = true;
        Call::Commit(Box::new(batch))
    }
}
