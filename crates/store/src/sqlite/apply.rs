//! Applies one request inside the lane's transaction. First everything that can refuse it is checked, with what earlier
//! requests of the same transaction wrote already visible; only then is written, and from there on SQL merely asserts.
//! So a refused request leaves no trace, and any other failure is a failure of the whole transaction.

use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    blobs::{Blobs, LARGEST_ROW},
    fault,
    frames::{Frames, Row},
    heads::{Head, Heads},
    rows,
};
use crate::{
    error::Error,
    seam::{Batch, Committed, Slice},
};
use mainstay_vocabulary::Sequence;

/// Why a request was not applied.
pub(super) enum Stop {
    /// The request is refused, and nothing of it was written.
    Refused(Error),
    /// The transaction cannot go on.
    Broken(Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(fault::before_commit(&error))
    }
}

/// What a transaction works on.
pub(super) struct Work<'a> {
    pub(super) connection: &'a Connection,
    pub(super) heads: &'a mut Heads,
    pub(super) frames: &'a mut Frames,
    pub(super) blobs: &'a Blobs,
    /// Files that no row names any more once the transaction has committed.
    pub(super) removed: &'a mut Vec<PathBuf>,
}

impl Work<'_> {
    /// Appends a slice; answers where the session stands.
    pub(super) fn append(&mut self, slice: &Slice) -> Result<Committed, Stop> {
        let head = self.heads.get(self.connection, slice.session)?;
        let head = head.ok_or(Stop::Refused(Error::Malformed("a slice of no session")))?;
        // Frames are not checked against the sequence, so a late one could bring content back.
        refuse_if(head.erased, Error::Malformed("a slice of an erased session"))?;
        refuse_if(slice.first < self.frame_next(&head), Error::Malformed("ordinals must grow"))?;
        let row = Row { session: head.key, first: slice.first, last: slice.last, bytes: &slice.bytes };
        self.frames.append(self.connection, &row)?;
        Ok(Committed { sequence: Sequence(head.sequence) })
    }

    /// Applies a batch.
    pub(super) fn commit(&mut self, batch: &Batch) -> Result<Committed, Stop> {
        let head = self.heads.get(self.connection, batch.session)?;
        if self.refuse_or_repeat(batch, head.as_ref())? {
            return Ok(Committed { sequence: batch.expected });
        }
        let funds = rows::moved_funds(self.connection, batch)?;
        self.write_files(batch)?;

        let mut head = match head {
            Some(head) => head,
            None => rows::create(self.connection, batch)?,
        };
        if batch.erase {
            self.erase(batch, &mut head)?;
        }
        self.advance(batch, &mut head)?;
        rows::write_events(self.connection, &head, batch)?;
        rows::write_rest(self.connection, &head, batch)?;
        rows::write_funds(self.connection, batch, &funds)?;
        let sequence = Sequence(head.sequence);
        self.heads.put(batch.session, head);
        Ok(Committed { sequence })
    }

    /// All reasons to refuse but funds. `true`: a batch without events that was applied before, which would otherwise
    /// be applied again, since it moves no sequence.
    fn refuse_or_repeat(&self, batch: &Batch, head: Option<&Head>) -> Result<bool, Stop> {
        if let Some(taken) = rows::remembered(self.connection, batch)? {
            return Err(Stop::Refused(Error::Duplicate(taken)));
        }
        if let Some(head) = head.filter(|_| batch.events.is_empty())
            && rows::is_repeated(self.connection, head, batch)?
        {
            return Ok(true);
        }
        let at = Sequence(head.map_or(0, |head| head.sequence));
        refuse_if(at != batch.expected, Error::Conflict { head: at })?;
        let same_tenant = head.is_none_or(|head| head.tenant == batch.tenant);
        refuse_if(!same_tenant, Error::Malformed("the session is another tenant's"))?;
        Ok(false)
    }

    /// The lowest ordinal that a slice may begin with.
    fn frame_next(&self, head: &Head) -> u64 {
        self.frames.next(head.key).unwrap_or(0).max(head.frame_next)
    }

    /// Writes the blobs that are files. One that fails refuses the batch: nothing names the files yet, and a sweep
    /// removes them. The lane waits for the disk here, and so do other sessions; large content is rare.
    fn write_files(&self, batch: &Batch) -> Result<(), Stop> {
        let mut written = false;
        for blob in batch.blobs.iter().filter(|blob| blob.bytes.len() > LARGEST_ROW) {
            if rows::is_named(self.connection, &batch.session, &blob.digest)? {
                continue;
            }
            let path = self.blobs.path(&batch.session, &blob.digest);
            self.blobs.write(&path, &blob.bytes).map_err(|error| Stop::Refused(fault::file(&error)))?;
            written = true;
        }
        if written {
            self.blobs.sync().map_err(|error| Stop::Refused(fault::file(&error)))?;
        }
        Ok(())
    }

    fn erase(&mut self, batch: &Batch, head: &mut Head) -> Result<(), Stop> {
        let names = rows::file_names(self.connection, head.key)?;
        self.removed.extend(names.iter().map(|digest| self.blobs.path(&batch.session, digest)));
        head.frame_next = self.frame_next(head);
        // Overwrites what is deleted: searchable rows need not be sealed.
        self.connection.pragma_update(None, "secure_delete", "ON")?;
        rows::erase(self.connection, head.key)?;
        self.frames.erase(self.connection, head.key)?;
        self.connection.pragma_update(None, "secure_delete", "FAST")?;
        head.erased = true;
        Ok(())
    }

    /// Moves the head row on.
    fn advance(&mut self, batch: &Batch, head: &mut Head) -> Result<(), Stop> {
        let next = self.frame_next(head);
        // A floor above what was written would swallow later slices.
        let floor = batch.drop_frames_below.min(next).max(head.frame_floor);
        if floor > head.frame_floor {
            self.frames.drop_below(head.key, floor);
        }
        (head.frame_next, head.frame_floor) = (next, floor);
        head.sequence += batch.events.len() as u64;
        // The index over open sessions is touched only by a statement that names its column.
        let changes = self
            .connection
            .prepare_cached(
                "UPDATE session SET sequence = ?3, chain = ?4, frame_next = ?5, frame_floor = ?6
                 WHERE key = ?1 AND sequence = ?2",
            )?
            .execute(params![
                head.key,
                batch.expected.0 as i64,
                head.sequence as i64,
                batch.chain,
                next as i64,
                floor as i64
            ])?;
        if changes != 1 {
            return Err(Stop::Broken(Error::Corrupt("a head is not where it was".to_owned())));
        }
        if head.open != batch.open || batch.erase {
            head.open = batch.open;
            self.connection
                .prepare_cached("UPDATE session SET open = ?2, erased = ?3 WHERE key = ?1")?
                .execute(params![head.key, head.open, head.erased])?;
        }
        Ok(())
    }
}

fn refuse_if(refused: bool, error: Error) -> Result<(), Stop> {
    if refused { Err(Stop::Refused(error)) } else { Ok(()) }
}

/// Moves the shard row on where the epoch is still the lease's: `false` means that another took the shard.
pub(super) fn move_shard(connection: &Connection, shard: i64, epoch: u64) -> rusqlite::Result<bool> {
    let mut fence =
        connection.prepare_cached("UPDATE shard SET commit_no = commit_no + 1 WHERE id = ? AND epoch = ?")?;
    Ok(fence.execute([shard, epoch as i64])? == 1)
}

/// Takes a shard: the next epoch.
pub(super) fn take_shard(connection: &Connection, shard: i64, incarnation: &[u8; 16]) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "INSERT INTO shard (id, epoch, commit_no, incarnation) VALUES (?1, 1, 0, ?2)
             ON CONFLICT (id) DO UPDATE SET epoch = epoch + 1, commit_no = commit_no + 1, incarnation = ?2
             RETURNING epoch",
        )?
        .query_row(params![shard, incarnation], |row| row.get::<_, i64>(0))
        .optional()
        .map(|epoch| epoch.unwrap_or(0) as u64)
}
