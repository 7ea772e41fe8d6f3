//! A database of keys: wrapped data keys that the nodes of a cluster share, apart from the store's database. What a
//! record says is the keyring's matter; here it is a line under a name. Every change has a number, given under the lock
//! of one row, so that who follows the numbers misses none.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio_postgres::{Client, Row};

use super::{
    Options,
    desk::{Counter, Desk},
    schema::{Migration, Shape},
    tables::STORE,
    target::Target,
};
use crate::error::Error;

/// How often changes of others are asked for: the bound within which a destroyed key is destroyed on every node that
/// reaches the database.
pub const FOLLOW_MS: u64 = 1_000;
/// Changes that are read at once.
const PAGE: i64 = 1_000;

const KEYS: Shape = Shape { name: "keys", migrations: &[Migration { sql: FIRST, least_reader: 1 }] };

const FIRST: &str = "
CREATE TABLE mainstay.key_change (one boolean PRIMARY KEY CHECK (one), revision bigint NOT NULL);
INSERT INTO mainstay.key_change VALUES (true, 0);
CREATE TABLE mainstay.data_key (
    lookup bytea PRIMARY KEY,
    id bytea NOT NULL UNIQUE,
    revision bigint NOT NULL UNIQUE,
    line text NOT NULL
);";

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The number of its last change.
    pub revision: u64,
    /// Its name.
    pub lookup: [u8; 32],
    /// The key's id.
    pub id: [u8; 8],
    /// What it says.
    pub line: String,
}

/// Hears of changes.
pub type Heard = Box<dyn Fn(&[KeyRow]) + Send + Sync>;

#[derive(Default)]
struct Following {
    revision: i64,
    heard: Option<Heard>,
}

/// An open database of keys. Its verbs block until what they say is durable.
pub struct KeyTable {
    counter: Counter,
    following: Arc<Mutex<Following>>,
}

/// Opens a database of keys, and makes its tables where there are none.
///
/// # Errors
/// `Unavailable`; `Unsupported` where the database holds a store, whose backups would hold the keys too.
pub fn open_keys(options: Options) -> Result<KeyTable, Error> {
    let following = Arc::new(Mutex::new(Following::default()));
    let mine = Arc::clone(&following);
    let follow = Box::new(move |desk: &mut Desk| follow(desk, &mine));
    let idle = Some((Duration::from_millis(FOLLOW_MS), follow as Box<dyn FnMut(&mut Desk) + Send>));
    let counter = Counter::start(("keys", ""), options, idle)?;
    counter.ask(|desk| {
        desk.with(async |link| {
            if STORE.version(link).await?.is_some() {
                let why = "the database of keys holds a store: keys need a database of their own, so that no backup \
                           holds both";
                return Err(Error::Unsupported(why.to_owned()));
            }
            match KEYS.version(link).await? {
                Some(version) if version.format >= KEYS.format() => KEYS.admit(version),
                _ => KEYS.migrate(link, "").await.map(drop),
            }
        })
    })?;
    Ok(KeyTable { counter, following })
}

/// Whether two URLs name one database, as far as they say themselves.
///
/// # Errors
/// `Unavailable` where one cannot be read.
pub fn is_same_database(one: &str, other: &str) -> Result<bool, Error> {
    let [one, other] = [Target::parse(one)?.config, Target::parse(other)?.config];
    let name = |config: &tokio_postgres::Config| config.get_dbname().or(config.get_user()).map(str::to_owned);
    let places = |config: &tokio_postgres::Config| {
        let port = |index: usize| {
            let ports = config.get_ports();
            ports.get(index).or(ports.first()).copied().unwrap_or(5_432)
        };
        let hosts = config.get_hosts().iter().enumerate();
        hosts.map(|(index, host)| format!("{host:?}:{}", port(index))).collect::<Vec<_>>()
    };
    let shared = places(&one).iter().any(|place| places(&other).contains(place));
    Ok(shared && name(&one) == name(&other))
}

