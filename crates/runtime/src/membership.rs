//! Which shards this node wants: tells the others that it is there, keeps its leases, takes free shards up to its fair
//! share, gives back what it has above it. Does nothing where the store is this process's alone.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mainstay_store::seam::{Incarnation, Members, Node};
use mainstay_vocabulary::Shard;
use tokio::sync::Notify;

use crate::{
    engine::Inner,
    error::Error,
    task::{Stage, TaskKind},
};

/// Longest time between two looks at who is there; also how long after its end a dead node's lease is noticed.
const LOOK: Duration = Duration::from_secs(1);
/// Looks in the time of one lease, at least: a renewal that fails has several more before the lease runs out.
const LOOKS_A_LEASE: u64 = 6;
/// How long a shard that is to be given back waits for inferences under way. What is not over then goes on at the next
/// holder like after a crash.
const LEAVE: Duration = Duration::from_secs(30);

/// What was seen last of who is there.
#[derive(Default)]
pub(crate) struct Directory {
    seen: RwLock<Seen>,
    look: Notify,
    /// Whether this node is about to leave.
    leaving: AtomicBool,
}

#[derive(Default)]
struct Seen {
    holders: HashMap<Shard, Incarnation>,
    nodes: HashMap<Incarnation, Node>,
}

impl Directory {
    /// Where the holder of a shard is reached, as far as this node knows.
    pub(crate) fn address(&self, shard: Shard) -> Option<String> {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        seen.holders.get(&shard).and_then(|holder| seen.nodes.get(holder)).map(|node| node.address.clone())
    }

    /// The nodes that are there.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        seen.nodes.values().cloned().collect()
    }

    /// Asks for a look at once: what was seen does not hold.
    pub(crate) fn is_stale(&self) {
        self.look.notify_one();
    }

    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    fn note(&self, members: &Members) {
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        seen.holders = members.holders.iter().copied().collect();
        seen.nodes = members.nodes.iter().map(|node| (node.incarnation, node.clone())).collect();
    }
}

/// Takes what there is for this node, then goes on looking.
///
/// # Errors
/// `Unavailable` if the store cannot be asked.
pub(crate) async fn start(inner: &Arc<Inner>) -> Result<(), Error> {
    if inner.leases.is_sole() {
        for shard in 0..inner.leases.shards() {
            inner.leases.take(Shard(shard)).await?;
        }
        return Ok(());
    }
    look(inner).await?;
    let looks = run(Arc::clone(inner));
    inner.tasks.spawn(TaskKind::Membership, looks).map_err(|_| Error::Overloaded("memberships run".into()))?;
    Ok(())
}

