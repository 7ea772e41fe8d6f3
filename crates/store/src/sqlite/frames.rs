//! Where the slices that are still held lie: a log-structured table with its directory in memory.

use std::collections::{HashMap, VecDeque};

use rusqlite::{Connection, params};

/// Dead rows that are not worth cleaning.
const SLACK: usize = 1_024;
/// Rows looked at by one step of cleaning, so that no commit waits long for it.
const STEP: usize = 512;

#[derive(Clone, Copy)]
struct Place {
    last: u64,
    row: i64,
}

/// The directory of `frame`.
///
/// A slice is one row at the right edge of `frame`, which has no index: with one, each slice would rewrite a leaf of it
/// (4 KiB for some 150 bytes of deltas), and one record for all slices of a commit would stay as long as its slowest
/// stream. Dropping moves a floor in the session's head row, which that commit writes anyway; dead rows are
/// deleted in ranges from the left, and the few living ones among them move to the right edge. The directory holds
/// only sessions with live slices and is read back when the database is opened.
#[derive(Default)]
pub(super) struct Frames {
    held: HashMap<i64, VecDeque<Place>>,
    live: usize,
    /// All rows have ids in `lowest..next`.
    lowest: i64,
    next: i64,
}

/// A slice about to be appended; the session is named by its key.
pub(super) struct Row<'a> {
    pub(super) session: i64,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) bytes: &'a [u8],
}

impl Frames {
    /// Reads the directory from the table.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut frames = Self { lowest: 1, next: 1, ..Self::default() };
        let mut bounds = connection.prepare("SELECT min(id), max(id) FROM frame")?;
        if let (Some(lowest), Some(highest)) =
            bounds.query_row([], |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?)))?
        {
            (frames.lowest, frames.next) = (lowest, highest + 1);
        }
        let mut rows = connection.prepare(
            "SELECT f.id, f.session, f.last FROM frame f JOIN session s ON s.key = f.session
             WHERE f.last >= s.frame_floor ORDER BY f.session, f.last",
        )?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let place = Place { last: row.get::<_, i64>(2)? as u64, row: row.get(0)? };
            frames.held.entry(row.get(1)?).or_default().push_back(place);
            frames.live += 1;
        }
        Ok(frames)
    }

    /// One more than the last ordinal that is held for a session.
    pub(super) fn next(&self, session: i64) -> Option<u64> {
        self.held.get(&session).and_then(VecDeque::back).map(|place| place.last + 1)
    }

    /// The rows that are held for a session, in order.
    pub(super) fn rows(&self, session: i64) -> impl Iterator<Item = i64> {
        self.held.get(&session).into_iter().flatten().map(|place| place.row)
    }

    pub(super) fn append(&mut self, connection: &Connection, slice: &Row<'_>) -> rusqlite::Result<()> {
        connection
            .prepare_cached("INSERT INTO frame (id, session, first, last, bytes) VALUES (?, ?, ?, ?, ?)")?
            .execute(params![self.next, slice.session, slice.first as i64, slice.last as i64, slice.bytes])?;
        self.held.entry(slice.session).or_default().push_back(Place { last: slice.last, row: self.next });
        self.live += 1;
        self.next += 1;
        Ok(())
    }

    /// Forgets a session's slices that end before `floor`; the caller writes the floor to the head row.
    pub(super) fn drop_below(&mut self, session: i64, floor: u64) {
        let Some(places) = self.held.get_mut(&session) else { return };
        while places.front().is_some_and(|place| place.last < floor) {
            places.pop_front();
            self.live -= 1;
        }
        if places.is_empty() {
            self.held.remove(&session);
        }
    }

    /// Deletes all slices of a session at once, live and dead.
    pub(super) fn erase(&mut self, connection: &Connection, session: i64) -> rusqlite::Result<()> {
        self.live -= self.held.remove(&session).map_or(0, |places| places.len());
        // No index: this looks at every row there is. Erasure is rare, and the table holds only what streams now.
        connection.prepare_cached("DELETE FROM frame WHERE session = ?")?.execute([session])?;
        Ok(())
    }

    /// Removes dead rows once they outnumber the living, a step per commit.
    pub(super) fn clean(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let rows = (self.next - self.lowest) as usize;
        if rows - self.live <= self.live + SLACK {
            return Ok(());
        }
        if self.live == 0 {
            connection.prepare_cached("DELETE FROM frame")?.execute([])?;
            self.lowest = self.next;
            return Ok(());
        }
        let until = self.lowest + STEP.min(rows) as i64;
        for (row, session, last) in leftmost(connection, until)? {
            self.keep(connection, row, (session, last))?;
        }
        connection.prepare_cached("DELETE FROM frame WHERE id < ?")?.execute([until])?;
        self.lowest = until;
        Ok(())
    }

    /// Moves a row to the right edge if it is alive.
    fn keep(&mut self, connection: &Connection, row: i64, (session, last): (i64, u64)) -> rusqlite::Result<()> {
        let Some(places) = self.held.get_mut(&session) else { return Ok(()) };
        let Ok(index) = places.binary_search_by_key(&last, |place| place.last) else { return Ok(()) };
        connection
            .prepare_cached(
                "INSERT INTO frame (id, session, first, last, bytes)
                 SELECT ?, session, first, last, bytes FROM frame WHERE id = ?",
            )?
            .execute([self.next, row])?;
        places[index].row = self.next;
        self.next += 1;
        Ok(())
    }
}

