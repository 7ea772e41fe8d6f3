//! What a group of requests must know of the database and the lane does not: asked in one round trip, before anything
//! is decided. That it is still true when the group commits is what the fence asserts.

use std::collections::{HashMap, HashSet};

use mainstay_vocabulary::{Sequence, SessionId, Shard, Tenant};
use tokio_postgres::{Client, Row, Statement};

use super::{
    cache::{Account, Head, Known},
    request::Request,
};
use crate::seam::{Digest, Remembered};

/// Where sessions stand: the row or the last event, whichever is further.
pub(super) const HEADS: &str = "
SELECT s.id, s.tenant, greatest(s.sequence, coalesce(e.sequence, 0)),
    CASE WHEN e.sequence > s.sequence THEN e.chain ELSE s.chain END,
    s.open, s.erased, greatest(s.frame_next, coalesce(f.last + 1, 0)), s.frame_floor
FROM unnest($1::bytea[]) AS u(id) JOIN session s ON s.id = u.id
LEFT JOIN LATERAL (SELECT sequence, chain FROM event WHERE session = u.id ORDER BY sequence DESC LIMIT 1) e ON true
LEFT JOIN LATERAL (SELECT last FROM frame WHERE session = u.id ORDER BY last DESC LIMIT 1) f ON true";
/// Idempotency scopes.
pub(super) const SCOPES: &str = "
SELECT i.shard, i.scope, i.session, i.sequence, i.request
FROM unnest($1::int2[], $2::bytea[]) AS u(shard, scope)
JOIN idempotency i ON i.shard = u.shard AND i.scope = u.scope";
/// Batches without events.
pub(super) const QUIET: &str = "
SELECT q.session, q.expected, q.op FROM unnest($1::bytea[], $2::int8[], $3::bytea[]) AS u(session, expected, op)
JOIN quiet q ON q.session = u.session AND q.expected = u.expected AND q.op = u.op";
/// Escrow accounts.
pub(super) const FUNDS: &str = "
SELECT e.shard, e.account, e.amount FROM unnest($1::int2[], $2::bytea[]) AS u(shard, account)
JOIN escrow e ON e.shard = u.shard AND e.account = u.account";

/// The prepared statements, in the order of `ALL`.
pub(super) const ALL: [&str; 4] = [HEADS, SCOPES, QUIET, FUNDS];

/// What holds for one group alone.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) scopes: HashMap<(Shard, Digest), Remembered>,
    pub(super) quiet: HashSet<(SessionId, u64, [u8; 16])>,
}

/// What is not known.
#[derive(Default)]
pub(super) struct Questions {
    heads: Vec<SessionId>,
    scopes: (Vec<i16>, Vec<Digest>),
    quiet: (Vec<SessionId>, Vec<i64>, Vec<[u8; 16]>),
    funds: Vec<Account>,
}

