//! The shape of tables: numbered migrations, forward only, applied by one node under the lock of one row.

use std::time::Duration;

use tokio_postgres::{Client, error::SqlState};

use super::{
    fault,
    link::{Failure, Link},
};
use crate::error::Error;

/// How long migrations may take; other nodes wait as long for the one that does them.
const PATIENCE: Duration = Duration::from_secs(600);
/// Tries to make the first table: nodes that start together may be in one another's way.
const TRIES: usize = 10;

/// One step.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// What it does.
    pub sql: &'static str,
    /// The oldest format whose binaries may go on serving beside it. As high as its own number where they may not.
    pub least_reader: i32,
}

/// Tables that change together, under one version.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// What messages and the version's row call it.
    pub name: &'static str,
    /// All steps since the beginning; how many there are is the format.
    pub migrations: &'static [Migration],
}

/// What a database holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// How many migrations were applied.
    pub format: i32,
    /// The oldest binaries that may serve it, by their format.
    pub least_reader: i32,
}

impl Shape {
    /// The format that this binary writes.
    #[must_use]
    pub const fn format(&self) -> i32 {
        self.migrations.len() as i32
    }

    /// Whether this binary may serve a database of that version.
    ///
    /// # Errors
    /// `Unavailable`, naming both versions.
    pub fn admit(&self, found: Version) -> Result<(), Error> {
        let (name, mine) = (self.name, self.format());
        if found.format > mine && found.least_reader > mine {
            let Version { format, least_reader } = found;
            return Err(Error::Unavailable(format!(
                "the database's {name} has format {format}, which binaries of format {least_reader} and later can \
                 serve; this one has format {mine}: install a later version"
            )));
        }
        Ok(())
    }

    /// What a database holds; `None` where nothing was ever made.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn version(&self, link: &mut Link) -> Result<Option<Version>, Error> {
        let read = async |client: &Client| {
            let there = client.query_one("SELECT to_regclass('mainstay.format') IS NOT NULL", &[]).await?;
            if !there.get::<_, bool>(0) {
                return Ok(None);
            }
            let row = "SELECT format, least_reader FROM mainstay.format WHERE name = $1";
            client.query_opt(row, &[&self.name]).await
        };
        let row = link.run(read).await.map_err(|failure| failure.before())?;
        let version = row.map(|row| Version { format: row.get(0), least_reader: row.get(1) });
        Ok(version.filter(|version| version.format > 0))
    }

    /// Applies what is missing, together with `first` where the database was empty, and answers what it holds then.
    ///
    /// # Errors
    /// `Unavailable`; nothing was changed. Also where the database is too new for this binary.
    pub async fn migrate(&self, link: &mut Link, first: &str) -> Result<Version, Error> {
        let patience = link.set_patience(PATIENCE);
        let done = self.migrate_patiently(link, first).await;
        link.set_patience(patience);
        done
    }

    async fn migrate_patiently(&self, link: &mut Link, first: &str) -> Result<Version, Error> {
        if self.version(link).await?.is_none() {
            self.prepare(link).await?;
        }
        let outcome = link.run(async |client| self.apply(client, first).await).await;
        match outcome {
            Ok(found) => self.admit(found).map(|()| found),
            Err(failure) => {
                if link.is_open() {
                    let _ = link.run(async |client| client.batch_execute("ROLLBACK").await).await;
                }
                Err(Error::Unavailable(format!("the database's {} was not migrated: {}", self.name, why(&failure))))
            }
        }
    }

    /// Makes the table of versions and the row that is the lock.
    async fn prepare(&self, link: &mut Link) -> Result<(), Error> {
        let make = async |client: &Client| {
            let sql = "BEGIN READ WRITE;
                CREATE SCHEMA IF NOT EXISTS mainstay;
                CREATE TABLE IF NOT EXISTS mainstay.format (
                    name text COLLATE \"C\" PRIMARY KEY,
                    format integer NOT NULL,
                    least_reader integer NOT NULL
                );
                COMMIT";
            client.batch_execute(sql).await?;
            let row = "INSERT INTO mainstay.format VALUES ($1, 0, 0) ON CONFLICT DO NOTHING";
            client.batch_execute("SET default_transaction_read_only = off").await?;
            client.execute(row, &[&self.name]).await?;
            client.batch_execute("SET default_transaction_read_only = on").await
        };
        let mut last = None;
        for _ in 0..TRIES {
            match link.run(make).await {
                Ok(()) => return Ok(()),
                Err(failure) if is_race(&failure) => {
                    link.run(async |client| client.batch_execute("ROLLBACK").await).await.map_err(|e| e.before())?;
                    last = Some(failure);
                }
                Err(failure) => return Err(failure.before()),
            }
        }
        Err(last.map_or_else(|| Error::Unavailable("no try was made".to_owned()), |failure| failure.before()))
    }

    async fn apply(&self, client: &Client, first: &str) -> Result<Version, tokio_postgres::Error> {
        client.batch_execute("BEGIN READ WRITE; SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0").await?;
        let row = "SELECT format, least_reader FROM mainstay.format WHERE name = $1 FOR UPDATE";
        let row = client.query_one(row, &[&self.name]).await?;
        let mut version = Version { format: row.get(0), least_reader: row.get(1) };
        let is_new = version.format == 0;
        for migration in self.migrations.iter().skip(version.format.max(0) as usize) {
            client.batch_execute(migration.sql).await?;
            let least_reader = version.least_reader.max(migration.least_reader);
            version = Version { format: version.format + 1, least_reader };
        }
        if is_new {
            client.batch_execute(first).await?;
        }
        let row = "UPDATE mainstay.format SET format = $2, least_reader = $3 WHERE name = $1 AND format < $2";
        client.execute(row, &[&self.name, &version.format, &version.least_reader]).await?;
        client.batch_execute("COMMIT").await?;
        Ok(version)
    }
}

/// What two that make the same thing at once are told.
fn is_race(failure: &Failure) -> bool {
    let races = [
        SqlState::UNIQUE_VIOLATION,
        SqlState::DUPLICATE_SCHEMA,
        SqlState::DUPLICATE_TABLE,
        SqlState::DUPLICATE_OBJECT,
        SqlState::INTERNAL_ERROR,
    ];
    failure.code().is_some_and(|code| races.contains(code))
}

fn why(failure: &Failure) -> String {
    match failure {
        Failure::Said(error) => fault::said(error),
        Failure::Late => "it took too long".to_owned(),
    }
}