impl KeyTable {
    /// Records that changed after `revision`, in the order of their changes.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn since(&self, revision: u64, limit: usize) -> Result<Vec<KeyRow>, Error> {
        let limit = i64::try_from(limit).unwrap_or(PAGE).min(PAGE);
        self.counter.ask(move |desk| desk.run(async |client| since(client, revision as i64, limit).await))
    }

    /// The record of a name.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn find(&self, lookup: [u8; 32]) -> Result<Option<KeyRow>, Error> {
        self.counter.ask(move |desk| desk.run(async |client| find(client, &lookup).await))
    }

    /// The record of a key.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn find_key(&self, id: [u8; 8]) -> Result<Option<KeyRow>, Error> {
        self.counter.ask(move |desk| {
            desk.run(async |client| {
                let query = "SELECT lookup, id, revision, line FROM data_key WHERE id = $1";
                client.query_opt(query, &[&&id[..]]).await?.as_ref().map(row).transpose()
            })
        })
    }

    /// Files a record unless there is one under its name; answers the one that there is then.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn insert(&self, lookup: [u8; 32], id: [u8; 8], line: String) -> Result<KeyRow, Error> {
        self.counter.ask(move |desk| {
            let filed = desk.run(async |client| {
                if let Some(row) = find(client, &lookup).await? {
                    return Ok(Some(row));
                }
                client.batch_execute("BEGIN READ WRITE").await?;
                let revision = next(client).await?;
                let insert = "INSERT INTO data_key (lookup, id, revision, line) VALUES ($1, $2, $3, $4)
                              ON CONFLICT (lookup) DO NOTHING";
                client.execute(insert, &[&&lookup[..], &&id[..], &revision, &line]).await?;
                client.batch_execute("COMMIT").await?;
                find(client, &lookup).await
            })?;
            filed.ok_or_else(|| Error::Corrupt("a key that was filed is not there".to_owned()))
        })
    }

    /// Puts another line in the place of a key's.
    ///
    /// # Errors
    /// `Unavailable`: it may or may not have happened.
    pub fn replace(&self, lookup: [u8; 32], id: [u8; 8], line: String) -> Result<(), Error> {
        self.counter.ask(move |desk| {
            desk.run(async |client| {
                client.batch_execute("BEGIN READ WRITE").await?;
                let revision = next(client).await?;
                let update = "UPDATE data_key SET line = $3, revision = $4 WHERE lookup = $1 AND id = $2";
                client.execute(update, &[&&lookup[..], &&id[..], &line, &revision]).await?;
                client.batch_execute("COMMIT").await
            })
        })
    }

    /// Tells of changes from now on, within `FOLLOW_MS` while the database answers.
    pub fn watch(&self, heard: Heard) {
        self.following.lock().unwrap_or_else(PoisonError::into_inner).heard = Some(heard);
    }
}

fn follow(desk: &mut Desk, following: &Mutex<Following>) {
    loop {
        let from = following.lock().unwrap_or_else(PoisonError::into_inner).revision;
        let changed = match desk.run(async |client| since(client, from, PAGE).await) {
            Ok(changed) => changed,
            Err(error) => return tracing::warn!(%error, "the database of keys cannot be followed"),
        };
        let Some(last) = changed.last() else { return };
        let mut following = following.lock().unwrap_or_else(PoisonError::into_inner);
        // Until somebody listens nothing is passed by.
        let Some(heard) = &following.heard else { return };
        heard(&changed);
        following.revision = last.revision as i64;
    }
}

async fn next(client: &Client) -> Result<i64, tokio_postgres::Error> {
    client.query_one("UPDATE key_change SET revision = revision + 1 RETURNING revision", &[]).await?.try_get(0)
}

async fn since(client: &Client, revision: i64, limit: i64) -> Result<Vec<KeyRow>, tokio_postgres::Error> {
    let query = "SELECT lookup, id, revision, line FROM data_key WHERE revision > $1 ORDER BY revision LIMIT $2";
    client.query(query, &[&revision, &limit]).await?.iter().map(row).collect()
}

async fn find(client: &Client, lookup: &[u8; 32]) -> Result<Option<KeyRow>, tokio_postgres::Error> {
    let query = "SELECT lookup, id, revision, line FROM data_key WHERE lookup = $1";
    client.query_opt(query, &[&&lookup[..]]).await?.as_ref().map(row).transpose()
}

fn row(row: &Row) -> Result<KeyRow, tokio_postgres::Error> {
    Ok(KeyRow {
        lookup: fixed(row.try_get(0)?),
        id: fixed(row.try_get(1)?),
        revision: row.try_get::<_, i64>(2)? as u64,
        line: row.try_get(3)?,
    })
}

/// Of another length it is nobody's name: the keyring refuses the record.
fn fixed<const LENGTH: usize>(bytes: &[u8]) -> [u8; LENGTH] {
    bytes.try_into().unwrap_or([0xff; LENGTH])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_database_under_two_urls_is_recognised() {
        let same = |one, other| is_same_database(one, other).unwrap();
        assert!(same("postgres://a:x@h/d", "postgres://b:y@h:5432/d?sslmode=require"));
        assert!(same("postgres://u@h,i/d", "host=i dbname=d user=u"));
        assert!(!same("postgres://u@h/d", "postgres://u@h/keys"));
        assert!(!same("postgres://u@h/d", "postgres://u@h:5433/d"));
    }
}
