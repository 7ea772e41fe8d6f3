//! Settings of a server that would lose what was acknowledged, or take a wall away: refused or warned of by name.

use tokio_postgres::Client;

use super::link::{Failure, Link};
use crate::error::Error;

/// What a server says of itself.
#[derive(Clone, Debug)]
pub(super) struct Found {
    version: i32,
    fsync: String,
    full_page_writes: String,
    /// What it would be without our own SET.
    synchronous_commit: String,
    standbys: String,
    is_replica: bool,
    encoding: String,
    is_superuser: bool,
    bypasses_rows: bool,
    /// Whether two connections that are open at once were served by one process.
    is_pooled: bool,
    /// Whether somebody relies on a standby to take over.
    failover: bool,
}

/// What happens to a server that breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Refused,
    Warned,
}

/// Whether something is wrong with what was found.
type IsBroken = fn(&Found) -> bool;

/// One rule: what is wrong, and what to do.
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    pub(super) is_broken: IsBroken,
    pub(super) text: &'static str,
}

const fn rule(name: &'static str, verdict: Verdict, is_broken: IsBroken, text: &'static str) -> Rule {
    Rule { name, verdict, is_broken, text }
}

/// Every rule. `docs/guides/postgres.md` lists them.
pub(super) const RULES: &[Rule] = &[
    rule(
        "server_version",
        Verdict::Refused,
        |found| found.version < 150_000,
        "the server is older than PostgreSQL 15: upgrade it",
    ),
    rule(
        "server_encoding",
        Verdict::Refused,
        |found| found.encoding != "UTF8",
        "the database is not UTF8: make it with ENCODING 'UTF8'",
    ),
    rule(
        "pg_is_in_recovery",
        Verdict::Refused,
        |found| found.is_replica,
        "this is a replica: name the primary, or all hosts of the cluster separated by commas",
    ),
    rule(
        "fsync",
        Verdict::Refused,
        |found| found.fsync != "on",
        "a crash of the machine would lose or damage what was acknowledged: set fsync = on",
    ),
    rule(
        "full_page_writes",
        Verdict::Warned,
        |found| found.full_page_writes != "on",
        "a crash of the machine may damage pages: set full_page_writes = on unless the file system never tears pages",
    ),
    rule(
        "synchronous_commit",
        Verdict::Warned,
        |found| matches!(&*found.synchronous_commit, "off" | "local" | "remote_write"),
        "other programs on this database lose what was acknowledged to them: set synchronous_commit = on (the store's \
         own connections do)",
    ),
    rule(
        "synchronous_standby_names",
        Verdict::Refused,
        |found| found.failover && found.standbys.trim().is_empty(),
        "a standby that takes over would not have all that was acknowledged: name the standbys, or say that there is \
         no fail-over",
    ),
    rule(
        "pool_mode",
        Verdict::Refused,
        |found| found.is_pooled,
        "a pooler hands each transaction to another process: use its session mode, or connect without it",
    ),
    rule(
        "rolsuper",
        Verdict::Warned,
        |found| found.is_superuser,
        "row-level security does not bind a superuser: connect as a role without SUPERUSER",
    ),
    rule(
        "rolbypassrls",
        Verdict::Warned,
        |found| found.bypasses_rows && !found.is_superuser,
        "row-level security does not bind this role: ALTER ROLE ... NOBYPASSRLS",
    ),
];

