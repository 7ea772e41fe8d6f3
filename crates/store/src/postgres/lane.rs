//! A lane: one connection that writes for a part of the shards. It applies the requests that gathered in memory,
//! writes what they leave as one transaction, and answers when that has committed. Start with `write`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use mainstay_vocabulary::{Epoch, Shard};

use super::{
    Options,
    bug::Bug,
    cache::Known,
    commit::{self, Ended},
    facts::{self, Facts, Questions},
    group::Group,
    link::Link,
    request::{Request, Taken, Task},
    statements::{self, Prepared},
    target::Target,
};
use crate::{
    error::Error,
    queue::Queue,
    seam::{Committed, Lease},
};

/// Most requests in one transaction: under the largest load a commit still takes some milliseconds.
const GROUP: usize = 1_024;
/// Most content in one transaction, in bytes, unless one request alone is larger.
const GROUP_BYTES: usize = 4 << 20;
/// First and longest pause between tries to reach a server that is away.
const PAUSES_MS: (u64, u64) = (20, 1_000);

/// How a shard stands with its lane. One that it does not have is fenced.
enum Standing {
    /// Writes are accepted under this epoch, on top of so many commits.
    Held(Taken),
    /// A commit ended in a way that only `acquire` can clear up.
    Doubtful,
}

/// An open connection with its statements.
struct Open {
    link: Link,
    statements: Prepared,
    questions: Vec<tokio_postgres::Statement>,
}

/// A lane's state; lives on its thread.
pub(super) struct Lane {
    target: Target,
    options: Options,
    open: Option<Open>,
    shards: HashMap<Shard, Standing>,
    known: Known,
    /// Tries to connect that failed since one did not.
    failures: u32,
}

/// What became of a group.
enum Attempt {
    Committed(Vec<Result<Committed, Error>>),
    /// Some shards are another's now; nothing was written.
    Lost,
    /// All were refused for this reason.
    Failed(Error),
}

impl Lane {
    pub(super) fn new(target: Target, options: Options) -> Self {
        let shards = HashMap::new();
        Self { target, options, open: None, shards, known: Known::default(), failures: 0 }
    }

    /// A lane's life: whatever gathered while the last commit ran is the next one.
    pub(super) async fn run(mut self, tasks: Arc<Queue<Task>>) {
        loop {
            let next = tasks.next_group(GROUP, GROUP_BYTES, |task| matches!(task, Task::Write(_)));
            let group = match &mut self.open {
                Some(open) => open.link.idle(next).await,
                None => next.await,
            };
            if group.is_empty() {
                return;
            }
            let mut writes = Vec::with_capacity(group.len());
            for task in group {
                match task {
                    Task::Write(request) => writes.push(request),
                    Task::Leave { shard, reply } => {
                        self.leave(shard);
                        drop(reply.send(Ok(())));
                    }
                    Task::Hold { taken, reply } => {
                        self.hold(taken);
                        drop(reply.send(Ok(())));
                    }
                    Task::Close { reply } => drop(reply.send(Ok(()))),
                }
            }
            if !writes.is_empty() {
                self.write(writes).await;
            }
        }
    }

    fn leave(&mut self, shard: Shard) {
        self.shards.remove(&shard);
        self.known.forget(shard);
    }

    /// Two that took it at once may come here in any order: the later epoch counts.
    fn hold(&mut self, taken: Taken) {
        let is_older = |standing: &Standing| matches!(standing, Standing::Held(held) if held.epoch > taken.epoch);
        if !self.shards.get(&taken.shard).is_some_and(is_older) {
            self.leave(taken.shard);
            self.shards.insert(taken.shard, Standing::Held(taken));
        }
    }

