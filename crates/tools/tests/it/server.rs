//! A small MCP server over raw TCP, so that it can misbehave at every place: speaks 2025-11-25 without sessions, or with.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the server does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Answers.
    Well,
    /// Answers as an event stream.
    Streamed,
    /// Answers that the tool failed.
    ToolFails,
    /// Closes the connection after the request.
    Closes,
    /// Sends half an answer and closes.
    Torn,
    /// Never answers.
    Silent,
    /// Answers with this status and no body.
    Status(u16),
    /// Answers with an error of this code.
    Error(i64),
    /// Answers with something that is no JSON.
    Garbage,
    /// Answers without end.
    Endless,
    /// Answers another request.
    WrongId,
}

/// What the server has seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// Bodies, with their headers as one text.
    pub(crate) requests: Mutex<Vec<(String, Value)>>,
}

impl Seen {
    /// The calls of tools.
    pub(crate) fn calls(&self) -> Vec<(String, Value)> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|(_, body)| body["method"] == "tools/call").cloned().collect()
    }

    pub(crate) fn methods(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|(_, body)| body["method"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// Serves until the test ends; returns the port.
#[allow(clippy::disallowed_methods, reason = "a test's own server")]
pub(crate) async fn serve(manner: Manner) -> (u16, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Seen::default());
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, manner, Arc::clone(&shared)));
        }
    });
    (port, seen)
}

async fn connection(mut stream: TcpStream, manner: Manner, seen: Arc<Seen>) {
    while let Some((head, body)) = read(&mut stream).await {
        if !head.starts_with("POST") {
            if write(&mut stream, 405, "text/plain", "").await.is_none() {
                return;
            }
            continue;
        }
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        seen.requests.lock().unwrap().push((head, body.clone()));
        if answer(&mut stream, manner, &body).await.is_none() {
            return;
        }
    }
}

/// One request: its head and its body.
async fn read(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&part[..read]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
    let mut body = bytes.split_off(end);
    while body.len() < length.unwrap_or(0) {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        body.extend_from_slice(&part[..read]);
    }
    Some((String::from_utf8_lossy(&bytes).to_string(), String::from_utf8_lossy(&body).to_string()))
}

async fn write(stream: &mut TcpStream, status: u16, kind: &str, body: &str) -> Option<()> {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await.ok()
}

async fn answer(stream: &mut TcpStream, manner: Manner, body: &Value) -> Option<()> {
    let id = body["id"].clone();
    let result = |result: Value| json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
    match body["method"].as_str().unwrap_or_default() {
        "initialize" => {
            let told = json!({
                "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "small", "version": "1" },
            });
            write(stream, 200, "application/json", &result(told)).await
        }
        "tools/list" => {
            let schema = json!({ "type": "object", "properties": { "amount": { "type": "number" } } });
            let tools = json!({ "tools": [
                { "name": "pay", "description": "Pays.", "inputSchema": schema },
                { "name": "look", "inputSchema": schema, "annotations": { "readOnlyHint": true } },
            ]});
            write(stream, 200, "application/json", &result(tools)).await
        }
        "tools/call" => call(stream, manner, body).await,
        "server/discover" => {
            let error = json!({ "code": -32601, "message": "no such method" });
            let body = json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string();
            write(stream, 200, "application/json", &body).await
        }
        _ => write(stream, 202, "text/plain", "").await,
    }
}

async fn call(stream: &mut TcpStream, manner: Manner, body: &Value) -> Option<()> {
    let id = body["id"].clone();
    let said =
        |text: &str, is_error: bool| json!({ "content": [{ "type": "text", "text": text }], "isError": is_error });
    let whole = |result: Value| json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
    match manner {
        Manner::Well => write(stream, 200, "application/json", &whole(said("paid", false))).await,
        Manner::ToolFails => write(stream, 200, "application/json", &whole(said("no money", true))).await,
        Manner::Streamed => {
            let event = format!("event: message\ndata: {}\n\n", whole(said("paid", false)));
            write(stream, 200, "text/event-stream", &event).await
        }
        Manner::Closes => None,
        Manner::Torn => {
            let half = "HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"jsonrpc\":";
            stream.write_all(half.as_bytes()).await.ok()?;
            None
        }
        Manner::Silent => std::future::pending().await,
        Manner::Status(status) => write(stream, status, "text/plain", "").await,
        Manner::Error(code) => {
            let error = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": "it says no" } });
            write(stream, 200, "application/json", &error.to_string()).await
        }
        Manner::Garbage => write(stream, 200, "application/json", "<html>").await,
        Manner::Endless => {
            stream.write_all(b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\n\r\n").await.ok()?;
            loop {
                stream.write_all(&[b' '; 65_536]).await.ok()?;
            }
        }
        Manner::WrongId => {
            let other = json!({ "jsonrpc": "2.0", "id": 4_711, "result": said("paid", false) });
            write(stream, 200, "application/json", &other.to_string()).await
        }
    }
}
