//! One small GET to a program on this machine, bounded in time and bytes: a running Ollama, a running server.
//! HTTP/1.0, so that the answer ends with its connection and is never in chunks.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long everything together may take: a program on the same machine answers in a few milliseconds or is stuck.
const PATIENCE: Duration = Duration::from_millis(500);

/// Most bytes of an answer: a list of a thousand models is a third of it.
const MOST_BYTES: u64 = 1 << 20;

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Asks for a path, with a bearer key where one is given.
///
/// # Errors
/// Where nobody answers in time, or not in HTTP, or the address is not on this machine.
pub(crate) async fn get(address: SocketAddr, path: &str, key: Option<&str>) -> Result<Answer> {
    if !address.ip().is_loopback() {
        bail!("{address} is not on this machine");
    }
    timeout(PATIENCE, ask(address, path, key)).await.with_context(|| format!("{address} does not answer"))?
}

async fn ask(address: SocketAddr, path: &str, key: Option<&str>) -> Result<Answer> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
    let key = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    let head = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\n{key}\r\n");
    stream.write_all(head.as_bytes()).await.context("asking")?;
    let mut bytes = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut bytes).await.context("reading the answer")?;
    parse(&bytes).with_context(|| format!("what {address} answers is not HTTP"))
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut words = head.lines().next()?.split(' ');
    let is_http = words.next()?.starts_with("HTTP/1.");
    let status = words.next()?.parse().ok()?;
    is_http.then(|| Answer { status, body: bytes[end + 4..].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_its_body() {
        let answer = parse(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
        assert_eq!((answer.status, answer.body), (200, b"hi".to_vec()));
        for text in ["", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 two\r\n\r\n", "HTTP/1.1 200 OK\r\n"] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[tokio::test]
    async fn nothing_but_this_machine_is_asked() {
        let error = get("10.0.0.1:80".parse().unwrap(), "/", None).await.unwrap_err();
        assert!(error.to_string().contains("not on this machine"), "{error}");
    }
}
