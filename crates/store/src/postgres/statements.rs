//! The statements of one transaction of a lane: one for each kind of row, whatever the number of sessions. All are
//! sent at once, in this order, and each asserts what was decided before: one that finds something else fails, and with
//! it the transaction.

use mainstay_vocabulary::Epoch;
use tokio_postgres::{Client, Statement, types::ToSql};

use super::{
    group::{Group, Place, Session},
    request::Taken,
};

/// Dead frames that one commit deletes at most, so that no commit waits long for it; `sweep` finds what is left.
const DEAD_FRAMES: i64 = 1_000;

/// Moves every shard that is written to and renews its lease. Fails (division by zero) where one of them has another
/// epoch, or another number of commits, than the lane knows.
pub(super) static FENCE: &str = "
UPDATE shard s SET commit_no = s.commit_no + 1, lease_until = clock_timestamp() + make_interval(secs => $4),
    epoch = CASE WHEN s.epoch = u.epoch AND s.commit_no = u.commit_no THEN s.epoch ELSE 1 / (s.epoch - s.epoch) END
FROM unnest($1::int2[], $2::int8[], $3::int8[]) AS u(id, epoch, commit_no) WHERE s.id = u.id";
/// The same for one shard: a commit of one session is what somebody waits for.
pub(super) static FENCE_ONE: &str = "
UPDATE shard s SET commit_no = s.commit_no + 1, lease_until = clock_timestamp() + make_interval(secs => $4),
    epoch = CASE WHEN s.epoch = $2 AND s.commit_no = $3 THEN s.epoch ELSE 1 / (s.epoch - s.epoch) END
WHERE s.id = $1";

/// What a fence failed for.
pub(super) static STAND: &str = "SELECT id, epoch, commit_no FROM shard WHERE id = ANY($1::int2[])";

static ERASE: [&str; 7] = [
    "DELETE FROM event WHERE session = ANY($1::bytea[])",
    "DELETE FROM quiet WHERE session = ANY($1::bytea[])",
    "DELETE FROM snapshot WHERE session = ANY($1::bytea[])",
    "DELETE FROM wakeup WHERE session = ANY($1::bytea[])",
    "DELETE FROM entry WHERE session = ANY($1::bytea[])",
    "DELETE FROM blob WHERE session = ANY($1::bytea[])",
    "DELETE FROM frame WHERE session = ANY($1::bytea[])",
];
static CREATE: &str = "
INSERT INTO session (id, tenant, sequence, chain, open, erased, frame_next, frame_floor)
SELECT * FROM unnest($1::bytea[], $2::text[], $3::int8[], $4::bytea[], $5::bool[], $6::bool[], $7::int8[], $8::int8[])";
static CHANGE: &str = "
WITH moved AS (
    UPDATE session s SET sequence = u.sequence, chain = u.chain, open = u.open, erased = u.erased,
        frame_next = u.frame_next, frame_floor = u.frame_floor
    FROM unnest($1::bytea[], $2::text[], $3::int8[], $4::bytea[], $5::bool[], $6::bool[], $7::int8[], $8::int8[])
        AS u(id, tenant, sequence, chain, open, erased, frame_next, frame_floor)
    WHERE s.id = u.id AND s.tenant = u.tenant AND s.sequence <= u.sequence RETURNING 1
) SELECT 1 / (count(*) = $9)::int FROM moved";
static EVENTS: &str = "
INSERT INTO event (session, sequence, tenant, op, chain, bytes)
SELECT * FROM unnest($1::bytea[], $2::int8[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[])";
static ONE_EVENT: &str = "
INSERT INTO event (session, sequence, tenant, op, chain, bytes) VALUES ($1, $2, $3, $4, $5, $6)";
static QUIET: &str = "
INSERT INTO quiet (session, expected, op) SELECT * FROM unnest($1::bytea[], $2::int8[], $3::bytea[])";
static SNAPSHOTS: &str = "
INSERT INTO snapshot (session, tenant, bytes) SELECT * FROM unnest($1::bytea[], $2::text[], $3::bytea[])
ON CONFLICT (session) DO UPDATE SET bytes = excluded.bytes";
static SET_WAKEUPS: &str = "
INSERT INTO wakeup (session, key, shard, at) SELECT * FROM unnest($1::bytea[], $2::text[], $3::int2[], $4::int8[])
ON CONFLICT (session, key) DO UPDATE SET at = excluded.at";
static CLEAR_WAKEUPS: &str = "
DELETE FROM wakeup w USING unnest($1::bytea[], $2::text[]) AS u(session, key)
WHERE w.session = u.session AND w.key = u.key";
static SET_ENTRIES: &str = "
INSERT INTO entry (tenant, kind, key, shard, session, value)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::int2[], $5::bytea[], $6::bytea[])
ON CONFLICT (tenant, kind, key, shard) DO UPDATE SET session = excluded.session, value = excluded.value";
static CLEAR_ENTRIES: &str = "
DELETE FROM entry e USING unnest($1::text[], $2::text[], $3::bytea[], $4::int2[]) AS u(tenant, kind, key, shard)
WHERE e.tenant = u.tenant AND e.kind = u.kind AND e.key = u.key AND e.shard = u.shard";
static SCOPES: &str = "
INSERT INTO idempotency (shard, scope, session, sequence, request, expires)
SELECT * FROM unnest($1::int2[], $2::bytea[], $3::bytea[], $4::int8[], $5::bytea[], $6::int8[])";
static FUNDS: &str = "
INSERT INTO escrow (shard, account, amount) SELECT * FROM unnest($1::int2[], $2::bytea[], $3::int8[])
ON CONFLICT (shard, account) DO UPDATE SET amount = excluded.amount";
static BLOBS: &str = "
INSERT INTO blob (session, digest, tenant, bytes) SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::bytea[])
ON CONFLICT (session, digest) DO NOTHING";
static DROP_FRAMES: &str = "
DELETE FROM frame WHERE ctid = ANY(ARRAY(
    SELECT f.ctid FROM unnest($1::bytea[], $2::int8[]) AS u(session, floor)
    JOIN frame f ON f.session = u.session AND f.last < u.floor LIMIT $3))";
