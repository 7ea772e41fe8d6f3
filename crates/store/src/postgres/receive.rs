//! The receiving end of a copy into a cluster's database. Everything that a group brings goes in by one statement for
//! each table.

use std::{future::ready, path::PathBuf, sync::Arc};

use mainstay_vocabulary::{Epoch, SessionId, Shard, Timestamp};
use tokio_postgres::{Client, Error as Failed};

use super::{
    Options,
    tables::STORE,
    whole::{COPYING, Kept, first_shards},
};
use crate::{
    error::Error,
    seam::{Answer, Digest},
    whole::{Outline, Page, Part, Piece, Place, Receiver, Record, Seen, Standing, Whole},
};

/// What is there when a copy begins or goes on.
type Begun = Result<Option<SessionId>, &'static str>;

/// Opens a database to copy into: an empty one, or one where a copy is under way.
///
/// # Errors
/// `Unavailable`.
pub fn receive(options: Options) -> Result<Arc<dyn Receiver>, Error> {
    let shards = options.shards;
    let kept = Kept::open(options)?;
    kept.counter.ask(move |desk| {
        desk.with(async |link| match STORE.version(link).await? {
            Some(version) if version.format >= COPYING => Ok(()),
            _ => STORE.migrate(link, &first_shards(shards)).await.map(drop),
        })
    })?;
    kept.count_shards()?;
    Ok(Arc::new(Receiving(kept)))
}

struct Receiving(Kept);

impl Receiver for Receiving {
    fn begin(&self, origin: Digest, shards: Vec<(Shard, Epoch)>) -> Answer<'_, Option<SessionId>> {
        if let Some((beyond, _)) = shards.iter().find(|(shard, _)| shard.0 >= self.0.shards()) {
            let (mine, beyond) = (self.0.shards(), beyond.0);
            let why = format!("the source has a shard {beyond}, and this database {mine} shards only");
            return Box::pin(ready(Err(Error::Unsupported(why))));
        }
        let begun = self.0.ask(async move |client| {
            client.batch_execute("BEGIN READ WRITE").await?;
            let begun = begin(client, &origin, &shards).await?;
            client.batch_execute("COMMIT").await?;
            Ok(begun)
        });
        Box::pin(ready(begun.and_then(|begun| begun.map_err(|why| Error::Unsupported(why.to_owned())))))
    }

    fn receive(&self, parts: Vec<Part>) -> Answer<'_, ()> {
        let parts = Arc::new(parts);
        Box::pin(ready(self.0.ask(async move |client| {
            client.batch_execute("BEGIN READ WRITE").await?;
            take_outlines(client, &parts).await?;
            take_content(client, &parts).await?;
            take_rows(client, &parts).await?;
            client.batch_execute("COMMIT").await
        })))
    }

    fn receive_records(&self, shard: Shard, records: Vec<Record>) -> Answer<'_, ()> {
        Box::pin(ready(self.0.ask(async move |client| {
            client.batch_execute("BEGIN READ WRITE").await?;
            take_records(client, shard, &records).await?;
            client.batch_execute("COMMIT").await
        })))
    }

    fn note(&self, last: SessionId) -> Answer<'_, ()> {
        Box::pin(ready(self.0.ask(async move |client| {
            client.batch_execute("BEGIN READ WRITE").await?;
            client.execute("UPDATE copy SET session = $1", &[&&last.as_bytes()[..]]).await?;
            client.batch_execute("COMMIT").await
        })))
    }

    fn finish(&self) -> Answer<'_, ()> {
        Box::pin(ready(self.0.ask(async move |client| {
            // Done twice, the second finds nothing to do.
            let finish = format!(
                "BEGIN READ WRITE; DROP TABLE IF EXISTS mainstay.copy;
                 UPDATE format SET format = format - {COPYING}, least_reader = least_reader - {COPYING}
                 WHERE name = 'store' AND format >= {COPYING}; COMMIT"
            );
            client.batch_execute(&finish).await
        })))
    }
}

impl Whole for Receiving {
    fn standing(&self, now: Timestamp) -> Answer<'_, Standing> {
        self.0.standing(now)
    }

    fn backup(&self, into: PathBuf, seen: Seen) -> Answer<'_, ()> {
        self.0.backup(into, seen)
    }

    fn shards(&self) -> u16 {
        self.0.shards()
    }

    fn sessions(&self, shard: Shard, after: Option<SessionId>, limit: usize) -> Answer<'_, Vec<SessionId>> {
        self.0.sessions(shard, after, limit)
    }

    fn outline(&self, session: SessionId) -> Answer<'_, Option<Outline>> {
        self.0.outline(session)
    }

    fn pieces(&self, session: SessionId, after: Option<Place>) -> Answer<'_, Page<Piece>> {
        self.0.pieces(session, after)
    }

    fn records(&self, shard: Shard, after: Option<Place>) -> Answer<'_, Page<Record>> {
        self.0.records(shard, after)
    }
}

