//! Bytes that are not quite HTTP, or come too slowly, or too many: what the listener itself must stand.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use super::{Siege, post, refused};
use crate::http::{Incoming, Request, connect, open};

const STREAMS: usize = 1_000;
/// How many streams are opened at a time, well below the usual limit on open files.
const AT_ONCE: usize = 100;
/// Slow clients at a time.
const SLOW: usize = 20;
/// Longest wait for the server to say something or to hang up; only one that does neither takes that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything the server sends until it hangs up.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is a hang-up, too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server hangs up");
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn answer(address: SocketAddr, bytes: &[u8]) -> String {
    rest(connect(address, bytes).await.unwrap()).await
}

#[tokio::test]
async fn bodies_that_are_too_large() {
    let siege = Siege::begin("large").await;
    let (address, key) = (siege.server.address, &siege.server.key);
    for path in super::CREATES {
        let reply = siege.server.send(post(path, vec![b' '; 50 << 20])).await;
        assert_eq!(refused(&reply, 413, path)["code"], "request_too_large");
    }
    // Many at once, none of them whole: what is read of them is bounded together.
    let head = |length: usize| {
        format!(
            "POST /v1/responses HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let mut open = Vec::new();
    for _ in 0..SLOW {
        let mut stream = connect(address, head(30 << 20).as_bytes()).await.unwrap();
        // The server may refuse before it has read all.
        let _ = timeout(PATIENCE, stream.write_all(&vec![b' '; 4 << 20])).await.expect("the server reads on");
        open.push(stream);
    }
    drop(open);
    for length in ["-1", "x", "99999999999999999999999", "1, 2"] {
        let request = head(0).replace("content-length: 0", &format!("content-length: {length}"));
        let said = answer(address, request.as_bytes()).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 400"), "{length}: {said}");
    }
    let many = format!("{{\"input\":[{}0]}}", "0,".repeat(2_000_000));
    refused(&siege.server.send(post("/v1/responses", many)).await, 413, "two million values");
    siege.end().await;
}

#[tokio::test]
async fn heads_that_are_too_large_or_make_no_sense() {
    let siege = Siege::begin("heads").await;
    let address = siege.server.address;
    let headers: String = (0..1_000).map(|number| format!("x-{number}: y\r\n")).collect();
    let garbage: Vec<u8> = (0..100_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for bytes in [
        format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{headers}\r\n").into_bytes(),
        format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "y".repeat(200_000)).into_bytes(),
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(200_000)).into_bytes(),
        b"GET /healthz HTTP/9.9\r\nhost: x\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET /healthz HTTP/1.1\r\nbad header\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        garbage,
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let said = rest(stream).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{shown}: {said}");
    }
    siege.end().await;
}

#[tokio::test]
async fn old_clients_and_requests_behind_each_other() {
    let siege = Siege::begin("old").await;
    let address = siege.server.address;
    let said = answer(address, b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.0 200") && said.ends_with("ok\n"), "{said}");
    let twice =
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let said = answer(address, twice).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("HTTP/1.1 401"), "{said}");
    let behind = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n\x00\x01garbage\r\n\r\n";
    let said = answer(address, behind).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.matches("HTTP/1.1 2").count() == 1, "{said}");
    for (request, status) in [
        (Request::new("PATCH", "/v1/responses"), 405),
        (Request::new("BREW", "/v1/responses"), 405),
        (Request::new("DELETE", "/healthz"), 405),
        (Request::get("/v1/nothing"), 404),
        (Request::get("/"), 404),
        (Request::get("//v1//responses"), 404),
    ] {
        let what = format!("{} {}", request.method, request.path);
        refused(&siege.server.send(request).await, status, &what);
    }
    siege.end().await;
}

#[tokio::test]
async fn clients_that_are_slow() {
    let siege = Siege::begin("slow").await;
    let (address, key) = (siege.server.address, siege.server.key.clone());
    let mut clients = JoinSet::new();
    for number in 0..SLOW {
        let head = "GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ".to_owned();
        let body = format!(
            "POST /v1/responses HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: 1000\r\n\r\n{{"
        );
        clients.spawn(async move { trickle(address, if number % 2 == 0 { head } else { body }).await });
    }
    // Others are served meanwhile.
    siege.check_service().await;
    while let Some(said) = clients.join_next().await {
        let said = said.unwrap();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    }
    siege.end().await;
}

/// Begins a request and then says nothing; what the server makes of it.
async fn trickle(address: SocketAddr, beginning: String) -> String {
    let (head, tail) = beginning.split_at(beginning.len() / 2);
    let mut stream = connect(address, head.as_bytes()).await.unwrap();
    for byte in tail.bytes() {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let _ = stream.write_all(&[byte]).await;
    }
    rest(stream).await
}

#[tokio::test]
async fn a_thousand_streams_that_are_left() {
    let siege = Siege::begin("left").await;
    let session =
        json!({ "agent": { "model": "mock" }, "input": "x", "stream": true, "environment": { "type": "none" } });
    let response = json!({ "model": "mock", "input": "x", "stream": true });
    for _ in 0..STREAMS / AT_ONCE {
        let mut clients = JoinSet::new();
        for number in 0..AT_ONCE {
            let (path, body) =
                if number % 2 == 0 { ("/v1/agents/sessions", &session) } else { ("/v1/responses", &response) };
            let request = Request::post(path, body).key(&siege.server.key);
            clients.spawn(leave(siege.server.address, request, number % 5));
        }
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
    }
    // What they asked for is done all the same.
    let path = "/v1/agents/sessions?limit=100";
    loop {
        let list = siege.server.get(path).await.json();
        let sessions = list["data"].as_array().unwrap().clone();
        assert_eq!(sessions.len(), 100);
        if sessions.iter().all(|session| session["status"] == "idle") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    siege.end().await;
}

/// Reads a few events and goes.
async fn leave(address: SocketAddr, request: Request, after: usize) {
    let mut incoming: Incoming = open(address, &request).await.unwrap();
    assert_eq!(incoming.status, 200);
    for _ in 0..after {
        incoming.event().await.unwrap().expect("the stream goes on");
    }
}
