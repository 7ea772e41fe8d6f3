//! The receiving end of a copy into a data directory. What it writes is durable only at the end and at checkpoints;
//! until then a crash of the machine takes away the latest parts together with the note of them, never one alone.

use std::{future::ready, path::PathBuf, sync::Arc};

use mainstay_vocabulary::{Epoch, SessionId, Shard, Timestamp};
use rusqlite::{Connection, TransactionBehavior, params};

use super::{
    blobs::{Blobs, LARGEST_ROW},
    fault,
    file::Folder,
    schema,
    whole::Kept,
};
use crate::{
    error::Error,
    seam::{Answer, Digest},
    whole::{Outline, Page, Part, Piece, Place, Receiver, Record, Seen, Standing, Whole},
};

/// Pages that the log holds before they go into the database.
const LOG_PAGES: i64 = 4_096;

/// Opens a data directory to copy into: an empty one, or one where a copy is under way.
///
/// # Errors
/// `Unavailable` if another process uses the directory.
pub fn receive(dir: PathBuf) -> Result<Arc<dyn Receiver>, Error> {
    let folder = Folder::new(dir);
    let lock = folder.lock()?;
    folder.prepare()?;
    let opened = folder.writer().and_then(|connection| {
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        Ok(connection)
    });
    let connection = opened.map_err(|error| fault::before_commit(&error))?;
    let blobs = Blobs::new(folder.blobs());
    Ok(Arc::new(Receiving { blobs, kept: Kept::new(folder, connection, Some(lock)) }))
}

struct Receiving {
    blobs: Blobs,
    kept: Kept,
}

impl Receiving {
    /// All of `work`, or nothing.
    fn write<'a, T: Send + 'a>(&self, work: impl FnOnce(&Connection) -> Result<T, Error>) -> Answer<'a, T> {
        let mut connection = self.kept.connection();
        let asked = |error: rusqlite::Error| fault::before_commit(&error);
        let answer =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(asked).and_then(|writing| {
                let value = work(&writing)?;
                writing.commit().map_err(asked)?;
                Ok(value)
            });
        Box::pin(ready(answer))
    }

    /// Writes the blobs that are files, before the rows that name them.
    fn write_files(&self, parts: &[Part]) -> std::io::Result<()> {
        let mut written = false;
        for part in parts {
            for piece in &part.pieces {
                if let Piece::Blob { digest, bytes } = piece
                    && bytes.len() > LARGEST_ROW
                {
                    self.blobs.write(&self.blobs.path(&part.session, digest), bytes)?;
                    written = true;
                }
            }
        }
        if written { self.blobs.sync() } else { Ok(()) }
    }
}

impl Receiver for Receiving {
    fn begin(&self, origin: Digest, shards: Vec<(Shard, Epoch)>) -> Answer<'_, Option<SessionId>> {
        self.write(|connection| {
            if version(connection)? == schema::UNFINISHED {
                return go_on(connection, &origin);
            }
            if !is_empty(connection)? {
                let dir = self.kept.folder.path().display();
                return Err(Error::Unsupported(format!("{dir} holds a store: copy into an empty directory")));
            }
            let begun = || {
                connection.execute_batch(schema::COPY)?;
                connection.execute("INSERT INTO copy (origin) VALUES (?)", [origin])?;
                connection.pragma_update(None, "user_version", schema::UNFINISHED)?;
                let mut shard = connection
                    .prepare("INSERT INTO shard (id, epoch, commit_no, incarnation) VALUES (?, ?, 0, zeroblob(16))")?;
                for (id, epoch) in &shards {
                    shard.execute(params![id.0, epoch.0 as i64])?;
                }
                Ok(None)
            };
            begun().map_err(|error| fault::before_commit(&error))
        })
    }

    fn receive(&self, parts: Vec<Part>) -> Answer<'_, ()> {
        if let Err(error) = self.write_files(&parts) {
            return Box::pin(ready(Err(fault::file(&error))));
        }
        self.write(|connection| {
            for part in &parts {
                take(connection, part).map_err(|error| fault::before_commit(&error))?;
            }
            Ok(())
        })
    }

    fn receive_records(&self, shard: Shard, records: Vec<Record>) -> Answer<'_, ()> {
        self.write(|connection| {
            let taken = records.iter().try_for_each(|record| take_record(connection, shard, record));
            taken.map_err(|error| fault::before_commit(&error))
        })
    }

    fn note(&self, last: SessionId) -> Answer<'_, ()> {
        self.write(|connection| {
            let noted = connection.execute("UPDATE copy SET session = ?", [last.as_bytes()]);
            noted.map(drop).map_err(|error| fault::before_commit(&error))
        })
    }

    fn finish(&self) -> Answer<'_, ()> {
        let finished = self.write(|connection| {
            let finished = connection
                .execute_batch("DROP TABLE copy")
                .and_then(|()| connection.pragma_update(None, "user_version", schema::FORMAT));
            finished.map_err(|error| fault::before_commit(&error))
        });
        let connection = self.kept.connection();
        // A checkpoint syncs the log before it and the database after it.
        let settled = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        Box::pin(async move {
            finished.await?;
            match settled {
                Ok(0) => Ok(()),
                Ok(_) => Err(Error::Unavailable("another program has the database open".to_owned())),
                Err(error) => Err(fault::before_commit(&error)),
            }
        })
    }
}

