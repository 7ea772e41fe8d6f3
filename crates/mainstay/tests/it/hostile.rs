//! Clients that mean harm or know no better: each gets the right status in the wire's error shape, and the server stays
//! what it was. `field` sends bodies that are wrong, `id` names what is not there or not theirs, `raw` sends bytes that
//! are not quite HTTP.

mod field;
mod id;
mod managed;
mod raw;

use serde_json::{Value, json};

use crate::{
    http::{Reply, Request},
    server::{Home, Server},
};

/// Slow enough that a stream can be left in its middle.
const SCRIPT: &str = r#"
[[reply]]
repeat = true
steps = [{ text = "one two three four five six seven eight nine ten", delay_ms = 20 }]
"#;

/// How much more memory the server may hold after an attack than before.
const MOST_GROWTH: u64 = 200 << 20;

const CREATES: [&str; 4] = ["/v1/agents", "/v1/agents/sessions", "/v1/responses", "/v1/conversations"];

/// A server under attack, with what it must be compared to.
struct Siege {
    home: Home,
    server: Server,
    resident: u64,
}

impl Siege {
    async fn begin(name: &str) -> Self {
        Self::of(Home::new(name, SCRIPT, "")).await
    }

    async fn of(home: Home) -> Self {
        let server = home.start();
        let siege = Self { resident: server.resident(), home, server };
        siege.check_service().await;
        siege
    }

    async fn check_service(&self) {
        assert_eq!(self.server.get("/healthz").await.status, 200);
        let body = json!({ "model": "mock", "input": "hello" });
        let reply = self.server.post("/v1/responses", &body).await;
        assert_eq!((reply.status, reply.json()["status"].as_str()), (200, Some("completed")), "{}", reply.text);
    }

    /// The server serves on, within bounds, and never met anything unforeseen.
    async fn end(self) {
        self.check_service().await;
        let resident = self.server.resident();
        println!("{} MB resident, {} MB before", resident >> 20, self.resident >> 20);
        assert!(resident < self.resident + MOST_GROWTH, "{resident} bytes resident after {}", self.resident);
        self.home.check_log();
    }
}

/// The answer is an error of the wire with this status; its `error`.
fn refused(reply: &Reply, status: u16, what: &str) -> Value {
    let shown: String = what.chars().take(200).collect();
    assert_eq!(reply.status, status, "{shown}: {}", reply.text);
    let error = reply.json()["error"].take();
    let keys: Vec<&String> = error.as_object().expect(&shown).keys().collect();
    assert_eq!(keys, ["message", "type", "param", "code"], "{shown}");
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{shown}: {error}");
    assert!(error["type"].is_string() && !error["param"].is_number(), "{shown}: {error}");
    error
}

/// A body as it stands.
fn post(path: &str, body: impl Into<Vec<u8>>) -> Request {
    Request { body: body.into(), ..Request::new("POST", path) }
}
