//! A bounded queue between callers and a thread: many push without waiting, one or several take. Bounded by count and
//! by bytes; when it is full the caller is told at once, because a call must not block an executor. A thread takes
//! either by sleeping (`take`, `take_group`) or inside a runtime of its own (`next`, `next_group`).

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Most requests that wait. Every session of a full recovery (10,000 turns) fits several times over.
const WAITING: usize = 65_536;
/// Most content that waits, in bytes.
const WAITING_BYTES: usize = 256 << 20;

/// Why a push was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Too much waits.
    Overloaded,
    /// Nobody takes any more.
    Closed,
}

struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    sleeping: usize,
    closed: bool,
}

impl<T> State<T> {
    fn pop(&mut self) -> Option<T> {
        let (item, bytes) = self.items.pop_front()?;
        self.bytes -= bytes;
        Some(item)
    }

    fn pop_group(&mut self, (most, most_bytes): (usize, usize), joins: impl Fn(&T) -> bool) -> Vec<T> {
        let mut group = Vec::new();
        let mut taken_bytes = 0;
        while let Some((item, bytes)) = self.items.front() {
            let fits = group.len() < most && taken_bytes + bytes <= most_bytes && joins(item);
            if !group.is_empty() && !fits {
                break;
            }
            let alone = !joins(item);
            taken_bytes += bytes;
            group.extend(self.items.pop_front().map(|(item, _)| item));
            if alone {
                break;
            }
        }
        self.bytes -= taken_bytes;
        group
    }
}

/// The queue.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    /// The same for those that wait in a runtime.
    told: Notify,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        let state = State { items: VecDeque::new(), bytes: 0, sleeping: 0, closed: false };
        Self { state: Mutex::new(state), arrived: Condvar::new(), told: Notify::new() }
    }

    /// Adds an item that holds so many bytes of content.
    pub(crate) fn push(&self, item: T, bytes: usize) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.items.len() >= WAITING || (state.bytes > 0 && state.bytes + bytes > WAITING_BYTES) {
            return Err(Refused::Overloaded);
        }
        state.bytes += bytes;
        state.items.push_back((item, bytes));
        let wake = state.sleeping > 0;
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
        self.told.notify_one();
        Ok(())
    }

    /// Refuses later pushes; what waits is still taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
        self.told.notify_waiters();
        // One that is about to wait, and had looked before.
        self.told.notify_one();
    }

    /// Waits for an item. `None`: closed and empty.
    pub(crate) fn take(&self) -> Option<T> {
        self.wait().pop()
    }

    /// The same in a runtime.
    pub(crate) async fn next(&self) -> Option<T> {
        self.next_group(1, usize::MAX, |_| true).await.pop()
    }

    /// Waits for items and takes from the front while they fit into both bounds and `joins` says that they may share
    /// a group with what was taken before; at least one. Empty: closed and nothing left.
    pub(crate) fn take_group(&self, most: usize, most_bytes: usize, joins: impl Fn(&T) -> bool) -> Vec<T> {
        self.wait().pop_group((most, most_bytes), joins)
    }

    /// The same in a runtime.
    pub(crate) async fn next_group(&self, most: usize, most_bytes: usize, joins: impl Fn(&T) -> bool) -> Vec<T> {
        let mut arrived = pin!(self.told.notified());
        loop {
            {
                let mut state = self.lock();
                if !state.items.is_empty() || state.closed {
                    return self.passed_on(&mut state, |state| state.pop_group((most, most_bytes), &joins));
                }
            }
            arrived.as_mut().await;
            arrived.set(self.told.notified());
        }
    }

    /// Takes, and wakes another that waits if something is left: several pushes may have told only one.
    fn passed_on<R>(&self, state: &mut State<T>, take: impl FnOnce(&mut State<T>) -> R) -> R {
        let taken = take(state);
        if !state.items.is_empty() || state.closed {
            self.told.notify_one();
        }
        taken
    }

    fn wait(&self) -> MutexGuard<'_, State<T>> {
        let mut state = self.lock();
        while state.items.is_empty() && !state.closed {
            state.sleeping += 1;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.sleeping -= 1;
        }
        state
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while it holds the lock, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_ends_at_its_bounds_and_before_an_item_that_stands_alone() {
        let queue = Queue::new();
        for item in [1, 2, 3, 100, 4] {
            queue.push(item, 10).unwrap();
        }
        let joins = |item: &i32| *item < 100;
        assert_eq!(queue.take_group(2, 1_000, joins), [1, 2]);
        assert_eq!(queue.take_group(9, 1_000, joins), [3]);
        assert_eq!(queue.take_group(9, 1_000, joins), [100]);
        assert_eq!(queue.take_group(9, 5, joins), [4], "one item is taken however large");
        queue.close();
        assert!(queue.take_group(9, 5, joins).is_empty());
        assert_eq!(queue.push(5, 0), Err(Refused::Closed));
    }

    #[test]
    fn a_full_queue_refuses_instead_of_growing() {
        let queue = Queue::new();
        queue.push(0, WAITING_BYTES + 1).unwrap();
        assert_eq!(queue.push(1, 1), Err(Refused::Overloaded));
        assert_eq!(queue.take(), Some(0));
        for item in 0..WAITING {
            queue.push(item, 0).unwrap();
        }
        assert_eq!(queue.push(0, 0), Err(Refused::Overloaded));
    }
}
