//! The model as a whole: what its operator sees, and the receiving end of a copy.

use std::{collections::HashMap, path::PathBuf};

use mainstay_store::{
    Error,
    seam::{Answer, Digest, MAX_ROWS},
    whole::{Holding, Outline, Page, Part, Piece, Place, Receiver, Record, Seen, Standing, Whole, page},
};
use mainstay_vocabulary::{Epoch, OpId, Sequence, SessionId, Shard, Timestamp};

use super::{Lane, Memory, Session, State};

impl Whole for Memory {
    fn standing(&self, now: Timestamp) -> Answer<'_, Standing> {
        self.gather(|state| standing(state, now))
    }

    fn backup(&self, _: PathBuf, _: Seen) -> Answer<'_, ()> {
        Box::pin(std::future::ready(Err(Error::Unsupported("what is in memory only cannot be backed up".to_owned()))))
    }

    fn shards(&self) -> u16 {
        self.lock().shards.keys().map(|shard| shard.0 + 1).max().unwrap_or(1)
    }

    fn sessions(&self, shard: Shard, after: Option<SessionId>, limit: usize) -> Answer<'_, Vec<SessionId>> {
        self.with(shard, |lane| {
            let later = lane.sessions.keys().filter(|id| after.is_none_or(|after| **id > after));
            Ok(later.take(limit.min(MAX_ROWS)).copied().collect())
        })
    }

    fn outline(&self, session: SessionId) -> Answer<'_, Option<Outline>> {
        self.look(session, |session| Some(outline(session)))
    }

    fn pieces(&self, session: SessionId, after: Option<Place>) -> Answer<'_, Page<Piece>> {
        self.with(session.shard(), |lane| {
            let found = pieces(lane, session).into_iter().filter(|piece| Some(piece.place()) > after);
            Ok(page(found, MAX_ROWS, Piece::bytes))
        })
    }

    fn records(&self, shard: Shard, after: Option<Place>) -> Answer<'_, Page<Record>> {
        self.with(shard, |lane| {
            let scopes = lane.idempotency.iter().map(|(scope, (remembered, expires))| Record::Scope {
                scope: *scope,
                remembered: remembered.clone(),
                expires: *expires,
            });
            let funds =
                lane.funds.iter().map(|(account, amount)| Record::Funds { account: account.clone(), amount: *amount });
            let mut found: Vec<Record> = scopes.chain(funds).collect();
            found.sort_by_key(Record::place);
            Ok(page(found.into_iter().filter(|record| Some(record.place()) > after), MAX_ROWS, |_| 0))
        })
    }
}

impl Receiver for Memory {
    fn begin(&self, origin: Digest, shards: Vec<(Shard, Epoch)>) -> Answer<'_, Option<SessionId>> {
        let mut state = self.lock();
        let answer = match state.copy {
            Some((begun, last)) if begun == origin => Ok(last),
            None if state.shards.values().all(|lane| lane.epoch.0 == 0) => {
                state.copy = Some((origin, None));
                for (shard, epoch) in shards {
                    state.shards.entry(shard).or_default().epoch = epoch;
                }
                Ok(None)
            }
            _ => Err(Error::Unsupported("something else is in the store".to_owned())),
        };
        drop(state);
        Box::pin(std::future::ready(answer))
    }

    fn receive(&self, parts: Vec<Part>) -> Answer<'_, ()> {
        let mut state = self.lock();
        for part in parts {
            let lane = state.shards.entry(part.session.shard()).or_default();
            take(lane, part);
        }
        drop(state);
        Box::pin(std::future::ready(Ok(())))
    }

    fn receive_records(&self, shard: Shard, records: Vec<Record>) -> Answer<'_, ()> {
        self.with(shard, |lane| {
            for record in records {
                match record {
                    Record::Scope { scope, remembered, expires } => {
                        lane.idempotency.insert(scope, (remembered, expires));
                    }
                    Record::Funds { account, amount } => {
                        lane.funds.insert(account, amount);
                    }
                }
            }
            Ok(())
        })
    }

    fn note(&self, session: SessionId) -> Answer<'_, ()> {
        if let Some((_, last)) = &mut self.lock().copy {
            *last = Some(session);
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn finish(&self) -> Answer<'_, ()> {
        self.lock().copy = None;
        Box::pin(std::future::ready(Ok(())))
    }
}