static FRAMES: &str = "
INSERT INTO frame (session, last, first, tenant, bytes)
SELECT * FROM unnest($1::bytea[], $2::int8[], $3::int8[], $4::text[], $5::bytea[])";

/// All that a lane prepares when it connects.
pub(super) fn all() -> Vec<&'static str> {
    let others = [
        CREATE,
        CHANGE,
        EVENTS,
        ONE_EVENT,
        QUIET,
        SNAPSHOTS,
        SET_WAKEUPS,
        CLEAR_WAKEUPS,
        SET_ENTRIES,
        CLEAR_ENTRIES,
        SCOPES,
        FUNDS,
        BLOBS,
        DROP_FRAMES,
        FRAMES,
    ];
    [FENCE, FENCE_ONE, STAND].into_iter().chain(ERASE).chain(others).collect()
}

/// Statements by their text.
#[derive(Default)]
pub(super) struct Prepared(Vec<(&'static str, Statement)>);

impl Prepared {
    /// Prepares several, in one round trip where the server needs to look up no type.
    pub(super) async fn new(client: &Client, texts: &[&'static str]) -> Result<Self, tokio_postgres::Error> {
        let mut prepared = Vec::with_capacity(texts.len());
        for text in texts {
            prepared.push((*text, client.prepare(text).await?));
        }
        Ok(Self(prepared))
    }

    /// One of those that were prepared.
    pub(super) fn get(&self, text: &'static str) -> Option<&Statement> {
        self.0.iter().find(|(known, _)| std::ptr::eq(*known, text)).map(|(_, statement)| statement)
    }
}

/// A statement with its values.
pub(super) struct Step<'a> {
    pub(super) text: &'static str,
    pub(super) values: Vec<Box<dyn ToSql + Sync + 'a>>,
}

macro_rules! step {
    ($text:expr, $($value:expr),+ $(,)?) => {
        Step { text: $text, values: vec![$(Box::new($value) as Box<dyn ToSql + Sync + '_>),+] }
    };
}

/// A column: one value for each row.
fn column<T, V>(rows: &[T], value: impl Fn(&T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

/// Moves the shards.
pub(super) fn fence(shards: &[Taken], lease_ms: u64) -> Step<'static> {
    let seconds = lease_ms as f64 / 1_000.0;
    if let [taken] = shards {
        return step!(FENCE_ONE, taken.shard.0 as i16, signed(taken.epoch), taken.commit_no, seconds);
    }
    step!(
        FENCE,
        column(shards, |taken| taken.shard.0 as i16),
        column(shards, |taken| signed(taken.epoch)),
        column(shards, |taken| taken.commit_no),
        seconds,
    )
}

/// What a planted bug asks instead.
pub(super) fn no_fence(shards: &[Taken]) -> Step<'static> {
    step!(STAND, stand(shards))
}

/// Where shards stand.
pub(super) fn stand(shards: &[Taken]) -> Vec<i16> {
    column(shards, |taken| taken.shard.0 as i16)
}

/// All that a group writes, in an order in which nothing is in the way of what follows.
pub(super) fn of(group: &Group) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let sessions = &group.sessions;
    let erased: Vec<&[u8]> = sessions.iter().filter(|session| session.is_erased && session.existed).map(name).collect();
    if !erased.is_empty() {
        steps.extend(ERASE.map(|text| step!(text, erased.clone())));
    }
    let created: Vec<&Session> = sessions.iter().filter(|session| !session.existed).collect();
    let changed: Vec<&Session> = sessions.iter().filter(|session| session.existed && session.is_changed).collect();
    if !created.is_empty() {
        steps.push(heads(CREATE, &created));
    }
    if !changed.is_empty() {
        let mut step = heads(CHANGE, &changed);
        step.values.push(Box::new(changed.len() as i64));
        steps.push(step);
    }
    steps.extend(events(sessions));
    steps.extend(quiet(sessions));
    steps.extend(frames(sessions));
    steps.extend(snapshots(sessions));
    steps.extend(blobs(sessions));
    steps.extend(wakeups(sessions));
    steps.extend(entries(group));
    steps.extend(scopes_and_funds(group));
    steps
}

fn heads<'a>(text: &'static str, sessions: &[&'a Session]) -> Step<'a> {
    step!(
        text,
        column(sessions, |session| name(session)),
        column(sessions, |session| &*session.head.tenant.0),
        column(sessions, |session| session.head.sequence as i64),
        column(sessions, |session| &session.head.chain[..]),
        column(sessions, |session| session.head.open),
        column(sessions, |session| session.head.erased),
        column(sessions, |session| session.head.frame_next as i64),
        column(sessions, |session| session.head.frame_floor as i64),
    )
}

fn events(sessions: &[Session]) -> Option<Step<'_>> {
    let rows: Vec<_> =
        sessions.iter().flat_map(|session| session.events.iter().map(move |event| (session, event))).collect();
    if let [(session, event)] = rows[..] {
        return Some(step!(
            ONE_EVENT,
            name(session),
            event.sequence as i64,
            &*session.head.tenant.0,
            event.op.as_ref().map(|op| &op[..]),
            event.chain.as_ref().map(|chain| &chain[..]),
            &*event.bytes,
        ));
    }
    (!rows.is_empty()).then(|| {
        step!(
            EVENTS,
            column(&rows, |(session, _)| name(session)),
            column(&rows, |(_, event)| event.sequence as i64),
            column(&rows, |(session, _)| &*session.head.tenant.0),
            column(&rows, |(_, event)| event.op.as_ref().map(|op| &op[..])),
            column(&rows, |(_, event)| event.chain.as_ref().map(|chain| &chain[..])),
            column(&rows, |(_, event)| &*event.bytes),
        )
    })
}

fn quiet(sessions: &[Session]) -> Option<Step<'_>> {
    let rows: Vec<_> =
        sessions.iter().flat_map(|session| session.quiet.iter().map(move |attempt| (session, attempt))).collect();
    (!rows.is_empty()).then(|| {
        step!(
            QUIET,
            column(&rows, |(session, _)| name(session)),
            column(&rows, |(_, (expected, _))| *expected as i64),
            column(&rows, |(_, (_, op))| &op[..]),
        )
    })
}

fn frames(sessions: &[Session]) -> Vec<Step<'_>> {
    let moved: Vec<&Session> = sessions.iter().filter(|session| session.floor_moved && session.existed).collect();
    let rows: Vec<_> =
        sessions.iter().flat_map(|session| session.frames.iter().map(move |slice| (session, slice))).collect();
    let mut steps = Vec::new();
    if !moved.is_empty() {
        let floors = column(&moved, |session| session.head.frame_floor as i64);
        steps.push(step!(DROP_FRAMES, column(&moved, |session| name(session)), floors, DEAD_FRAMES));
    }
    if !rows.is_empty() {
        steps.push(step!(
            FRAMES,
            column(&rows, |(session, _)| name(session)),
            column(&rows, |(_, slice)| slice.last as i64),
            column(&rows, |(_, slice)| slice.first as i64),
            column(&rows, |(session, _)| &*session.head.tenant.0),
            column(&rows, |(_, slice)| &*slice.bytes),
        ));
    }
    steps
}

fn snapshots(sessions: &[Session]) -> Option<Step<'_>> {
    let rows: Vec<_> = sessions.iter().filter_map(|session| Some((session, session.snapshot.as_deref()?))).collect();
    (!rows.is_empty()).then(|| {
        step!(
            SNAPSHOTS,
            column(&rows, |(session, _)| name(session)),
            column(&rows, |(session, _)| &*session.head.tenant.0),
            column(&rows, |(_, bytes)| *bytes),
        )
    })
}

fn blobs(sessions: &[Session]) -> Option<Step<'_>> {
    let rows: Vec<_> =
        sessions.iter().flat_map(|session| session.blobs.iter().map(move |blob| (session, blob))).collect();
    (!rows.is_empty()).then(|| {
        step!(
            BLOBS,
            column(&rows, |(session, _)| name(session)),
            column(&rows, |(_, (digest, _))| &digest[..]),
            column(&rows, |(session, _)| &*session.head.tenant.0),
            column(&rows, |(_, (_, bytes))| &***bytes),
        )
    })
}

