//! A model server that answers at once, whole or with a stream of 52 events, and says when each request's first byte
//! arrived.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

/// Most connections that it takes in its life: the server keeps a few open.
const MAX_CONNECTIONS: usize = 1_024;
/// Largest request that it reads.
const MAX_REQUEST: usize = 1 << 20;
/// Longest wait for a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deltas of a stream; with the last chunk and the end they are 52 events.
const DELTAS: usize = 50;
const WHOLE: &str = "{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"bench\",\"choices\":[\
    {\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Yes.\"},\"finish_reason\":\"stop\"}],\
    \"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}";
const DELTA: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"bench\",\
    \"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Yes. \"},\"finish_reason\":null}]}\n\n";
const LAST: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"bench\",\
    \"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// The address of a model server, and when requests arrived at it.
pub(super) struct Upstream {
    pub(super) host: String,
    arrived: Receiver<Instant>,
}

impl Upstream {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let host = listener.local_addr()?.to_string();
        let (send, arrived) = mpsc::channel();
        thread::spawn(move || {
            for connection in listener.incoming().take(MAX_CONNECTIONS).flatten() {
                let send = send.clone();
                // The end of a connection is an error of reading from it.
                thread::spawn(move || serve(connection, &send));
            }
        });
        Ok(Self { host, arrived })
    }

    /// When the next request arrived.
    pub(super) fn next(&self) -> Result<Instant> {
        self.arrived.recv_timeout(PATIENCE).context("no request came upstream")
    }
}

fn serve(connection: TcpStream, arrived: &Sender<Instant>) -> Result<()> {
    connection.set_nodelay(true)?;
    let mut connection = BufReader::new(connection);
    loop {
        connection.fill_buf()?;
        let at = Instant::now();
        let mut length = 0;
        loop {
            let mut line = String::new();
            ensure!(connection.read_line(&mut line)? > 0, "the end");
            if let Some(count) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = count.trim().parse()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        ensure!(length <= MAX_REQUEST, "a request of {length} bytes");
        let mut body = vec![0; length];
        connection.read_exact(&mut body)?;
        let text = String::from_utf8_lossy(&body).replace(' ', "");
        let (kind, answer) = if text.contains("\"stream\":true") {
            ("text/event-stream", DELTA.repeat(DELTAS) + LAST)
        } else {
            ("application/json", WHOLE.to_owned())
        };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", answer.len());
        connection.get_mut().write_all((head + &answer).as_bytes())?;
        arrived.send(at)?;
    }
}