fn standing(state: &State, now: Timestamp) -> Standing {
    let count = |of: &dyn Fn(&Lane) -> usize| state.shards.values().map(of).sum::<usize>() as u64;
    let holding = |(shard, lane): (&Shard, &Lane)| Holding {
        shard: *shard,
        epoch: lane.epoch,
        commits: 0,
        holder: None,
        is_held: false,
    };
    // Looking at a shard makes a lane for it; only taking it counts.
    let taken = state.shards.iter().filter(|(_, lane)| lane.epoch.0 > 0);
    let mut shards: Vec<_> = taken.map(holding).collect();
    shards.sort_by_key(|holding| holding.shard);
    Standing {
        backend: "memory".to_owned(),
        sessions: count(&|lane| lane.sessions.len()),
        open: count(&|lane| lane.open.len()),
        erased: count(&|lane| lane.sessions.values().filter(|session| session.erased).count()),
        events: count(&|lane| lane.sessions.values().map(|session| session.events.len()).sum()),
        wakeups: (
            count(&|lane| lane.wakeups.len()),
            count(&|lane| lane.wakeups.iter().take_while(|(at, _, _)| *at <= now).count()),
        ),
        idempotency: count(&|lane| lane.idempotency.len()),
        shards,
        ..Standing::default()
    }
}

fn outline(session: &Session) -> Outline {
    Outline {
        tenant: session.tenant.clone(),
        sequence: session.sequence,
        chain: session.chain,
        open: session.open,
        erased: session.erased,
        frame_next: session.frame_next,
        snapshot: session.snapshot.clone(),
    }
}

fn pieces(lane: &Lane, id: SessionId) -> Vec<Piece> {
    let Some(session) = lane.sessions.get(&id) else { return Vec::new() };
    let ops: HashMap<Sequence, OpId> = session.ops.iter().copied().collect();
    let mut found: Vec<Piece> = Vec::new();
    found.extend(session.events.iter().zip(session.begin..).map(|(bytes, before)| Piece::Event {
        sequence: Sequence(before + 1),
        op: ops.get(&Sequence(before)).copied(),
        bytes: bytes.clone(),
    }));
    found.extend(session.quiet.iter().map(|(expected, op)| Piece::Quiet { expected: *expected, op: *op }));
    found.extend(session.frames.iter().map(|slice| Piece::Slice {
        first: slice.first,
        last: slice.last,
        bytes: slice.bytes.clone(),
    }));
    found.extend(session.blobs.iter().map(|(digest, bytes)| Piece::Blob { digest: *digest, bytes: bytes.clone() }));
    found.extend(session.wakeups.iter().map(|(key, at)| Piece::Wakeup { key: key.clone(), at: *at }));
    let rows = lane.index.iter().filter(|(_, (owner, _))| *owner == id);
    found.extend(rows.map(|((_, kind, key), (_, value))| Piece::Row {
        kind: kind.clone(),
        key: key.clone(),
        value: value.clone(),
    }));
    found.sort_by_key(Piece::place);
    found
}

fn take(lane: &mut Lane, part: Part) {
    let Part { session: id, outline, pieces } = part;
    if outline.open {
        lane.open.insert(id);
    }
    let session = lane.sessions.entry(id).or_insert_with(|| Session::new(outline.tenant.clone()));
    (session.sequence, session.chain) = (outline.sequence, outline.chain);
    (session.open, session.erased) = (outline.open, outline.erased);
    (session.frame_next, session.snapshot) = (outline.frame_next, outline.snapshot);
    if session.events.is_empty() {
        session.begin = outline.sequence.0;
    }
    for piece in pieces {
        match piece {
            Piece::Event { sequence, op, bytes } => {
                if session.events.is_empty() {
                    session.begin = sequence.0 - 1;
                }
                session.ops.extend(op.map(|op| (Sequence(sequence.0 - 1), op)));
                session.events.push(bytes);
            }
            Piece::Quiet { expected, op } => drop(session.quiet.insert((expected, op))),
            Piece::Slice { first, last, bytes } => {
                session.frames.push_back(mainstay_store::seam::Slice { session: id, first, last, bytes });
            }
            Piece::Blob { digest, bytes } => drop(session.blobs.insert(digest, bytes)),
            Piece::Wakeup { key, at } => {
                lane.wakeups.insert((at, id, key.clone()));
                session.wakeups.insert(key, at);
            }
            Piece::Row { kind, key, value } => {
                lane.index.insert((outline.tenant.clone(), kind, key), (id, value));
            }
        }
    }
}