fn wakeups(sessions: &[Session]) -> Vec<Step<'_>> {
    let rows = || sessions.iter().flat_map(|session| session.wakeups.iter().map(move |(key, at)| (session, key, *at)));
    let set: Vec<_> = rows().filter_map(|(session, key, at)| Some((session, key, at?))).collect();
    let clear: Vec<_> = rows().filter(|(session, _, at)| at.is_none() && session.existed).collect();
    let mut steps = Vec::new();
    if !set.is_empty() {
        steps.push(step!(
            SET_WAKEUPS,
            column(&set, |(session, _, _)| name(session)),
            column(&set, |(_, key, _)| &***key),
            column(&set, |(session, _, _)| session.id.shard().0 as i16),
            column(&set, |(_, _, at)| *at as i64),
        ));
    }
    if !clear.is_empty() {
        let ids = column(&clear, |(session, _, _)| name(session));
        steps.push(step!(CLEAR_WAKEUPS, ids, column(&clear, |(_, key, _)| &***key)));
    }
    steps
}

fn entries(group: &Group) -> Vec<Step<'_>> {
    let (set, clear): (Vec<_>, Vec<_>) = group.entries.iter().partition(|(_, (_, value))| value.is_some());
    let mut steps = Vec::new();
    if !set.is_empty() {
        let mut step = places(SET_ENTRIES, &set);
        step.values.push(Box::new(column(&set, |(_, (session, _))| &session.as_bytes()[..])));
        step.values.push(Box::new(column(&set, |(_, (_, value))| value.as_deref())));
        steps.push(step);
    }
    if !clear.is_empty() {
        steps.push(places(CLEAR_ENTRIES, &clear));
    }
    steps
}

