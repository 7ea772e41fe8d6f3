//! A small HTTP/1.1 client over one connection, so that the load costs little beside the server under measure.
//! Knows what that server sends: bodies with a length or in chunks, and server-sent events.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// Longest silence of the server, an idle stream's comments included.
const SILENCE: Duration = Duration::from_secs(60);
/// Largest body that is read whole.
const MAX_BODY: usize = 16 << 20;

/// One connection.
pub(super) struct Client {
    host: String,
    key: String,
    /// More headers, each with its line end.
    headers: String,
    connection: BufReader<TcpStream>,
}

/// How long a body is.
#[derive(Clone, Copy)]
enum Length {
    Bytes(usize),
    Chunks,
}

impl Client {
    pub(super) fn connect(host: &str, key: &str) -> Result<Self> {
        let connection = TcpStream::connect(host).with_context(|| format!("connecting to {host}"))?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(Some(SILENCE))?;
        let connection = BufReader::with_capacity(4 << 10, connection);
        Ok(Self { host: host.to_owned(), key: key.to_owned(), headers: String::new(), connection })
    }

    /// Sends more headers with every request.
    pub(super) fn with_headers(mut self, headers: &[(&str, &str)]) -> Self {
        self.headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self
    }

    /// Asks and reads the whole answer; anything but success is an error.
    pub(super) fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Vec<u8>> {
        self.send(method, path, body)?;
        let (status, length) = self.head()?;
        let answer = match length {
            Length::Bytes(count) => self.bytes(count)?,
            Length::Chunks => {
                let mut whole = Vec::new();
                while let Some(chunk) = self.chunk()? {
                    ensure!(whole.len() + chunk.len() <= MAX_BODY, "{method} {path}: the answer is too large");
                    whole.extend(chunk);
                }
                whole
            }
        };
        if !(200..300).contains(&status) {
            bail!("{method} {path}: {status} {}", String::from_utf8_lossy(&answer));
        }
        Ok(answer)
    }

    /// The same, read as JSON.
    pub(super) fn json(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let answer = self.ask(method, path, body)?;
        serde_json::from_slice(&answer).with_context(|| format!("{method} {path}"))
    }

    /// Asks for a stream of events.
    pub(super) fn stream(mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Events> {
        self.send(method, path, body)?;
        match self.head()? {
            (200, Length::Chunks) => Ok(Events { client: self, text: Vec::new(), at: 0 }),
            (status, Length::Bytes(count)) => {
                bail!("{method} {path}: {status} {}", String::from_utf8_lossy(&self.bytes(count)?))
            }
            (status, Length::Chunks) => bail!("{method} {path}: {status}"),
        }
    }

    fn send(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<()> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nopenai-beta: agents=v1\r\n\
             {}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            self.key,
            self.headers,
            body.len()
        );
        self.connection.get_mut().write_all(request.as_bytes()).context("sending a request")
    }

    /// The status, and how long the body is.
    fn head(&mut self) -> Result<(u16, Length)> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status line")?;
        let mut length = Length::Bytes(0);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                return Ok((status, length));
            }
            if let Some(count) = line.strip_prefix("content-length:") {
                length = Length::Bytes(count.trim().parse().context("content-length")?);
            } else if line.starts_with("transfer-encoding:") {
                length = Length::Chunks;
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.connection.read_line(&mut line).context("reading an answer")? > 0, "the server hung up");
        Ok(line.trim_end().to_owned())
    }

    fn bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        ensure!(count <= MAX_BODY, "an answer of {count} bytes");
        let mut bytes = vec![0; count];
        self.connection.read_exact(&mut bytes).context("reading an answer")?;
        Ok(bytes)
    }

    /// The next chunk; `None` after the last.
    fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let size = self.line()?;
        let size = usize::from_str_radix(&size, 16).with_context(|| format!("a chunk of size `{size}`"))?;
        let mut bytes = self.bytes(size + 2)?;
        bytes.truncate(size);
        Ok((size > 0).then_some(bytes))
    }
}

/// A stream of server-sent events.
pub(super) struct Events {
    client: Client,
    text: Vec<u8>,
    at: usize,
}

impl Events {
    /// The name of the next event; `None` at the end of the stream.
    pub(super) fn next(&mut self) -> Result<Option<String>> {
        const END: &[u8] = b"\n\n";
        loop {
            let rest = &self.text[self.at..];
            if let Some(length) = rest.windows(END.len()).position(|window| window == END) {
                let name = name_of(&rest[..length]);
                self.at += length + END.len();
                if name.is_some() {
                    return Ok(name);
                }
                continue;
            }
            self.text.drain(..self.at);
            self.at = 0;
            match self.client.chunk()? {
                Some(chunk) => self.text.extend(chunk),
                None => return Ok(None),
            }
        }
    }

    /// Reads on up to and with the event of this name; says how many events that were.
    pub(super) fn until(&mut self, name: &str) -> Result<u64> {
        let mut count = 0;
        while let Some(event) = self.next()? {
            count += 1;
            if event == name {
                return Ok(count);
            }
        }
        bail!("the stream ended before `{name}`")
    }
}

/// The name of an event; a comment has none.
fn name_of(event: &[u8]) -> Option<String> {
    let line = event.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"event: "))?;
    Some(String::from_utf8_lossy(line).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A client whose server has answered already; it lives as long as the second value.
    fn answered(bytes: &str) -> (Client, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::connect(&listener.local_addr().unwrap().to_string(), "key").unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(bytes.as_bytes()).unwrap();
        (client, peer)
    }

    #[test]
    fn answers_are_read_by_length_and_in_chunks() {
        let (mut client, _peer) = answered("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        assert_eq!(client.ask("GET", "/", None).unwrap(), b"{}");
        let (mut client, _peer) =
            answered("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n");
        assert_eq!(client.ask("GET", "/", None).unwrap(), b"{}");
        let (mut client, _peer) = answered("HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone");
        assert!(client.ask("GET", "/", None).unwrap_err().to_string().contains("404 gone"));
    }

    #[test]
    fn events_are_found_across_chunks_and_comments_are_not_events() {
        let pieces = ["id: 1\nevent:", " one\ndata: {}\n\n:", " alive\n\nevent: two\ndata: {}\n", "\n", ""];
        let chunks: String = pieces.iter().map(|piece| format!("{:x}\r\n{piece}\r\n", piece.len())).collect();
        let (client, _peer) = answered(&format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"));
        let mut events = client.stream("GET", "/", None).unwrap();
        assert_eq!(events.until("two").unwrap(), 2);
        assert!(events.until("three").is_err());
    }
}
