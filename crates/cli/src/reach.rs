//! Which server is talked to, and with which key.

use std::{fs, net::IpAddr, path::PathBuf};

use clap::{Args, ValueEnum};
use reqwest::Url;

use crate::error::{Error, Result};

/// Where a server listens unless it is told otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:7070";

/// The first key, in the data directory.
const KEY_FILE: &str = "api-key";

/// What the binary found in its surroundings; nothing else of them reaches this crate.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `MAINSTAY_URL`.
    pub url: Option<String>,
    /// `MAINSTAY_API_KEY`.
    pub api_key: Option<String>,
    /// Where the server of the data directory listens, if one runs.
    pub running: Option<String>,
    /// Where it is configured to listen.
    pub configured: Option<String>,
    /// The data directory of the server on this machine.
    pub data_dir: PathBuf,
    /// Where this user's programs remember things, if that is known.
    pub state_dir: Option<PathBuf>,
    /// Whether `NO_COLOR` is set, or the terminal knows no colours.
    pub is_plain: bool,
}

/// What every command that talks to a server takes.
#[derive(Clone, Debug, Default, Args)]
pub struct Reach {
    /// The server's address. Left out: $MAINSTAY_URL, then the server that runs with the data directory, then where it is configured to listen.
    #[arg(long, value_name = "URL", help_heading = "Server")]
    pub url: Option<String>,
    /// The server's data directory, for its address and first key. $MAINSTAY_API_KEY goes before that key.
    #[arg(long, value_name = "DIR", help_heading = "Server")]
    pub data: Option<PathBuf>,
    /// The server's configuration file (TOML), which may name the data directory.
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub config: Option<PathBuf>,
    /// Print JSON: one document, or a line for each event of a stream.
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// When to use colours; never where $NO_COLOR is set, unless asked for here.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto, help_heading = "Output")]
    pub color: Color,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A server and how to be let in.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) url: Url,
    pub(crate) key: Option<String>,
    /// What to tell somebody whose key is refused.
    pub(crate) key_advice: String,
    /// Under which name sessions are remembered: whose key it is decides which sessions there are.
    pub(crate) identity: String,
    data_dir: PathBuf,
}

impl Server {
    /// Finds the server that is meant.
    pub(crate) fn find(reach: &Reach, around: &Surroundings) -> Result<Self> {
        let data_dir = &around.data_dir;
        let sources = [&reach.url, &around.url, &around.running, &around.configured];
        let url = read_url(sources.into_iter().flatten().next().map_or(DEFAULT_URL, String::as_str))?;
        // The key of this machine's server is for nobody else.
        let is_ours =
            is_loopback(&url) || around.running.as_deref().and_then(|own| read_url(own).ok()) == Some(url.clone());
        let file = data_dir.join(KEY_FILE);
        let key = match &around.api_key {
            Some(key) => Some(key.clone()),
            None if is_ours => fs::read_to_string(&file).ok().map(|key| key.trim().to_owned()),
            None => None,
        };
        let key_advice = match (&around.api_key, is_ours) {
            (Some(_), _) => "The key came from $MAINSTAY_API_KEY.".to_owned(),
            (None, true) if key.is_some() => format!(
                "The key came from {}: is that the data directory of this server? --data DIR names another, \
                 $MAINSTAY_API_KEY gives a key.",
                file.display()
            ),
            (None, true) => format!(
                "There is no key in {}. Name the server's data directory with --data DIR, or set $MAINSTAY_API_KEY.",
                file.display()
            ),
            (None, false) => {
                "Set $MAINSTAY_API_KEY: the key of a data directory is sent to this machine only.".to_owned()
            }
        };
        let identity =
            if around.api_key.is_none() && is_ours { data_dir.display().to_string() } else { url.to_string() };
        Ok(Self { url, key, key_advice, identity, data_dir: data_dir.clone() })
    }

    /// The server cannot be reached: what to do.
    pub(crate) fn unreachable(&self, why: &str) -> Error {
        let advice = if is_loopback(&self.url) {
            format!(
                "Start one with: mainstay serve --data {}\nIf it listens elsewhere: --url URL, or $MAINSTAY_URL.",
                self.data_dir.display()
            )
        } else {
            "Is the address right? --url URL or $MAINSTAY_URL names another.".to_owned()
        };
        let message = format!("no server answers at {} ({why})", self.url.as_str().trim_end_matches('/'));
        Error::new(crate::Exit::Unreachable, message).advise(advice)
    }
}

fn read_url(text: &str) -> Result<Url> {
    let wrong = |why: &str| {
        Error::usage(format!("the address {text:?} {why}")).advise("An address looks like http://127.0.0.1:7070")
    };
    let url = Url::parse(text).map_err(|_| wrong("cannot be read"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must not hold a password: use $MAINSTAY_API_KEY"));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn find(url: Option<&str>, key: Option<&str>, data_dir: &Path) -> Server {
        let around =
            Surroundings { api_key: key.map(str::to_owned), data_dir: data_dir.to_owned(), ..Surroundings::default() };
        Server::find(&Reach { url: url.map(str::to_owned), ..Reach::default() }, &around).unwrap()
    }

    #[test]
    fn the_key_of_a_data_directory_stays_on_this_machine() {
        let dir = std::env::temp_dir().join(format!("mainstay-cli-reach-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(KEY_FILE), "msk-own\n").unwrap();
        for url in [None, Some("http://localhost:1"), Some("http://127.0.0.2:1"), Some("https://[::1]:1/base")] {
            assert_eq!(find(url, None, &dir).key.as_deref(), Some("msk-own"), "{url:?}");
        }
        for url in ["http://example.com", "https://127.0.0.1.example.com", "http://192.168.0.1:7070"] {
            assert_eq!(find(Some(url), None, &dir).key, None, "{url}");
            assert_eq!(find(Some(url), Some("given"), &dir).key.as_deref(), Some("given"));
        }
        let running = Some("http://192.168.0.1:7070".to_owned());
        let around = Surroundings { data_dir: dir.clone(), running, ..Surroundings::default() };
        let own = Server::find(&Reach::default(), &around).unwrap();
        assert_eq!((own.url.as_str(), own.key.as_deref()), ("http://192.168.0.1:7070/", Some("msk-own")));
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn an_address_that_cannot_be_meant_is_refused() {
        for text in ["", "localhost:7070", "ftp://x", "http://", "http://user:secret@host"] {
            assert_eq!(read_url(text).unwrap_err().exit, crate::Exit::Usage, "{text}");
        }
    }
}
