//! What the threads of a database do: one writes, a few read.

use std::{io, sync::Arc, thread::JoinHandle};

use super::{
    lane::Lane,
    read::{READERS, Readers},
    request::Task,
};
use crate::{queue::Queue, thread};

/// Most requests in one transaction: under the largest load a commit still takes some milliseconds.
const GROUP: usize = 1_024;
/// Most content in one transaction, in bytes, unless one request alone is larger.
const GROUP_BYTES: usize = 4 << 20;

/// Starts all threads; each ends when its queue is closed and empty.
pub(super) fn start(lane: Lane, tasks: &Arc<Queue<Task>>, readers: &Arc<Readers>) -> io::Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::with_capacity(READERS + 1);
    for slot in 0..READERS {
        let readers = Arc::clone(readers);
        threads.push(thread::start(&format!("store-read-{slot}"), move || readers.serve(slot))?);
    }
    let tasks = Arc::clone(tasks);
    threads.push(thread::start("store-write", move || write(lane, &tasks))?);
    Ok(threads)
}

/// The writer's life: whatever gathered while the last commit ran is the next one.
fn write(mut lane: Lane, tasks: &Queue<Task>) {
    loop {
        let group = tasks.take_group(GROUP, GROUP_BYTES, |task| matches!(task, Task::Write(_)));
        if group.is_empty() {
            return lane.close();
        }
        let mut writes = Vec::with_capacity(group.len());
        for task in group {
            match task {
                Task::Write(request) => writes.push(request),
                other => alone(&mut lane, other),
            }
        }
        if !writes.is_empty() {
            lane.write(writes);
        }
    }
}

fn alone(lane: &mut Lane, task: Task) {
    match task {
        Task::Write(request) => lane.write(vec![request]),
        Task::Acquire { shard, incarnation, reply } => drop(reply.send(lane.acquire(shard, incarnation))),
        Task::Frames { tenant, session, reply } => drop(reply.send(lane.frames(&tenant, session))),
        Task::Sweep { sweep, reply } => drop(reply.send(lane.sweep(&sweep))),
        Task::Close { reply } => {
            lane.close();
            drop(reply.send(Ok(())));
        }
    }
}
