//! Brings a database to the format of this version. Formats only ever grow; a step is one transaction, so that a crash
//! leaves the file in the one format or the next.

use std::path::PathBuf;

use rusqlite::Connection;

use super::{fault, file::Folder, schema};
use crate::{error::Error, whole::Migrated};

/// What turns format N + 1 into N + 2, by place. Never changed once released; the last leads to `schema::FORMAT`.
const STEPS: &[&str] = &[];

/// Migrates the database of a data directory; of one that is up to date, nothing happens.
///
/// # Errors
/// `Unavailable`: there is none, it is in use, or a later version wrote it.
pub fn migrate(dir: PathBuf) -> Result<Migrated, Error> {
    let folder = Folder::new(dir);
    folder.must_exist()?;
    let _lock = folder.lock()?;
    let asked = |error: rusqlite::Error| fault::before_commit(&error);
    let connection = folder.writer().map_err(asked)?;
    let from = connection.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0)).map_err(asked)?;
    let begin = usize::try_from(from - 1).ok().filter(|_| from < schema::FORMAT);
    for (number, step) in STEPS.iter().enumerate().skip(begin.unwrap_or(STEPS.len())) {
        step_to(&connection, number as i32 + 2, step).map_err(asked)?;
    }
    Folder::recognise(&connection)?;
    Ok(Migrated { from: from as u32, to: schema::FORMAT as u32 })
}

fn step_to(connection: &Connection, format: i32, step: &str) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("BEGIN IMMEDIATE;{step};PRAGMA user_version={format};COMMIT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_lead_from_the_first_format_to_this_one() {
        assert_eq!(STEPS.len() as i32 + 1, schema::FORMAT);
    }

    #[test]
    fn a_step_and_its_number_are_one() {
        let connection = Connection::open_in_memory().unwrap();
        step_to(&connection, 2, "CREATE TABLE more (id INTEGER)").unwrap();
        assert!(step_to(&connection, 3, "CREATE TABLE other (id INTEGER); CREATE TABLE more (id INTEGER)").is_err());
        connection.execute_batch("ROLLBACK").unwrap();
        let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 2);
        assert!(connection.prepare("SELECT 1 FROM other").is_err());
    }
}