impl Whole for Receiving {
    fn standing(&self, now: Timestamp) -> Answer<'_, Standing> {
        self.kept.standing(now)
    }

    fn examine(&self) -> Answer<'_, Vec<String>> {
        self.kept.examine()
    }

    fn backup(&self, into: PathBuf, seen: Seen) -> Answer<'_, ()> {
        self.kept.backup(into, seen)
    }

    fn shards(&self) -> u16 {
        self.kept.shards()
    }

    fn sessions(&self, shard: Shard, after: Option<SessionId>, limit: usize) -> Answer<'_, Vec<SessionId>> {
        self.kept.sessions(shard, after, limit)
    }

    fn outline(&self, session: SessionId) -> Answer<'_, Option<Outline>> {
        self.kept.outline(session)
    }

    fn pieces(&self, session: SessionId, after: Option<Place>) -> Answer<'_, Page<Piece>> {
        self.kept.pieces(session, after)
    }

    fn records(&self, shard: Shard, after: Option<Place>) -> Answer<'_, Page<Record>> {
        self.kept.records(shard, after)
    }
}

fn version(connection: &Connection) -> Result<i32, Error> {
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
    version.map_err(|error| fault::before_commit(&error))
}

fn is_empty(connection: &Connection) -> Result<bool, Error> {
    let query = "SELECT NOT EXISTS (SELECT 1 FROM session) AND NOT EXISTS (SELECT 1 FROM escrow)
                 AND NOT EXISTS (SELECT 1 FROM idempotency) AND NOT EXISTS (SELECT 1 FROM shard)";
    connection.query_row(query, [], |row| row.get(0)).map_err(|error| fault::before_commit(&error))
}

/// Where the copy is that was begun; slices have no key of their own, so those of sessions under way are taken anew.
fn go_on(connection: &Connection, origin: &Digest) -> Result<Option<SessionId>, Error> {
    let gone_on = || {
        let mut row = connection.prepare("SELECT origin, session FROM copy")?;
        let (begun, last): (Digest, Option<[u8; 18]>) = row.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let last_bytes = last.map_or_else(Vec::new, Vec::from);
        connection
            .prepare("DELETE FROM frame WHERE session IN (SELECT key FROM session WHERE id > ?)")?
            .execute([last_bytes])?;
        Ok((begun, last.map(SessionId::from_bytes)))
    };
    let (begun, last) = gone_on().map_err(|error: rusqlite::Error| fault::before_commit(&error))?;
    if begun == *origin {
        return Ok(last);
    }
    let why = "a copy of something else was begun here, or the source was written to since: empty the directory and \
               begin anew";
    Err(Error::Unsupported(why.to_owned()))
}

fn take(connection: &Connection, part: &Part) -> rusqlite::Result<()> {
    let Outline { tenant, sequence, chain, open, erased, frame_next, snapshot } = &part.outline;
    let mut row = connection.prepare_cached(
        "INSERT INTO session (id, tenant, sequence, chain, open, erased, frame_next, frame_floor)
         VALUES (?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (id) DO UPDATE SET id = id RETURNING key",
    )?;
    let values = params![part.session.as_bytes(), tenant.0, sequence.0 as i64, chain, open, erased, *frame_next as i64];
    let key: i64 = row.query_row(values, |row| row.get(0))?;
    if let Some(snapshot) = snapshot {
        connection
            .prepare_cached("INSERT INTO snapshot (session, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING")?
            .execute(params![key, &**snapshot])?;
    }
    part.pieces.iter().try_for_each(|piece| take_piece(connection, (part, key), piece))
}

fn take_piece(connection: &Connection, (part, key): (&Part, i64), piece: &Piece) -> rusqlite::Result<()> {
    let shard = part.session.shard().0;
    let insert = |query| connection.prepare_cached(query);
    match piece {
        Piece::Event { sequence, op, bytes } => {
            insert("INSERT INTO event (session, sequence, op, bytes) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")?
                .execute(params![key, sequence.0 as i64, op.map(|op| op.0), &**bytes])
        }
        Piece::Quiet { expected, op } => {
            insert("INSERT INTO quiet (session, expected, op) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")?
                .execute(params![key, expected.0 as i64, op.0])
        }
        Piece::Slice { first, last, bytes } => {
            insert("INSERT INTO frame (session, first, last, bytes) VALUES (?, ?, ?, ?)")?.execute(params![
                key,
                *first as i64,
                *last as i64,
                &**bytes
            ])
        }
        Piece::Blob { digest, bytes } => {
            let row = (bytes.len() <= LARGEST_ROW).then_some(&**bytes);
            insert("INSERT INTO blob (session, digest, bytes) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")?
                .execute(params![key, digest, row])
        }
        Piece::Wakeup { key: name, at } => {
            insert("INSERT INTO wakeup (session, key, shard, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")?
                .execute(params![key, name, shard, at.0 as i64])
        }
        Piece::Row { kind, key: name, value } => insert(
            "INSERT INTO entry (shard, tenant, kind, key, session, value) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![shard, part.outline.tenant.0, kind, name, key, value]),
    }
    .map(drop)
}

fn take_record(connection: &Connection, shard: Shard, record: &Record) -> rusqlite::Result<()> {
    match record {
        Record::Scope { scope, remembered, expires } => connection
            .prepare_cached(
                "INSERT INTO idempotency (shard, scope, session, sequence, request, expires)
                 VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                shard.0,
                scope,
                remembered.session.as_bytes(),
                remembered.sequence.0 as i64,
                remembered.request,
                expires.0 as i64
            ]),
        Record::Funds { account, amount } => connection
            .prepare_cached("INSERT INTO escrow (shard, account, amount) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")?
            .execute(params![shard.0, account, amount]),
    }
    .map(drop)
}
