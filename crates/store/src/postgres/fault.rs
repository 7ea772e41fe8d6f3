//! What a failure of PostgreSQL means to a caller, by its SQLSTATE.

use tokio_postgres::{Error as Failed, error::SqlState};

use crate::error::Error;

/// What a class or code of SQLSTATE means before COMMIT. The longest beginning that matches counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Try again later: contention, shutdown, no connection, a refused login.
    Later,
    /// No room.
    Full,
    /// What we asserted does not hold, or the statement cannot be meant for these tables.
    Broken,
}

/// Anything else is `Later`: nothing was written, and a person reads the message.
pub(super) const CODES: &[(&str, Meaning)] = &[
    ("08", Meaning::Later),
    ("22", Meaning::Broken),
    ("23", Meaning::Broken),
    ("25006", Meaning::Later),
    ("25P02", Meaning::Later),
    ("28", Meaning::Later),
    ("40001", Meaning::Later),
    ("40P01", Meaning::Later),
    ("42", Meaning::Broken),
    ("42501", Meaning::Later),
    ("53", Meaning::Later),
    ("53100", Meaning::Full),
    ("55P03", Meaning::Later),
    ("57", Meaning::Later),
    ("58", Meaning::Later),
    ("58030", Meaning::Later),
    ("XX", Meaning::Later),
    ("XX001", Meaning::Broken),
    ("XX002", Meaning::Broken),
];

pub(super) fn meaning(code: &SqlState) -> Meaning {
    let matches = CODES.iter().filter(|(begin, _)| code.code().starts_with(begin));
    matches.max_by_key(|(begin, _)| begin.len()).map_or(Meaning::Later, |(_, meaning)| *meaning)
}

/// A failure before COMMIT: nothing of the transaction is, or can come to be, in the database.
pub(super) fn before(error: &Failed) -> Error {
    match error.code().map(meaning) {
        Some(Meaning::Full) => Error::Full,
        Some(Meaning::Broken) => Error::Corrupt(said(error)),
        Some(Meaning::Later) | None => Error::Unavailable(said(error)),
    }
}

/// What the server said, else what the client library says.
pub(super) fn said(error: &Failed) -> String {
    use std::error::Error as _;
    match (error.as_db_error(), error.source()) {
        (Some(server), _) => format!("{} ({})", server.message(), server.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_mean_what_a_caller_may_do() {
        let cases = [
            ("08006", Meaning::Later),
            ("22012", Meaning::Broken),
            ("23505", Meaning::Broken),
            ("25006", Meaning::Later),
            ("25P02", Meaning::Later),
            ("28P01", Meaning::Later),
            ("40001", Meaning::Later),
            ("40P01", Meaning::Later),
            ("42P01", Meaning::Broken),
            ("42501", Meaning::Later),
            ("53100", Meaning::Full),
            ("53200", Meaning::Later),
            ("53300", Meaning::Later),
            ("55P03", Meaning::Later),
            ("57014", Meaning::Later),
            ("57P01", Meaning::Later),
            ("57P03", Meaning::Later),
            ("58030", Meaning::Later),
            ("XX000", Meaning::Later),
            ("XX001", Meaning::Broken),
            ("0A000", Meaning::Later),
        ];
        for (code, expected) in cases {
            assert_eq!(meaning(&SqlState::from_code(code)), expected, "{code}");
        }
    }
}
