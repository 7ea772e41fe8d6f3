//! What a lane has seen lately of the shards that it holds, so that most batches are checked without a query. True
//! only while the lease is: only the holder changes it.

use std::{borrow::Borrow, collections::HashMap, hash::Hash};

use mainstay_vocabulary::{SessionId, Shard, Tenant};

use crate::seam::Digest;

/// Values kept in each of the two generations: the sessions that stream at once, several times over, and more than
/// twice what one group asks for, so that nothing is lost between being looked up and being used.
const GENERATION: usize = 8_192;

/// Where a session stands, as of the group under way.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) tenant: Tenant,
    pub(super) sequence: u64,
    pub(super) chain: Digest,
    pub(super) open: bool,
    pub(super) erased: bool,
    /// One more than the highest ordinal ever written.
    pub(super) frame_next: u64,
    pub(super) frame_floor: u64,
}

/// An escrow account: its shard and name.
pub(super) type Account = (Shard, Vec<u8>);

/// What is known.
#[derive(Default)]
pub(super) struct Known {
    pub(super) heads: Generations<SessionId, Head>,
    pub(super) funds: Generations<Account, i64>,
}

impl Known {
    /// Forgets what is known of a shard.
    pub(super) fn forget(&mut self, shard: Shard) {
        self.heads.retain(|id| id.shard() != shard);
        self.funds.retain(|(of, _)| *of != shard);
    }
}

/// Two generations: when the recent one is full it becomes the older one, and what was not used meanwhile is gone.
pub(super) struct Generations<K, V> {
    recent: HashMap<K, V>,
    older: HashMap<K, V>,
}

impl<K, V> Default for Generations<K, V> {
    fn default() -> Self {
        Self { recent: HashMap::new(), older: HashMap::new() }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Generations<K, V> {
    /// Whether it is there; then it is a recent one.
    pub(super) fn touch(&mut self, key: &K) -> bool {
        if self.recent.contains_key(key) {
            return true;
        }
        match self.older.remove(key) {
            Some(value) => {
                self.put(key.clone(), value);
                true
            }
            None => false,
        }
    }

    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.recent.get(key).or_else(|| self.older.get(key))
    }

    pub(super) fn put(&mut self, key: K, value: V) {
        if self.recent.len() >= GENERATION && !self.recent.contains_key(&key) {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(key, value);
    }

    fn retain(&mut self, keeps: impl Fn(&K) -> bool) {
        self.recent.retain(|key, _| keeps(key));
        self.older.retain(|key, _| keeps(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_group_touches_survives_what_it_loads() {
        let mut generations = Generations::default();
        generations.put(0, 0);
        (1..=GENERATION).for_each(|number| generations.put(number, 0));
        assert!(generations.touch(&0), "it was in the older generation");
        (0..1_024).for_each(|number| generations.put(100_000 + number, 0));
        assert_eq!(generations.get(&0), Some(&0));
        (0..2 * GENERATION).for_each(|number| generations.put(200_000 + number, 0));
        assert_eq!(generations.get(&0), None);
        assert!(generations.recent.len() + generations.older.len() <= 2 * GENERATION);
    }
}
