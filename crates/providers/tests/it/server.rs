//! A loopback HTTP server that answers every request with the same canned bytes, pauses and endings.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// How often the client gets a turn after each write: more than it takes to wake and read.
const TURNS: usize = 50;

/// What to do after a request was read.
#[derive(Clone)]
pub(crate) enum Do {
    /// Write these bytes.
    Send(Vec<u8>),
    /// Close the connection.
    Close,
    /// Do nothing until the client closes.
    Hang,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Number of the connection, and head and body of each request.
    pub(crate) requests: Arc<Mutex<Vec<(usize, String, String)>>>,
    /// Says each time that a client has closed its connection.
    pub(crate) closed: mpsc::UnboundedReceiver<()>,
}

impl Server {
    pub(crate) async fn start(steps: Vec<Do>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (closing, closed) = mpsc::unbounded_channel();
        let seen = requests.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let connection = Connection { stream, number, steps: steps.clone(), seen: seen.clone() };
                let closing = closing.clone();
                tokio::spawn(async move {
                    connection.serve().await;
                    let _ = closing.send(());
                });
            }
        });
        Self { address, requests, closed }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/", self.address)
    }
}

struct Connection {
    stream: TcpStream,
    number: usize,
    steps: Vec<Do>,
    seen: Arc<Mutex<Vec<(usize, String, String)>>>,
}

impl Connection {
    async fn serve(mut self) {
        while let Some((head, body)) = self.request().await {
            self.seen.lock().unwrap().push((self.number, head, body));
            for step in self.steps.clone() {
                match step {
                    Do::Send(bytes) => {
                        if self.stream.write_all(&bytes).await.is_err() {
                            return;
                        }
                        self.stream.flush().await.unwrap();
                        // The client, on the same thread, reads this before the next step is taken.
                        for _ in 0..TURNS {
                            tokio::task::yield_now().await;
                        }
                    }
                    Do::Close => return,
                    Do::Hang => {
                        let _ = self.stream.read(&mut [0; 64]).await;
                        return;
                    }
                }
            }
        }
    }

    async fn request(&mut self) -> Option<(String, String)> {
        let mut bytes = Vec::new();
        loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                if bytes.len() == end + 4 + length.parse::<usize>().unwrap() {
                    return Some((head, String::from_utf8(bytes[end + 4..].to_vec()).unwrap()));
                }
            }
            if self.stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
    }
}

/// The head of a good event stream.
pub(crate) fn stream_head() -> Do {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req-1\r\ntransfer-encoding: chunked\r\n\r\n";
    Do::Send(head.into())
}

/// Bytes as one chunk of the transfer encoding.
pub(crate) fn chunk(bytes: &[u8]) -> Do {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    Do::Send(framed)
}

/// A whole response.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Do {
    Do::Send(format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into())
}
