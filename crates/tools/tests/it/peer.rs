//! A loopback HTTP server made of raw bytes: what it answers, and how it breaks off, is the test's.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What to do for a request.
#[derive(Clone, Debug)]
pub(crate) enum Do {
    Send(Vec<u8>),
    /// Close the connection.
    Close,
    /// Do nothing until the client closes.
    Hang,
    /// Send this again and again until the client closes.
    Endless(Vec<u8>),
}

#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// First line and headers, lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub(crate) fn method(&self) -> String {
        self.json()["method"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn id(&self) -> Value {
        self.json()["id"].clone()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }

    pub(crate) fn is(&self, http_method: &str) -> bool {
        self.head.starts_with(&format!("{http_method} "))
    }
}

type Answer = Arc<dyn Fn(&Asked) -> Vec<Do> + Send + Sync>;

pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
    pub(crate) connections: Arc<Mutex<usize>>,
}

impl Peer {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Vec<Do> + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", answer).await
    }

    pub(crate) async fn at(address: &str, answer: impl Fn(&Asked) -> Vec<Do> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let peer = Self { address: listener.local_addr().unwrap(), asked: Arc::default(), connections: Arc::default() };
        let (asked, connections) = (peer.asked.clone(), peer.connections.clone());
        let answer: Answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *connections.lock().unwrap() += 1;
                tokio::spawn(serve(stream, asked.clone(), answer.clone()));
            }
        });
        peer
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// The requests of one JSON-RPC method.
    pub(crate) fn of(&self, method: &str) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.method() == method).cloned().collect()
    }

    /// Waits until the test's condition holds for what was asked.
    pub(crate) async fn until(&self, holds: impl Fn(&[Asked]) -> bool) {
        while !holds(&self.asked.lock().unwrap()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<Asked>>>, answer: Answer) {
    while let Some(asked) = read(&mut stream).await {
        seen.lock().unwrap().push(asked.clone());
        for step in answer(&asked) {
            match step {
                Do::Send(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Do::Close => return,
                Do::Hang => {
                    while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
                    return;
                }
                Do::Endless(bytes) => while stream.write_all(&bytes).await.is_ok() {},
            }
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let lower: String = head
                .lines()
                .map(|line| match line.split_once(": ") {
                    Some((name, value)) => format!("{}: {value}\n", name.to_lowercase()),
                    None => format!("{line}\n"),
                })
                .collect();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                let body = String::from_utf8(bytes[end + 4..end + 4 + length].to_vec()).unwrap();
                return Some(Asked { head: lower, body });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// A whole response.
pub(crate) fn whole(status: &str, headers: &str, body: &str) -> Do {
    let length = body.len();
    Do::Send(format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}").into())
}

pub(crate) fn as_json(body: &Value) -> Do {
    whole("200 OK", "content-type: application/json\r\n", &body.to_string())
}

/// The head of an event stream.
pub(crate) fn events() -> Do {
    Do::Send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_vec())
}

/// One event, as one chunk.
pub(crate) fn event(id: Option<&str>, data: &str) -> Do {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    chunk(&format!("{id}data: {data}\n\n"))
}

pub(crate) fn chunk(text: &str) -> Do {
    Do::Send(format!("{:x}\r\n{text}\r\n", text.len()).into())
}

pub(crate) fn last_chunk() -> Do {
    Do::Send(b"0\r\n\r\n".to_vec())
}

/// The result of a tool, for a request.
pub(crate) fn result(asked: &Asked, text: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": asked.id(), "result": { "content": [{ "type": "text", "text": text }] } })
}

pub(crate) fn error(asked: &Asked, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": asked.id(), "error": { "code": code, "message": message } })
}

/// A server of 2025-11-25 that does all but `tools/call` well.
pub(crate) fn legacy(call: impl Fn(&Asked) -> Vec<Do> + Send + Sync + 'static) -> impl Fn(&Asked) -> Vec<Do> {
    move |asked| {
        if asked.is("GET") {
            return vec![whole("405 Method Not Allowed", "", "")];
        }
        if asked.is("DELETE") {
            return vec![whole("200 OK", "", "")];
        }
        match asked.method().as_str() {
            "initialize" => {
                let info = json!({ "name": "peer", "version": "1.0" });
                let result = json!({
                    "protocolVersion": "2025-11-25", "capabilities": { "tools": {} }, "serverInfo": info,
                });
                let body = json!({ "jsonrpc": "2.0", "id": asked.id(), "result": result }).to_string();
                vec![whole("200 OK", "content-type: application/json\r\nmcp-session-id: s-1\r\n", &body)]
            }
            "tools/list" => {
                let tool = json!({
                    "name": "pay", "title": "Pay", "description": "Pays.",
                    "inputSchema": { "type": "object", "properties": { "to": { "type": "string" } } },
                    "annotations": { "destructiveHint": true, "idempotentHint": false },
                });
                vec![as_json(&json!({ "jsonrpc": "2.0", "id": asked.id(), "result": { "tools": [tool] } }))]
            }
            "tools/call" => call(asked),
            "server/discover" => vec![as_json(&error(asked, -32601, "what?"))],
            _ => vec![whole("202 Accepted", "", "")],
        }
    }
}

/// A server of 2026-07-28 that does all but `tools/call` well, and says once that its tools have changed.
pub(crate) fn modern(call: impl Fn(&Asked) -> Vec<Do> + Send + Sync + 'static) -> impl Fn(&Asked) -> Vec<Do> {
    move |asked| {
        let answer = |result: Value| vec![as_json(&json!({ "jsonrpc": "2.0", "id": asked.id(), "result": result }))];
        match asked.method().as_str() {
            "server/discover" => answer(json!({
                "resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0, "cacheScope": "private",
                "capabilities": { "tools": { "listChanged": true } },
                "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "peer", "version": "2.0" } },
            })),
            "tools/list" => answer(json!({
                "resultType": "complete", "ttlMs": 0, "cacheScope": "private",
                "tools": [{ "name": "pay", "inputSchema": { "type": "object" } }],
            })),
            "subscriptions/listen" => {
                let meta = json!({ "io.modelcontextprotocol/subscriptionId": asked.id() });
                let said = |method: &str, params: Value| {
                    event(None, &json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string())
                };
                let accepted = json!({ "_meta": meta, "notifications": { "toolsListChanged": true } });
                let acknowledged = said("notifications/subscriptions/acknowledged", accepted);
                vec![
                    events(),
                    acknowledged,
                    said("notifications/tools/list_changed", json!({ "_meta": meta })),
                    Do::Hang,
                ]
            }
            "tools/call" => call(asked),
            _ => vec![whole("202 Accepted", "", "")],
        }
    }
}