    /// Writes a group and answers each of it. No answer, a refusal included, is given before the commit: it may rest
    /// on what another request of the same transaction wrote. Shards share nothing, so those that are lost fail alone
    /// and the others are tried again.
    async fn write(&mut self, requests: Vec<Request>) {
        let mut waiting = self.admitted(requests);
        while !waiting.is_empty() {
            match self.attempt(&waiting).await {
                Attempt::Committed(answers) => {
                    waiting.drain(..).zip(answers).for_each(|(request, answer)| request.reply(answer));
                }
                Attempt::Failed(error) => waiting.drain(..).for_each(|request| request.reply(Err(error.clone()))),
                // At least one shard is gone now, so this ends.
                Attempt::Lost => waiting = self.admitted(waiting),
            }
        }
    }

    /// Answers those whose lease does not hold, and returns the others.
    fn admitted(&self, requests: Vec<Request>) -> Vec<Request> {
        let mut admitted = Vec::with_capacity(requests.len());
        for request in requests {
            let Lease { shard, epoch } = request.lease();
            match self.shards.get(&shard) {
                Some(Standing::Held(taken)) if taken.epoch == epoch => admitted.push(request),
                Some(Standing::Doubtful) => request.reply(Err(doubtful())),
                _ => request.reply(Err(Error::Fenced)),
            }
        }
        admitted
    }

    /// One try to write a group.
    async fn attempt(&mut self, requests: &[Request]) -> Attempt {
        let shards = self.taken(requests);
        if let Err(error) = self.connect().await {
            return Attempt::Failed(error);
        }
        let facts = match self.ask(requests).await {
            Ok(facts) => facts,
            Err(error) => return self.gave_up(&shards, error),
        };
        let mut group = Group::default();
        let answers = requests.iter().map(|request| group.apply((&self.known, &facts), request)).collect();
        let Some(open) = &mut self.open else { return Attempt::Failed(away()) };
        let mut steps = match self.options.has(Bug::NoFence) {
            false => vec![statements::fence(&shards, self.options.lease_ms)],
            true => vec![statements::no_fence(&shards)],
        };
        steps.extend(statements::of(&group));
        let ended = commit::run(&mut open.link, &open.statements, &steps).await;
        drop(steps);
        match ended {
            Ended::Unknown(_) if self.options.has(Bug::AckBeforeCommit) => Attempt::Committed(answers),
            Ended::Committed => {
                self.learn(group, &shards);
                Attempt::Committed(answers)
            }
            Ended::Fenced => self.find_lost(&shards).await,
            Ended::Nothing(error @ Error::Corrupt(_)) => {
                tracing::error!(%error, "a commit found other rows than it expected; its shards must be taken anew");
                self.doubt(&shards);
                self.gave_up(&shards, error)
            }
            Ended::Nothing(error) => self.gave_up(&shards, error),
            Ended::Unknown(why) => {
                tracing::warn!(%why, "whether a commit took place is unknown; its shards must be taken anew");
                // What the connection still does is waited for, or fenced, by `acquire` on another one.
                self.open = None;
                self.doubt(&shards);
                self.gave_up(&shards, Error::Unknown(why))
            }
        }
    }

    /// The shards of a group as they are held, in order: transactions lock them in the same one.
    fn taken(&self, requests: &[Request]) -> Vec<Taken> {
        let mut shards: Vec<Shard> = requests.iter().map(|request| request.lease().shard).collect();
        shards.sort_unstable();
        shards.dedup();
        let held = |shard| match self.shards.get(&shard) {
            Some(Standing::Held(taken)) => Some(*taken),
            _ => None,
        };
        shards.into_iter().filter_map(held).collect()
    }

    async fn ask(&mut self, requests: &[Request]) -> Result<Facts, Error> {
        let questions = Questions::of(requests.iter(), &mut self.known);
        if questions.is_empty() {
            return Ok(Facts::default());
        }
        let Some(open) = &mut self.open else { return Err(away()) };
        let Open { link, questions: statements, .. } = open;
        let known = &mut self.known;
        link.run(async |client| questions.ask(client, (statements, known)).await).await.map_err(|e| e.before())
    }

