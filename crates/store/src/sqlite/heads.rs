//! Session heads that the lane has seen lately, so that most batches are checked without a query.

use std::collections::HashMap;

use mainstay_vocabulary::{SessionId, Tenant};
use rusqlite::{Connection, OptionalExtension};

/// Heads kept in each of the two generations: the sessions that stream at once, several times over.
const GENERATION: usize = 8_192;

/// A session's row, as of the transaction under way.
#[derive(Clone)]
pub(super) struct Head {
    /// The small number that stands for the session in every table.
    pub(super) key: i64,
    pub(super) tenant: Tenant,
    pub(super) sequence: u64,
    pub(super) open: bool,
    pub(super) erased: bool,
    /// One more than the highest ordinal ever written, as far as the row knows; what is held may be higher.
    pub(super) frame_next: u64,
    pub(super) frame_floor: u64,
}

/// Two generations: when the recent one is full it becomes the older one, and what was not used meanwhile is gone.
#[derive(Default)]
pub(super) struct Heads {
    recent: HashMap<SessionId, Head>,
    older: HashMap<SessionId, Head>,
}

impl Heads {
    /// The head of a session; `None` if it was never created.
    pub(super) fn get(&mut self, connection: &Connection, session: SessionId) -> rusqlite::Result<Option<Head>> {
        if let Some(head) = self.recent.get(&session) {
            return Ok(Some(head.clone()));
        }
        let found = match self.older.remove(&session) {
            Some(head) => Some(head),
            None => read(connection, session)?,
        };
        if let Some(head) = &found {
            self.put(session, head.clone());
        }
        Ok(found)
    }

    pub(super) fn put(&mut self, session: SessionId, head: Head) {
        if self.recent.len() >= GENERATION && !self.recent.contains_key(&session) {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(session, head);
    }
}

fn read(connection: &Connection, session: SessionId) -> rusqlite::Result<Option<Head>> {
    let mut head = connection.prepare_cached(
        "SELECT key, tenant, sequence, open, erased, frame_next, frame_floor FROM session WHERE id = ?",
    )?;
    head.query_row([session.as_bytes()], |row| {
        Ok(Head {
            key: row.get(0)?,
            tenant: Tenant(row.get_ref(1)?.as_str()?.into()),
            sequence: row.get::<_, i64>(2)? as u64,
            open: row.get(3)?,
            erased: row.get(4)?,
            frame_next: row.get::<_, i64>(5)? as u64,
            frame_floor: row.get::<_, i64>(6)? as u64,
        })
    })
    .optional()
}