impl Questions {
    /// What these requests leave open.
    pub(super) fn of<'a>(requests: impl Iterator<Item = &'a Request>, known: &mut Known) -> Self {
        let mut questions = Self::default();
        let (mut heads, mut funds) = (HashSet::new(), HashSet::new());
        for request in requests {
            let session = match request {
                Request::Commit { batch, .. } => batch.session,
                Request::Append { slice, .. } => slice.session,
            };
            if !known.heads.touch(&session) && heads.insert(session) {
                questions.heads.push(session);
            }
            let Request::Commit { batch, .. } = request else { continue };
            let shard = session.shard();
            if let Some(record) = &batch.idempotency {
                questions.scopes.0.push(shard.0 as i16);
                questions.scopes.1.push(record.scope);
            }
            if batch.events.is_empty() {
                questions.quiet.0.push(session);
                questions.quiet.1.push(batch.expected.0 as i64);
                questions.quiet.2.push(batch.op.0);
            }
            for change in &batch.moves {
                let account = (shard, change.account.clone());
                if !known.funds.touch(&account) && funds.insert(account.clone()) {
                    questions.funds.push(account);
                }
            }
        }
        questions
    }

    /// Whether nothing needs to be asked.
    pub(super) const fn is_empty(&self) -> bool {
        self.heads.is_empty() && self.scopes.0.is_empty() && self.quiet.0.is_empty() && self.funds.is_empty()
    }

    /// Asks, and fills in what is known.
    pub(super) async fn ask(
        &self,
        client: &Client,
        (statements, known): (&[Statement], &mut Known),
    ) -> Result<Facts, tokio_postgres::Error> {
        let [heads, scopes, quiet, funds] = statements else { return Ok(Facts::default()) };
        let ids: Vec<&[u8]> = self.heads.iter().map(|id| &id.as_bytes()[..]).collect();
        let names: Vec<&[u8]> = self.scopes.1.iter().map(|scope| &scope[..]).collect();
        let quiet_ids: Vec<&[u8]> = self.quiet.0.iter().map(|id| &id.as_bytes()[..]).collect();
        let ops: Vec<&[u8]> = self.quiet.2.iter().map(|op| &op[..]).collect();
        let (shards, accounts): (Vec<i16>, Vec<&[u8]>) =
            self.funds.iter().map(|(shard, account)| (shard.0 as i16, &account[..])).unzip();
        let none = || Ok(Vec::new());
        let (heads, scopes, quiet, funds) = tokio::try_join!(
            async { if ids.is_empty() { none() } else { client.query(heads, &[&ids]).await } },
            async { if names.is_empty() { none() } else { client.query(scopes, &[&self.scopes.0, &names]).await } },
            async {
                let asked = [&quiet_ids as _, &self.quiet.1 as _, &ops as _];
                if ops.is_empty() { none() } else { client.query(quiet, &asked).await }
            },
            async { if shards.is_empty() { none() } else { client.query(funds, &[&shards, &accounts]).await } },
        )?;
        for row in &heads {
            known.heads.put(id(row, 0)?, head(row)?);
        }
        for account in &self.funds {
            known.funds.put(account.clone(), 0);
        }
        for row in &funds {
            known.funds.put((shard(row, 0)?, row.try_get(1)?), row.try_get(2)?);
        }
        let mut facts = Facts::default();
        for row in &scopes {
            facts.scopes.insert((shard(row, 0)?, bytes(row, 1)?), remembered(row, 2)?);
        }
        for row in &quiet {
            facts.quiet.insert((id(row, 0)?, number(row, 1)?, bytes(row, 2)?));
        }
        Ok(facts)
    }
}

/// A row of `HEADS`.
pub(super) fn head(row: &Row) -> Result<Head, tokio_postgres::Error> {
    Ok(Head {
        tenant: Tenant(row.try_get::<_, &str>(1)?.into()),
        sequence: number(row, 2)?,
        chain: bytes(row, 3)?,
        open: row.try_get(4)?,
        erased: row.try_get(5)?,
        frame_next: number(row, 6)?,
        frame_floor: number(row, 7)?,
    })
}

/// Session, sequence and request, from a column on.
pub(super) fn remembered(row: &Row, column: usize) -> Result<Remembered, tokio_postgres::Error> {
    Ok(Remembered {
        session: id(row, column)?,
        sequence: Sequence(number(row, column + 1)?),
        request: bytes(row, column + 2)?,
    })
}

pub(super) fn id(row: &Row, column: usize) -> Result<SessionId, tokio_postgres::Error> {
    bytes(row, column).map(SessionId::from_bytes)
}

pub(super) fn number(row: &Row, column: usize) -> Result<u64, tokio_postgres::Error> {
    row.try_get::<_, i64>(column).map(|number| number as u64)
}

fn shard(row: &Row, column: usize) -> Result<Shard, tokio_postgres::Error> {
    row.try_get::<_, i16>(column).map(|number| Shard(number as u16))
}

/// As many bytes as asked for; what is shorter was not written by us, and fails whatever looks at it.
pub(super) fn bytes<const LENGTH: usize>(row: &Row, column: usize) -> Result<[u8; LENGTH], tokio_postgres::Error> {
    let mut bytes = [0; LENGTH];
    let found: &[u8] = row.try_get(column)?;
    let length = found.len().min(LENGTH);
    bytes[..length].copy_from_slice(&found[..length]);
    Ok(bytes)
}