fn leftmost(connection: &Connection, until: i64) -> rusqlite::Result<Vec<(i64, i64, u64)>> {
    let mut rows = connection.prepare_cached("SELECT id, session, last FROM frame WHERE id < ?")?;
    let rows = rows.query_map([until], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)? as u64)))?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;

    fn connection() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(schema::TABLES).unwrap();
        connection
    }

    fn stored(connection: &Connection) -> usize {
        connection.query_row("SELECT count(*) FROM frame", [], |row| row.get::<_, i64>(0)).unwrap() as usize
    }

    fn texts(connection: &Connection, frames: &Frames, session: i64) -> Vec<Vec<u8>> {
        let read = |row| connection.query_row("SELECT bytes FROM frame WHERE id = ?", [row], |row| row.get(0)).unwrap();
        frames.rows(session).map(read).collect()
    }

    #[test]
    fn a_slow_stream_does_not_hold_what_fast_ones_dropped() {
        let connection = connection();
        connection
            .execute_batch(
                "INSERT INTO session VALUES (1, x'01', 't', 1, x'', 0, 0, 0, 0);
                 INSERT INTO session VALUES (2, x'02', 't', 1, x'', 0, 0, 0, 0);",
            )
            .unwrap();
        let mut frames = Frames::load(&connection).unwrap();
        for ordinal in 0..20_000_u64 {
            let text = ordinal.to_be_bytes();
            frames.append(&connection, &Row { session: 1, first: ordinal, last: ordinal, bytes: &text }).unwrap();
            if ordinal % 1_000 == 0 {
                frames.append(&connection, &Row { session: 2, first: ordinal, last: ordinal, bytes: &text }).unwrap();
            }
            frames.drop_below(1, ordinal.saturating_sub(10));
            frames.clean(&connection).unwrap();
        }
        assert!(stored(&connection) <= 2 * (frames.live + SLACK), "{} rows", stored(&connection));
        let slow: Vec<_> = (0..20_000_u64).step_by(1_000).map(|ordinal| ordinal.to_be_bytes().to_vec()).collect();
        assert_eq!(texts(&connection, &frames, 2), slow);
        connection.execute("UPDATE session SET frame_floor = 19989 WHERE key = 1", []).unwrap();
        let loaded = Frames::load(&connection).unwrap();
        assert_eq!(texts(&connection, &loaded, 2), slow);
        assert_eq!(texts(&connection, &loaded, 1), texts(&connection, &frames, 1));
        frames.erase(&connection, 2).unwrap();
        frames.drop_below(1, 20_000);
        for _ in 0..2 {
            frames.append(&connection, &Row { session: 1, first: 20_000, last: 20_000, bytes: b"" }).unwrap();
            frames.drop_below(1, 20_001);
        }
        assert_eq!(frames.live, 0);
    }
}
