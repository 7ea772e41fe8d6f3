//! As much of an HTTP/1.1 client as the tests need: one connection per request, every byte under control, a body that
//! breaks off told from one that ends.

use std::{io, net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

/// Longest wait for a whole answer; only a server that hangs takes that long.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path)
    }

    pub(crate) fn post(path: impl Into<String>, body: &Value) -> Self {
        Self { body: body.to_string().into_bytes(), ..Self::new("POST", path) }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("authorization", format!("Bearer {key}"))
    }

    fn encode(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: localhost\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.method != "GET" {
            head.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

/// An answer whose body is still coming.
pub(crate) struct Incoming {
    pub(crate) status: u16,
    stream: BufReader<TcpStream>,
    length: Length,
    ahead: Vec<u8>,
}

/// How the end of a body is known.
enum Length {
    Bytes(usize),
    Chunked,
    UntilClosed,
}

/// Sends a request and reads the answer's head.
pub(crate) async fn open(address: SocketAddr, request: &Request) -> io::Result<Incoming> {
    let stream = connect(address, &request.encode()).await?;
    Incoming::read(stream).await
}

/// Connects and sends bytes as they stand.
pub(crate) async fn connect(address: SocketAddr, bytes: &[u8]) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(bytes).await?;
    Ok(stream)
}

/// Sends a request and reads the whole answer.
pub(crate) async fn exchange(address: SocketAddr, request: &Request) -> io::Result<Reply> {
    let whole = async { open(address, request).await?.reply().await };
    timeout(PATIENCE, whole).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

impl Incoming {
    /// Reads the head of an answer.
    pub(crate) async fn read(stream: TcpStream) -> io::Result<Self> {
        let mut stream = BufReader::new(stream);
        let status = line(&mut stream).await?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(malformed)?;
        let mut length = Length::UntilClosed;
        loop {
            let header = line(&mut stream).await?;
            let Some((name, value)) = header.split_once(':') else {
                return Ok(Self { status, stream, length, ahead: Vec::new() });
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = Length::Bytes(value.trim().parse().map_err(|_| malformed())?),
                "transfer-encoding" => length = Length::Chunked,
                _ => {}
            }
        }
    }

    /// The next piece of the body; `None` at its proper end.
    async fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        match &mut self.length {
            Length::Bytes(0) => Ok(None),
            Length::Bytes(left) => {
                let mut bytes = vec![0; (*left).min(1 << 16)];
                self.stream.read_exact(&mut bytes).await?;
                *left -= bytes.len();
                Ok(Some(bytes))
            }
            Length::UntilClosed => {
                let mut bytes = vec![0; 1 << 16];
                let count = self.stream.read(&mut bytes).await?;
                bytes.truncate(count);
                Ok((count > 0).then_some(bytes))
            }
            Length::Chunked => {
                let size = line(&mut self.stream).await?;
                let size = usize::from_str_radix(&size, 16).map_err(|_| malformed())?;
                let mut bytes = vec![0; size + 2];
                self.stream.read_exact(&mut bytes).await?;
                bytes.truncate(size);
                self.length = if size == 0 { Length::Bytes(0) } else { Length::Chunked };
                Ok((size > 0).then_some(bytes))
            }
        }
    }

    /// The rest, whole.
    pub(crate) async fn reply(mut self) -> io::Result<Reply> {
        let mut bytes = std::mem::take(&mut self.ahead);
        while let Some(piece) = self.piece().await? {
            bytes.extend(piece);
        }
        let text = String::from_utf8(bytes).map_err(|_| malformed())?;
        Ok(Reply { status: self.status, text })
    }

    /// The next server-sent event, without its empty line; comments are left out. `None` at the stream's proper end.
    pub(crate) async fn event(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|pair| pair == b"\n\n") {
                let mut event: Vec<u8> = self.ahead.drain(..end + 2).collect();
                event.truncate(end);
                if event.starts_with(b":") {
                    continue;
                }
                return String::from_utf8(event).map(Some).map_err(|_| malformed());
            }
            match self.piece().await? {
                Some(piece) => self.ahead.extend(piece),
                None if self.ahead.is_empty() => return Ok(None),
                None => return Err(malformed()),
            }
        }
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await?;
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| malformed())
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// The value of a field (`id`, `event`, `data`) of a server-sent event.
pub(crate) fn field<'a>(event: &'a str, name: &str) -> Option<&'a str> {
    event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim_start))
}

/// The body of a server-sent event.
pub(crate) fn data(event: &str) -> Value {
    field(event, "data").and_then(|data| serde_json::from_str(data).ok()).unwrap_or(Value::Null)
}
