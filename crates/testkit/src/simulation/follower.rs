//! Followers: see a session's stream from some place on, go away, and come back with the cursor that they hold.

use std::{sync::Arc, time::Duration};

use mainstay_runtime::{
    Follow, From as Since,
    task::{TaskKind, Tasks},
};
use mainstay_session::feed::{Cursor, Moment};
use mainstay_vocabulary::{Sequence, SessionId};

use super::{
    client::{Clients, pick},
    world::{Follower, Shared, World, short},
};

/// How long a follower stays, milliseconds.
const STAYS_MS: [u64; 5] = [1, 30, 500, 10_000, 120_000];

impl Follower {
    fn new(session: SessionId, process: u32, begin: Option<Cursor>) -> Self {
        Self { session, process, begin, seen: Vec::new(), is_connected: true, returned: false }
    }
}

impl Clients {
    /// Somebody begins to follow a session.
    pub(super) fn follow(&self) {
        let (number, since) = {
            let mut world = self.world.lock();
            let Some(session) = pick(&mut world) else { return };
            let last = world.sessions[&session].state.sequence;
            let place = Sequence(world.random.below(last.0 + 1));
            let (since, begin) = match world.random.below(3) {
                0 => (Since::Now, None),
                1 => (Since::Start, Some(Cursor::default())),
                _ => (Since::After(place), Some(Cursor { sequence: place, ordinal: 0 })),
            };
            world.note(format_args!("follow {} {since:?}", short(session)));
            world.followers.push(Follower::new(session, self.process, begin));
            (world.followers.len() - 1, since)
        };
        self.connect(number, since);
    }

    /// A follower that went away comes back with the cursor that it holds.
    pub(super) fn come_back(&self) {
        let (number, since) = {
            let mut world = self.world.lock();
            let away = world.followers.iter().enumerate();
            let away = away.filter(|(_, follower)| !follower.is_connected && !follower.seen.is_empty());
            let away: Vec<_> = away.map(|(number, _)| number).collect();
            if away.is_empty() {
                return;
            }
            let number = *world.random.one_of(&away);
            world.followers[number].is_connected = true;
            world.followers[number].returned = true;
            world.followers[number].process = self.process;
            let held = world.followers[number].seen.last().map(|moment| moment.cursor).unwrap_or_default();
            world.note(format_args!("follower {number} comes back after {held:?}"));
            (number, Since::After(held.sequence))
        };
        self.connect(number, since);
    }

    fn connect(&self, number: usize, since: Since) {
        let stays = stay(&mut self.world.lock());
        let (engine, world, process) = (Arc::clone(&self.engine), self.world.clone(), self.process);
        self.spawn(async move {
            let session = world.lock().followers[number].session;
            if let Ok(follow) = engine.follow(&World::caller(), session, since).await {
                watch(&world, (number, process, follow), stays).await;
            }
            disconnect(&mut world.lock(), number, process);
        });
    }
}

/// Follows on from a command.
pub(super) fn attend(
    world: &Shared,
    (tasks, process): (&Tasks, u32),
    (first, follow): (Sequence, Follow),
    session: SessionId,
) {
    let (number, stays) = {
        let mut world = world.lock();
        let begin = Some(Cursor { sequence: Sequence(first.0 - 1), ordinal: u64::MAX });
        world.followers.push(Follower::new(session, process, begin));
        (world.followers.len() - 1, stay(&mut world))
    };
    let kept = world.clone();
    let spawned = tasks.spawn(TaskKind::Connection, async move {
        watch(&kept, (number, process, follow), stays).await;
        disconnect(&mut kept.lock(), number, process);
    });
    if spawned.is_err() {
        world.lock().violate("there are too many connections");
    }
}

/// The follower has left its process; it may be back at another already.
fn disconnect(world: &mut World, number: usize, process: u32) {
    let follower = &mut world.followers[number];
    follower.is_connected &= follower.process != process;
}

/// Takes what is shown until the follower leaves.
async fn watch(world: &Shared, (number, process, mut follow): (usize, u32, Follow), stays: Duration) {
    let all = async {
        while let Some(Ok(moments)) = follow.next().await {
            let mut world = world.lock();
            // A dead process shows nothing.
            if world.dead.contains(&process) {
                break;
            }
            show(&mut world, number, moments);
        }
    };
    let _ = tokio::time::timeout(stays, all).await;
}

fn show(world: &mut World, number: usize, moments: Vec<Moment>) {
    let session = short(world.followers[number].session);
    for moment in moments {
        let follower = &mut world.followers[number];
        let begin = follower.seen.first().map(|seen| seen.cursor).or(follower.begin);
        let last = follower.seen.last().map(|seen| seen.cursor).or(follower.begin);
        if last.is_none_or(|last| moment.cursor > last) {
            follower.seen.push(moment);
        } else if begin.is_some_and(|begin| moment.cursor < begin)
            || follower.begin == begin && follower.seen.is_empty()
        {
            // From before it began: a return asks by event, and the wire leaves out what stood before the cursor.
        } else if !follower.seen.iter().rev().any(|seen| *seen == moment) || !follower.returned {
            world.violate(format_args!("{session}: follower {number} is shown {:?} out of order", moment.cursor));
        }
    }
}

fn stay(world: &mut World) -> Duration {
    Duration::from_millis(*world.random.one_of(&STAYS_MS))
}