/// Asks a server. A second connection shows whether a pooler is in between.
pub(super) async fn look(link: &mut Link, second: &mut Link, failover: bool) -> Result<Found, Error> {
    let process = async |link: &mut Link| -> Result<i32, Failure> {
        let ask = async |client: &Client| {
            client.batch_execute("BEGIN READ ONLY").await?;
            let row = client.query_one("SELECT pg_backend_pid()", &[]).await?;
            client.batch_execute("COMMIT").await?;
            Ok(row.get(0))
        };
        link.run(ask).await
    };
    let first = process(link).await.map_err(|failure| failure.before())?;
    let other = process(second).await.map_err(|failure| failure.before())?;
    let again = process(link).await.map_err(|failure| failure.before())?;
    let ask = async |client: &Client| {
        let sql = "SELECT current_setting('server_version_num')::int, current_setting('fsync'),
            current_setting('full_page_writes'),
            (SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'synchronous_commit'),
            current_setting('synchronous_standby_names'), pg_is_in_recovery(), current_setting('server_encoding'),
            rolsuper, rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = current_user";
        client.query_one(sql, &[]).await
    };
    let row = link.run(ask).await.map_err(|failure| failure.before())?;
    Ok(Found {
        version: row.get(0),
        fsync: row.get(1),
        full_page_writes: row.get(2),
        synchronous_commit: row.get(3),
        standbys: row.get(4),
        is_replica: row.get(5),
        encoding: row.get(6),
        is_superuser: row.get(7),
        bypasses_rows: row.get(8),
        is_pooled: first == other || first != again,
        failover,
    })
}

/// Judges what was found: warnings go to the log.
///
/// # Errors
/// `Unavailable`, naming every setting for which the server is refused.
pub(super) fn judge(found: &Found) -> Result<(), Error> {
    let broken = || RULES.iter().filter(|rule| (rule.is_broken)(found));
    for rule in broken().filter(|rule| rule.verdict == Verdict::Warned) {
        tracing::warn!(setting = rule.name, "{}", rule.text);
    }
    let refused: Vec<String> = broken()
        .filter(|rule| rule.verdict == Verdict::Refused)
        .map(|rule| format!("{}: {}", rule.name, rule.text))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    Err(Error::Unavailable(format!("the database is refused: {}", refused.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Found {
        Found {
            version: 150_004,
            fsync: "on".to_owned(),
            full_page_writes: "on".to_owned(),
            synchronous_commit: "on".to_owned(),
            standbys: String::new(),
            is_replica: false,
            encoding: "UTF8".to_owned(),
            is_superuser: false,
            bypasses_rows: false,
            is_pooled: false,
            failover: false,
        }
    }

    #[test]
    fn every_rule_is_broken_by_its_setting_and_by_nothing_else() {
        let off = || "off".to_owned();
        let cases = [
            ("server_version", Found { version: 140_011, ..sound() }),
            ("server_encoding", Found { encoding: "SQL_ASCII".to_owned(), ..sound() }),
            ("pg_is_in_recovery", Found { is_replica: true, ..sound() }),
            ("fsync", Found { fsync: off(), ..sound() }),
            ("full_page_writes", Found { full_page_writes: off(), ..sound() }),
            ("synchronous_commit", Found { synchronous_commit: "local".to_owned(), ..sound() }),
            ("synchronous_standby_names", Found { failover: true, ..sound() }),
            ("pool_mode", Found { is_pooled: true, ..sound() }),
            ("rolsuper", Found { is_superuser: true, bypasses_rows: true, ..sound() }),
            ("rolbypassrls", Found { bypasses_rows: true, ..sound() }),
        ];
        assert_eq!(cases.len(), RULES.len());
        assert_eq!(judge(&sound()), Ok(()));
        for (name, found) in cases {
            let broken: Vec<_> = RULES.iter().filter(|rule| (rule.is_broken)(&found)).collect();
            assert_eq!(broken.iter().map(|rule| rule.name).collect::<Vec<_>>(), [name]);
            match (broken[0].verdict, judge(&found)) {
                (Verdict::Warned, Ok(())) => {}
                (Verdict::Refused, Err(Error::Unavailable(why))) => {
                    assert!(why.contains(name) && why.contains(broken[0].text), "{why}");
                }
                (_, other) => panic!("{name}: {other:?}"),
            }
        }
        let standby = Found { failover: true, standbys: "ANY 1 (a, b)".to_owned(), ..sound() };
        assert_eq!(judge(&standby), Ok(()));
    }
}