/// Under the lock of the format's row, so that of two copies one is first.
async fn begin(client: &Client, origin: &Digest, shards: &[(Shard, Epoch)]) -> Result<Begun, Failed> {
    let format = "SELECT format FROM format WHERE name = 'store' FOR UPDATE";
    let format: i32 = client.query_one(format, &[]).await?.try_get(0)?;
    if format >= COPYING {
        let row = client.query_one("SELECT origin, session FROM mainstay.copy", &[]).await?;
        if row.try_get::<_, &[u8]>(0)? != origin {
            return Ok(Err(
                "a copy of something else was begun in the database, or the source was written to since: empty it and \
                 begin anew",
            ));
        }
        let last = row.try_get::<_, Option<&[u8]>>(1)?.and_then(|id| id.try_into().ok());
        return Ok(Ok(last.map(SessionId::from_bytes)));
    }
    let used = "SELECT EXISTS (SELECT 1 FROM session) OR EXISTS (SELECT 1 FROM escrow)
        OR EXISTS (SELECT 1 FROM idempotency) OR EXISTS (SELECT 1 FROM shard WHERE epoch > 0)";
    if client.query_one(used, &[]).await?.try_get(0)? {
        return Ok(Err("the database holds a store: copy into an empty one"));
    }
    let make = format!(
        "CREATE TABLE mainstay.copy (origin bytea NOT NULL, session bytea);
         UPDATE format SET format = format + {COPYING}, least_reader = least_reader + {COPYING} WHERE name = 'store'"
    );
    client.batch_execute(&make).await?;
    client.execute("INSERT INTO mainstay.copy (origin) VALUES ($1)", &[&&origin[..]]).await?;
    let ids: Vec<i16> = shards.iter().map(|(shard, _)| shard.0 as i16).collect();
    let epochs: Vec<i64> = shards.iter().map(|(_, epoch)| epoch.0 as i64).collect();
    let epochs_go_on = "UPDATE shard SET epoch = u.epoch FROM unnest($1::int2[], $2::int8[]) AS u(id, epoch)
        WHERE shard.id = u.id";
    client.execute(epochs_go_on, &[&ids, &epochs]).await?;
    Ok(Ok(None))
}

async fn take_outlines(client: &Client, parts: &[Part]) -> Result<(), Failed> {
    let ids: Vec<&[u8]> = parts.iter().map(|part| &part.session.as_bytes()[..]).collect();
    let tenants: Vec<&str> = parts.iter().map(|part| &*part.outline.tenant.0).collect();
    let number = |of: fn(&Outline) -> u64| parts.iter().map(|part| of(&part.outline) as i64).collect::<Vec<_>>();
    let chains: Vec<&[u8]> = parts.iter().map(|part| &part.outline.chain[..]).collect();
    let open: Vec<bool> = parts.iter().map(|part| part.outline.open).collect();
    let erased: Vec<bool> = parts.iter().map(|part| part.outline.erased).collect();
    let (sequences, nexts) = (number(|outline| outline.sequence.0), number(|outline| outline.frame_next));
    let insert = "INSERT INTO session (id, tenant, sequence, chain, open, erased, frame_next, frame_floor)
        SELECT *, 0 FROM unnest($1::bytea[], $2::text[], $3::int8[], $4::bytea[], $5::bool[], $6::bool[], $7::int8[])
        ON CONFLICT DO NOTHING";
    client.execute(insert, &[&ids, &tenants, &sequences, &chains, &open, &erased, &nexts]).await?;
    let snapshots = parts.iter().filter_map(|part| {
        Some((&part.session.as_bytes()[..], &*part.outline.tenant.0, part.outline.snapshot.as_deref()?))
    });
    let (mut ids, mut tenants, mut contents) = (Vec::new(), Vec::new(), Vec::new());
    for (id, tenant, bytes) in snapshots {
        ids.push(id);
        tenants.push(tenant);
        contents.push(bytes);
    }
    let insert = "INSERT INTO snapshot (session, tenant, bytes)
        SELECT * FROM unnest($1::bytea[], $2::text[], $3::bytea[]) ON CONFLICT DO NOTHING";
    client.execute(insert, &[&ids, &tenants, &contents]).await.map(drop)
}

/// Every piece with its session and tenant.
fn each(parts: &[Part]) -> impl Iterator<Item = (&[u8], &str, &Piece)> {
    parts
        .iter()
        .flat_map(|part| part.pieces.iter().map(|piece| (&part.session.as_bytes()[..], &*part.outline.tenant.0, piece)))
}

