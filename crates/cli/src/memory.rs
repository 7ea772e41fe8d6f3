//! What this user's command line remembers between runs: the last session of each server, and what was typed. Small
//! files that only their owner may read; without a place for them nothing is remembered.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

/// Most servers whose last session is remembered.
const MAX_SERVERS: usize = 32;

/// The files of one user.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    dir: Option<PathBuf>,
    identity: String,
}

impl Memory {
    /// What is remembered of a server.
    pub(crate) fn new(dir: Option<&Path>, identity: &str) -> Self {
        Self { dir: dir.map(Path::to_owned), identity: identity.to_owned() }
    }

    /// The session that was last talked to.
    pub(crate) fn last_session(&self) -> Option<String> {
        self.sessions().get(&self.identity).and_then(Value::as_str).map(str::to_owned)
    }

    /// Remembers a session. That it could not be remembered stops nobody.
    pub(crate) fn remember(&self, session: &str) {
        let mut sessions = self.sessions();
        sessions.shift_remove(&self.identity);
        sessions.insert(self.identity.clone(), json!(session));
        while sessions.len() > MAX_SERVERS
            && let Some(oldest) = sessions.keys().next().cloned()
        {
            sessions.shift_remove(&oldest);
        }
        let _ = self.write(&Value::Object(sessions).to_string());
    }

    /// Where what was typed is kept; made readable for its owner only before anything is in it.
    pub(crate) fn history(&self) -> Option<PathBuf> {
        let path = self.dir.as_ref()?.join("history");
        self.make_dir().ok()?;
        OpenOptions::new().append(true).create(true).mode(0o600).open(&path).ok()?;
        Some(path)
    }

    fn sessions(&self) -> Map<String, Value> {
        let path = self.dir.as_ref().map(|dir| dir.join("sessions.json"));
        let text = path.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Whole or not at all: two commands may end at once.
    fn write(&self, text: &str) -> io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        self.make_dir()?;
        let beside = dir.join(format!("sessions.{}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        let written = writeln!(file, "{text}").and_then(|()| fs::rename(&beside, dir.join("sessions.json")));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written
    }

    fn make_dir(&self) -> io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_last_session_of_each_server_is_remembered_within_bounds() {
        let dir = std::env::temp_dir().join(format!("mainstay-cli-memory-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        let of = |identity: &str| Memory::new(Some(&dir), identity);
        assert_eq!(of("a").last_session(), None);
        of("a").remember("sess_1");
        of("b").remember("sess_2");
        of("a").remember("sess_3");
        assert_eq!((of("a").last_session(), of("b").last_session()), (Some("sess_3".into()), Some("sess_2".into())));
        for number in 0..MAX_SERVERS - 1 {
            of(&number.to_string()).remember("sess_4");
        }
        assert_eq!((of("a").last_session(), of("b").last_session()), (Some("sess_3".into()), None));
        let modes = ["sessions.json", "history"].map(|name| {
            of("a").history().unwrap();
            fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777
        });
        assert_eq!(modes, [0o600, 0o600]);
        fs::write(dir.join("sessions.json"), "damaged").unwrap();
        assert_eq!(of("a").last_session(), None);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn without_a_place_nothing_is_remembered() {
        let nowhere = Memory::new(None, "a");
        nowhere.remember("sess_1");
        assert_eq!((nowhere.last_session(), nowhere.history()), (None, None));
    }
}
