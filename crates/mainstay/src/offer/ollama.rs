//! A running Ollama: where it would be, and which of its models answer on this machine. Asked once, bounded in time
//! and size, and only on loopback. `OLLAMA_HOST` is read as Ollama's own command line reads it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Deserialize;

use crate::loopback;

/// Its port where none is named.
const PORT: u16 = 11_434;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ollama {
    /// Nothing answers there.
    Absent,
    /// The environment names a place that is not asked.
    Elsewhere(String),
    /// It answers.
    Running {
        /// Where.
        address: SocketAddr,
        /// Models that run on this machine, the newest first.
        local: Vec<String>,
        /// Models that it would send elsewhere.
        remote: Vec<String>,
    },
}

/// Its answer to `GET /api/tags`, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Tags {
    #[serde(default)]
    models: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
struct Tag {
    name: String,
    /// Present where the model runs on the vendor's machines.
    remote_host: Option<String>,
    #[serde(default)]
    details: Details,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    #[serde(default)]
    families: Option<Vec<String>>,
}

/// Asks the Ollama that `OLLAMA_HOST` names, else the one at its usual port.
pub(crate) async fn look(host: Option<&str>) -> Ollama {
    let Some(address) = address(host.unwrap_or_default()) else {
        return Ollama::Elsewhere(host.unwrap_or_default().to_owned());
    };
    match loopback::get(address, "/api/tags", None).await {
        Ok(answer) if answer.status == 200 => read(address, &answer.body),
        _ => Ollama::Absent,
    }
}

/// Where to ask; `None` where that is not loopback over plain HTTP.
fn address(host: &str) -> Option<SocketAddr> {
    let (rest, port) = match host.trim().split_once("://") {
        None => (host.trim(), PORT),
        Some(("http", rest)) => (rest, 80),
        Some(_) => return None,
    };
    let rest = rest.split('/').next().unwrap_or_default();
    let (name, port) = match rest.rsplit_once(':') {
        Some((name, digits)) if !digits.ends_with(']') && !name.ends_with(':') => (name, digits.parse().ok()?),
        _ => (rest, port),
    };
    let ip = match name.trim_matches(['[', ']']) {
        "" | "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        name => name.parse().ok()?,
    };
    // A server that listens on every address is reached on loopback.
    let ip = if ip.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip };
    ip.is_loopback().then_some(SocketAddr::new(ip, port))
}

fn read(address: SocketAddr, body: &[u8]) -> Ollama {
    let Ok(tags) = serde_json::from_slice::<Tags>(body) else { return Ollama::Absent };
    let is_name = |name: &str| !name.is_empty() && !name.chars().any(char::is_control);
    let answers =
        |tag: &Tag| is_name(&tag.name) && !tag.details.families.iter().flatten().any(|family| family.ends_with("bert"));
    let is_remote = |tag: &Tag| tag.remote_host.as_ref().is_some_and(|host| !host.is_empty()) || is_cloud(&tag.name);
    let (remote, local): (Vec<_>, Vec<_>) = tags.models.into_iter().filter(answers).partition(is_remote);
    let names = |tags: Vec<Tag>| tags.into_iter().map(|tag| tag.name).collect();
    Ollama::Running { address, local: names(local), remote: names(remote) }
}

/// Whether a model's name says that it runs on the vendor's machines.
fn is_cloud(name: &str) -> bool {
    name.ends_with("-cloud") || name.ends_with(":cloud")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_read_as_ollama_reads_it() {
        for (host, expected) in [
            ("", Some("127.0.0.1:11434")),
            ("127.0.0.1", Some("127.0.0.1:11434")),
            ("localhost:5000", Some("127.0.0.1:5000")),
            (":5000", Some("127.0.0.1:5000")),
            ("0.0.0.0", Some("127.0.0.1:11434")),
            ("0.0.0.0:5000", Some("127.0.0.1:5000")),
            ("http://127.0.0.1:5000/", Some("127.0.0.1:5000")),
            ("http://127.0.0.1", Some("127.0.0.1:80")),
            ("[::1]:5000", Some("[::1]:5000")),
            ("[::1]", Some("[::1]:11434")),
            ("https://127.0.0.1:5000", None),
            ("10.0.0.7:11434", None),
            ("gpu.example:11434", None),
            ("127.0.0.1:port", None),
        ] {
            assert_eq!(address(host), expected.map(|text| text.parse().unwrap()), "{host:?}");
        }
    }

    #[test]
    fn only_models_that_answer_here_are_local() {
        let body = br#"{"models": [
            {"name": "qwen3:4b", "model": "qwen3:4b", "size": 1, "details": {"family": "qwen3", "families": ["qwen3"]}},
            {"name": "nomic-embed-text:latest", "details": {"families": ["nomic-bert"]}},
            {"name": "gpt-oss:120b-cloud", "details": {"families": null}},
            {"name": "big:latest", "remote_host": "https://ollama.com", "remote_model": "big"},
            {"name": "\u001b[2J"},
            {"name": "old:latest"}
        ]}"#;
        let address = "127.0.0.1:1".parse().unwrap();
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let expected = Ollama::Running {
            address,
            local: texts(&["qwen3:4b", "old:latest"]),
            remote: texts(&["gpt-oss:120b-cloud", "big:latest"]),
        };
        assert_eq!(read(address, body), expected);
        assert_eq!(read(address, b"<html>"), Ollama::Absent, "another program at its port");
    }
}