async fn take_content(client: &Client, parts: &[Part]) -> Result<(), Failed> {
    let (mut ids, mut tenants, mut places, mut ops, mut contents) = (vec![], vec![], vec![], vec![], vec![]);
    for (id, tenant, piece) in each(parts) {
        let Piece::Event { sequence, op, bytes } = piece else { continue };
        ids.push(id);
        tenants.push(tenant);
        places.push(sequence.0 as i64);
        contents.push(&**bytes);
        ops.push(op.as_ref().map(|op| &op.0[..]));
    }
    let insert = "INSERT INTO event (session, tenant, sequence, op, bytes)
        SELECT * FROM unnest($1::bytea[], $2::text[], $3::int8[], $4::bytea[], $5::bytea[]) ON CONFLICT DO NOTHING";
    client.execute(insert, &[&ids, &tenants, &places, &ops, &contents]).await?;

    let (mut ids, mut tenants, mut firsts, mut lasts, mut contents) = (vec![], vec![], vec![], vec![], vec![]);
    for (id, tenant, piece) in each(parts) {
        let Piece::Slice { first, last, bytes } = piece else { continue };
        ids.push(id);
        tenants.push(tenant);
        firsts.push(*first as i64);
        lasts.push(*last as i64);
        contents.push(&**bytes);
    }
    let insert = "INSERT INTO frame (session, tenant, first, last, bytes)
        SELECT * FROM unnest($1::bytea[], $2::text[], $3::int8[], $4::int8[], $5::bytea[]) ON CONFLICT DO NOTHING";
    client.execute(insert, &[&ids, &tenants, &firsts, &lasts, &contents]).await?;

    let (mut ids, mut tenants, mut digests, mut contents) = (vec![], vec![], vec![], vec![]);
    for (id, tenant, piece) in each(parts) {
        let Piece::Blob { digest, bytes } = piece else { continue };
        ids.push(id);
        tenants.push(tenant);
        digests.push(&digest[..]);
        contents.push(&**bytes);
    }
    let insert = "INSERT INTO blob (session, tenant, digest, bytes)
        SELECT * FROM unnest($1::bytea[], $2::text[], $3::bytea[], $4::bytea[]) ON CONFLICT DO NOTHING";
    client.execute(insert, &[&ids, &tenants, &digests, &contents]).await.map(drop)
}

async fn take_rows(client: &Client, parts: &[Part]) -> Result<(), Failed> {
    let shard = |id: &[u8]| id.first_chunk().map_or(0, |bytes| i16::from_be_bytes(*bytes));
    let (mut ids, mut places, mut ops) = (vec![], vec![], vec![]);
    for (id, _, piece) in each(parts) {
        let Piece::Quiet { expected, op } = piece else { continue };
        ids.push(id);
        places.push(expected.0 as i64);
        ops.push(&op.0[..]);
    }
    let insert = "INSERT INTO quiet (session, expected, op)
        SELECT * FROM unnest($1::bytea[], $2::int8[], $3::bytea[]) ON CONFLICT DO NOTHING";
    client.execute(insert, &[&ids, &places, &ops]).await?;

    let (mut ids, mut keys, mut shards, mut times) = (vec![], vec![], vec![], vec![]);
    for (id, _, piece) in each(parts) {
        let Piece::Wakeup { key, at } = piece else { continue };
        ids.push(id);
        keys.push(&**key);
        shards.push(shard(id));
        times.push(at.0 as i64);
    }
    let insert = "INSERT INTO wakeup (session, key, shard, at)
        SELECT * FROM unnest($1::bytea[], $2::text[], $3::int2[], $4::int8[]) ON CONFLICT DO NOTHING";
    client.execute(insert, &[&ids, &keys, &shards, &times]).await?;

    let (mut ids, mut tenants, mut kinds, mut keys) = (vec![], vec![], vec![], vec![]);
    let (mut shards, mut values) = (vec![], vec![]);
    for (id, tenant, piece) in each(parts) {
        let Piece::Row { kind, key, value } = piece else { continue };
        ids.push(id);
        tenants.push(tenant);
        kinds.push(&**kind);
        keys.push(&**key);
        shards.push(shard(id));
        values.push(&**value);
    }
    let insert = "INSERT INTO entry (session, tenant, kind, key, shard, value)
        SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bytea[], $5::int2[], $6::bytea[])
        ON CONFLICT DO NOTHING";
    client.execute(insert, &[&ids, &tenants, &kinds, &keys, &shards, &values]).await.map(drop)
}

async fn take_records(client: &Client, shard: Shard, records: &[Record]) -> Result<(), Failed> {
    let shard = shard.0 as i16;
    let (mut scopes, mut ids, mut places, mut requests, mut times) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut accounts, mut amounts) = (vec![], vec![]);
    for record in records {
        match record {
            Record::Scope { scope, remembered, expires } => {
                scopes.push(&scope[..]);
                ids.push(&remembered.session.as_bytes()[..]);
                places.push(remembered.sequence.0 as i64);
                requests.push(&remembered.request[..]);
                times.push(expires.0 as i64);
            }
            Record::Funds { account, amount } => {
                accounts.push(&**account);
                amounts.push(*amount);
            }
        }
    }
    let insert = "INSERT INTO idempotency (shard, scope, session, sequence, request, expires)
        SELECT $1, * FROM unnest($2::bytea[], $3::bytea[], $4::int8[], $5::bytea[], $6::int8[]) ON CONFLICT DO NOTHING";
    client.execute(insert, &[&shard, &scopes, &ids, &places, &requests, &times]).await?;
    let insert = "INSERT INTO escrow (shard, account, amount)
        SELECT $1, * FROM unnest($2::bytea[], $3::int8[]) ON CONFLICT DO NOTHING";
    client.execute(insert, &[&shard, &accounts, &amounts]).await.map(drop)
}