    /// Keeps what a commit made true.
    fn learn(&mut self, group: Group, shards: &[Taken]) {
        for taken in shards {
            let moved = Taken { commit_no: taken.commit_no + 1, ..*taken };
            self.shards.insert(taken.shard, Standing::Held(moved));
        }
        for session in group.sessions {
            self.known.heads.put(session.id, session.head);
        }
        for (account, amount) in group.funds {
            self.known.funds.put(account, amount);
        }
    }

    /// Nothing was written, or nobody knows: what is known of these shards is asked anew.
    fn gave_up(&mut self, shards: &[Taken], error: Error) -> Attempt {
        shards.iter().for_each(|taken| self.known.forget(taken.shard));
        if self.open.as_ref().is_some_and(|open| !open.link.is_open()) {
            self.open = None;
        }
        Attempt::Failed(error)
    }

    fn doubt(&mut self, shards: &[Taken]) {
        self.shards.extend(shards.iter().map(|taken| (taken.shard, Standing::Doubtful)));
    }

    /// Looks which shards of a fenced group are another's.
    async fn find_lost(&mut self, shards: &[Taken]) -> Attempt {
        let Some(open) = &mut self.open else { return Attempt::Failed(away()) };
        let found = commit::stand(&mut open.link, &open.statements, shards).await;
        let found = match found {
            Ok(found) => found,
            Err(error) => return self.gave_up(shards, error),
        };
        let mut lost = Vec::new();
        for taken in shards {
            match found.get(&taken.shard) {
                Some((epoch, commit_no)) if *epoch == taken.epoch => {
                    if *commit_no != taken.commit_no {
                        return self.went_back(taken, *commit_no, shards);
                    }
                }
                _ => lost.push(taken.shard),
            }
        }
        if lost.is_empty() {
            return self.gave_up(shards, Error::Unavailable("a fence failed and does so no more".to_owned()));
        }
        lost.iter().for_each(|shard| self.leave(*shard));
        Attempt::Lost
    }

    /// The database has another number of commits under our own lease: it was put back, or a standby took over that
    /// had not everything.
    fn went_back(&mut self, taken: &Taken, found: i64, shards: &[Taken]) -> Attempt {
        let (shard, known) = (taken.shard.0, taken.commit_no);
        let what =
            format!("shard {shard} has {found} commits, {known} were acknowledged: the database lost or got some");
        tracing::error!("{what}");
        self.doubt(&[*taken]);
        self.gave_up(shards, Error::Corrupt(what))
    }

    /// Connects if there is no connection, after a pause if the last tries failed.
    async fn connect(&mut self) -> Result<(), Error> {
        if self.open.as_ref().is_some_and(|open| open.link.is_open()) {
            return Ok(());
        }
        self.open = None;
        if self.failures > 0 {
            let pause = (PAUSES_MS.0 << self.failures.min(10)).min(PAUSES_MS.1);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        match self.reach().await {
            Ok(open) => {
                (self.open, self.failures) = (Some(open), 0);
                Ok(())
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                Err(error)
            }
        }
    }

    async fn reach(&self) -> Result<Open, Error> {
        let mut link = Link::reach(&self.target, &self.options).await?;
        let prepare = async |client: &tokio_postgres::Client| {
            client.batch_execute("SET mainstay.scope = 'all'").await?;
            let statements = Prepared::new(client, &statements::all()).await?;
            let mut questions = Vec::new();
            for text in facts::ALL {
                questions.push(client.prepare(text).await?);
            }
            Ok((statements, questions))
        };
        let (statements, questions) = link.run(prepare).await.map_err(|failure| failure.before())?;
        link.warnings();
        Ok(Open { link, statements, questions })
    }
}

fn away() -> Error {
    Error::Unavailable("the database is away".to_owned())
}

/// Not `Unavailable`: waiting alone would never help.
fn doubtful() -> Error {
    Error::Unknown("a commit ended without an answer; the shard must be taken anew".to_owned())
}

/// An epoch as PostgreSQL keeps it.
pub(super) const fn epoch(number: i64) -> Epoch {
    Epoch(number as u64)
}
