//! What a client has seen of one stream, over all connections, and how that compares with what is replayed.

use std::time::Duration;

use tokio::time::timeout;

use super::client::{Broken, PAUSE, Shared};
use crate::{
    http::{Incoming, Request, open},
    random::Random,
};

/// Longest wait for the next event of a stream that must go on.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most cursors of one stream that are tried again, besides those where a connection broke off.
const SAMPLES: usize = 4;

/// The events of a stream as they were received.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) events: Vec<String>,
    /// How many events had been seen when a connection ended.
    pub(super) breaks: Vec<usize>,
}

impl Seen {
    /// Takes the event at a position: a new one, or one that was seen before and must be the same.
    pub(super) fn take(&mut self, shared: &Shared, position: usize, event: String) -> Result<(), Broken> {
        match self.events.get(position) {
            None => self.events.push(event),
            Some(known) if *known == event => {}
            Some(known) => return Err(shared.find(format!("event {position} changed:\n  {known}\n  {event}"))),
        }
        Ok(())
    }

    /// Notes that a connection ended.
    pub(super) fn broke(&mut self) {
        self.breaks.push(self.events.len());
    }

    /// The numbers of events after which a client stood: where its connections ended, and some more.
    pub(super) fn cursors(&self, random: &mut Random) -> Vec<usize> {
        let mut cursors = self.breaks.clone();
        cursors.extend((0..SAMPLES).map(|_| random.below(self.events.len())));
        cursors.retain(|cursor| *cursor > 0 && *cursor < self.events.len());
        cursors.sort_unstable();
        cursors.dedup();
        cursors
    }
}

/// Opens a stream; `None` if there is no server just now.
pub(super) async fn connect(shared: &Shared, request: &Request) -> Result<Option<Incoming>, Broken> {
    let address = shared.address().await?;
    let opened = timeout(PATIENCE, open(address, &request.clone().key(&shared.key))).await;
    let Ok(opened) = opened else {
        return Err(shared.find(format!("{} {} hangs", request.method, request.path)));
    };
    match opened {
        Ok(incoming) if incoming.status == 200 => return Ok(Some(incoming)),
        Ok(incoming) if !matches!(incoming.status, 401 | 503) => {
            let status = incoming.status;
            let text = incoming.reply().await.map(|reply| reply.text).unwrap_or_default();
            return Err(shared.find(format!("{} {}: {status} {text}", request.method, request.path)));
        }
        _ => {}
    }
    tokio::time::sleep(PAUSE).await;
    Ok(None)
}

/// The next event; `None` where the connection ended.
pub(super) async fn next(shared: &Shared, incoming: &mut Incoming) -> Result<Option<String>, Broken> {
    match timeout(PATIENCE, incoming.event()).await {
        Ok(event) => Ok(event.ok().flatten()),
        Err(_) => Err(shared.find("a stream hangs".to_owned())),
    }
}

/// Reads a stream of a calm server up to an event.
pub(super) async fn read(
    shared: &Shared,
    request: &Request,
    is_last: impl Fn(&str) -> bool,
) -> Result<Vec<String>, Broken> {
    let mut events = Vec::new();
    let Some(mut incoming) = connect(shared, request).await? else {
        return Err(shared.find(format!("{} is not served", request.path)));
    };
    while let Some(event) = next(shared, &mut incoming).await? {
        let is_end = is_last(&event);
        events.push(event);
        if is_end {
            return Ok(events);
        }
    }
    Err(shared.find(format!("{} ended after {} events", request.path, events.len())))
}

/// Two readings of the same events must be the same bytes.
pub(super) fn compare(shared: &Shared, what: &str, first: &[String], second: &[String]) -> Result<(), Broken> {
    let differs = first.iter().zip(second).position(|(first, second)| first != second);
    let index = match differs {
        Some(index) => index,
        None if first.len() == second.len() => return Ok(()),
        None => first.len().min(second.len()),
    };
    let show = |events: &[String]| events.get(index).cloned().unwrap_or_else(|| "(the end)".to_owned());
    let (lengths, first, second) = ((first.len(), second.len()), show(first), show(second));
    Err(shared.find(format!("{what}: event {index} of {lengths:?} differs:\n  {first}\n  {second}")))
}
