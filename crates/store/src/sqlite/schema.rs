//! The tables, and the version of their shape.

/// Marks a file as ours (`PRAGMA application_id`): "mnst" in ASCII.
pub(super) const APPLICATION: i32 = 0x6d6e_7374;

/// The shape of the tables (`PRAGMA user_version`). A file with a higher one is refused.
pub(super) const FORMAT: i32 = 1;

/// In the place of the format while a copy into the file is under way: no version serves from it.
pub(super) const UNFINISHED: i32 = -FORMAT;

/// What a copy remembers while it is under way; dropped when it is finished. `session` is the last that was verified.
pub(super) const COPY: &str = "CREATE TABLE copy (origin BLOB NOT NULL, session BLOB);";

/// Bytes per page. 4 KiB holds a session's head, an index leaf or three events of 1 KiB; a larger page would write more
/// for each head that a commit touches.
pub(super) const PAGE_BYTES: u64 = 4096;

/// Sessions get a small integer key, so that no index repeats their 18-byte ids. Events, frames and blobs are rowid
/// tables: they grow at their right edge however many sessions write. The head row is small and apart from the
/// snapshot, because every commit rewrites it.
///
/// `event.op` is set on the first event of a batch; `quiet` keeps the op of a batch without events. `frame_next` is one
/// more than the highest ordinal known when the row was last written, `frame_floor` what was dropped below: rows of
/// `frame` under it are dead and await cleaning (see `frames.rs`). A blob without bytes is a file.
pub(super) const TABLES: &str = "
CREATE TABLE shard (
    id INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    commit_no INTEGER NOT NULL,
    incarnation BLOB NOT NULL
);
CREATE TABLE session (
    key INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    chain BLOB NOT NULL,
    open INTEGER NOT NULL,
    erased INTEGER NOT NULL,
    frame_next INTEGER NOT NULL,
    frame_floor INTEGER NOT NULL
);
CREATE INDEX session_open ON session (id) WHERE open = 1;
CREATE TABLE snapshot (session INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    op BLOB,
    bytes BLOB NOT NULL
);
CREATE UNIQUE INDEX event_place ON event (session, sequence);
CREATE TABLE quiet (
    session INTEGER NOT NULL,
    expected INTEGER NOT NULL,
    op BLOB NOT NULL,
    PRIMARY KEY (session, expected, op)
) WITHOUT ROWID;
CREATE TABLE frame (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    bytes BLOB NOT NULL
);
CREATE TABLE wakeup (
    session INTEGER NOT NULL,
    key TEXT NOT NULL,
    shard INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (session, key)
) WITHOUT ROWID;
CREATE INDEX wakeup_due ON wakeup (shard, at);
CREATE TABLE entry (
    shard INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    key BLOB NOT NULL,
    session INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (shard, tenant, kind, key)
) WITHOUT ROWID;
CREATE INDEX entry_session ON entry (session);
CREATE TABLE idempotency (
    shard INTEGER NOT NULL,
    scope BLOB NOT NULL,
    session BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    request BLOB NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (shard, scope)
) WITHOUT ROWID;
CREATE INDEX idempotency_expiry ON idempotency (shard, expires);
CREATE TABLE escrow (
    shard INTEGER NOT NULL,
    account BLOB NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (shard, account)
) WITHOUT ROWID;
CREATE TABLE blob (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    digest BLOB NOT NULL,
    bytes BLOB
);
CREATE UNIQUE INDEX blob_name ON blob (session, digest);
";