fn places<'a, V>(text: &'static str, rows: &[(&'a Place, V)]) -> Step<'a> {
    step!(
        text,
        column(rows, |((tenant, _, _, _), _)| &*tenant.0),
        column(rows, |((_, kind, _, _), _)| *kind),
        column(rows, |((_, _, key, _), _)| &key[..]),
        column(rows, |((_, _, _, shard), _)| shard.0 as i16),
    )
}

fn scopes_and_funds(group: &Group) -> Vec<Step<'_>> {
    let scopes: Vec<_> = group.scopes.iter().collect();
    let funds: Vec<_> = group.funds.iter().collect();
    let mut steps = Vec::new();
    if !scopes.is_empty() {
        steps.push(step!(
            SCOPES,
            column(&scopes, |((shard, _), _)| shard.0 as i16),
            column(&scopes, |((_, scope), _)| &scope[..]),
            column(&scopes, |(_, (taken, _))| &taken.session.as_bytes()[..]),
            column(&scopes, |(_, (taken, _))| taken.sequence.0 as i64),
            column(&scopes, |(_, (taken, _))| &taken.request[..]),
            column(&scopes, |(_, (_, expires))| *expires as i64),
        ));
    }
    if !funds.is_empty() {
        steps.push(step!(
            FUNDS,
            column(&funds, |((shard, _), _)| shard.0 as i16),
            column(&funds, |((_, account), _)| &account[..]),
            column(&funds, |(_, amount)| **amount),
        ));
    }
    steps
}

fn name(session: &Session) -> &[u8] {
    session.id.as_bytes()
}

const fn signed(epoch: Epoch) -> i64 {
    epoch.0 as i64
}