async fn run(inner: Arc<Inner>) {
    let lease_ms = inner.journal.store.lease_ms().unwrap_or_default();
    let pause = LOOK.min(Duration::from_millis(lease_ms / LOOKS_A_LEASE));
    let mut stage = inner.tasks.stage();
    while *stage.borrow_and_update() != Stage::Stopped {
        if let Err(error) = look(&inner).await {
            tracing::warn!(%error, "the store does not answer about nodes and leases");
        }
        for shard in inner.leases.run_out() {
            inner.lose(shard);
        }
        tokio::select! {
            biased;
            _ = stage.changed() => {}
            () = inner.directory.look.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One look: keep, tell, see, take, give back.
async fn look(inner: &Arc<Inner>) -> Result<(), Error> {
    for shard in inner.leases.keep().await? {
        inner.lose(shard);
    }
    let store = &inner.journal.store;
    let me = Node {
        incarnation: inner.leases.incarnation(),
        address: inner.address.clone(),
        draining: inner.directory.is_leaving(),
    };
    store.announce(me).await?;
    let members = store.members().await?;
    inner.directory.note(&members);
    let share = share(&members, inner.leases.incarnation(), inner.leases.shards());
    let serving = inner.leases.serving();
    if serving.len() < share {
        let taken = take(inner, &members, share - serving.len()).await?;
        if taken > 0 {
            inner.recovery.notify_one();
        }
    }
    // While the process stops, the drain gives back everything.
    if serving.len() > share && !inner.directory.is_leaving() {
        let mut surplus = serving;
        surplus.sort_unstable();
        for shard in surplus.drain(share..) {
            begin_to_leave(inner, shard);
        }
    }
    Ok(())
}

/// How many shards are this node's share. The shares of all nodes that stay add up to all shards.
fn share(members: &Members, me: Incarnation, shards: u16) -> usize {
    let mut staying: Vec<Incarnation> =
        members.nodes.iter().filter(|node| !node.draining).map(|node| node.incarnation).collect();
    staying.sort_unstable();
    let Some(rank) = staying.iter().position(|node| *node == me) else { return 0 };
    let (shards, nodes) = (usize::from(shards), staying.len());
    shards / nodes + usize::from(rank < shards % nodes)
}

/// Takes up to `wanted` shards that nobody holds. Nodes begin at different places, so that they seldom want the same.
async fn take(inner: &Arc<Inner>, members: &Members, wanted: usize) -> Result<usize, Error> {
    let held: HashSet<Shard> = members.holders.iter().map(|(shard, _)| *shard).collect();
    let mine: HashSet<Shard> = inner.leases.held().into_iter().collect();
    let shards = inner.leases.shards();
    let begin = u16::from_be_bytes([inner.leases.incarnation()[0], inner.leases.incarnation()[1]]) % shards;
    let free = (0..shards)
        .map(|offset| Shard(((u32::from(begin) + u32::from(offset)) % u32::from(shards)) as u16))
        .filter(|shard| !held.contains(shard) && !mine.contains(shard));
    let mut taken = 0;
    for shard in free {
        if taken == wanted {
            break;
        }
        taken += usize::from(inner.leases.take(shard).await?);
    }
    if taken > 0 {
        tracing::info!(taken, "shards taken");
    }
    Ok(taken)
}

/// Before this node stops: gives back each shard once nothing is under way in it, and all at the end of `within`. Commands
/// are taken meanwhile, and go to the next holders.
pub(crate) async fn hand_over(inner: &Arc<Inner>, within: Duration) {
    if inner.leases.is_sole() {
        return;
    }
    inner.directory.leaving.store(true, Ordering::Relaxed);
    inner.directory.is_stale();
    let shards = inner.leases.held();
    shards.iter().for_each(|shard| inner.leases.leave(*shard));
    let leave = |shard: Shard| async move {
        let _ = tokio::time::timeout(within, inner.until_resting(shard)).await;
        give_back(inner, shard).await;
    };
    futures_util::future::join_all(shards.into_iter().map(leave)).await;
}

/// Gives back what was taken meanwhile.
pub(crate) async fn give_back_all(inner: &Arc<Inner>) {
    if !inner.leases.is_sole() {
        futures_util::future::join_all(inner.leases.held().into_iter().map(|shard| give_back(inner, shard))).await;
    }
}

/// Gives a shard back once nothing is under way in it, or its time is over.
fn begin_to_leave(inner: &Arc<Inner>, shard: Shard) {
    inner.leases.leave(shard);
    let leaving = Arc::clone(inner);
    let leave = async move {
        let _ = tokio::time::timeout(LEAVE, leaving.until_resting(shard)).await;
        give_back(&leaving, shard).await;
    };
    // There may be as many as there are shards.
    let _ = inner.tasks.spawn(TaskKind::Handover, leave);
}

/// Gives a shard back now.
pub(crate) async fn give_back(inner: &Arc<Inner>, shard: Shard) {
    let Some(lease) = inner.leases.forget(shard) else { return };
    inner.hub.reset_shard(shard);
    let _ = tokio::time::timeout(LOOK, inner.until_empty(shard)).await;
    if let Err(error) = inner.journal.store.release(lease).await {
        tracing::warn!(shard = shard.0, %error, "a shard was not given back; its lease runs out instead");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_fair_and_add_up() {
        for (nodes, draining) in [(1, 0), (2, 0), (3, 0), (3, 1), (7, 3), (300, 0)] {
            let node = |number: u16| Node {
                incarnation: [number.to_be_bytes(); 8].concat().try_into().unwrap(),
                address: String::new(),
                draining: number < draining,
            };
            let members = Members { nodes: (0..nodes).rev().map(node).collect(), holders: Vec::new() };
            let shares: Vec<usize> = members.nodes.iter().map(|node| share(&members, node.incarnation, 256)).collect();
            assert_eq!(shares.iter().sum::<usize>(), 256);
            let staying = members.nodes.iter().zip(&shares).filter(|(node, _)| !node.draining);
            let staying: Vec<usize> = staying.map(|(_, share)| *share).collect();
            assert!(staying.iter().max().unwrap() - staying.iter().min().unwrap() <= 1);
            assert_eq!(share(&members, [9; 16], 256), 0, "a node that is not announced takes nothing");
        }
    }
}
