//! Tests of the tools from outside: the guard at socket level, MCP servers that behave and that do not, real ones
//! from npm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a test has no runtime whose tasks and clock it could use")]

mod answer;
mod changed;
mod fetched;
mod http_tool;
mod npm;
mod oauth;
mod peer;
mod ssrf;
mod stdio;
mod target;
mod trouble;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::StreamExt as _;
use mainstay_tools::{
    Call, Failure, Reply, Returned, Step, Toolbox,
    egress::{Connection, Guard, Ledger, Names, Otherwise, Rules},
    mcp::{McpServer, Protocol, Reach, Secret, Settings, Timeouts},
};
use mainstay_vocabulary::Object;
use serde_json::Value;

/// Names as a test wants them: each question takes the next answer, the last one stays.
#[derive(Default)]
struct Played(Mutex<Vec<(String, Vec<Vec<IpAddr>>)>>);

impl Played {
    fn with(self, name: &str, answers: &[&[&str]]) -> Self {
        let answers = answers.iter().map(|answer| answer.iter().map(|text| text.parse().unwrap()).collect()).collect();
        self.0.lock().unwrap().push((name.to_owned(), answers));
        self
    }
}

impl Names for Played {
    fn addresses(&self, name: &str) -> Reply<Result<Vec<IpAddr>, String>> {
        let mut names = self.0.lock().unwrap();
        let answer = match names.iter_mut().find(|(known, _)| known == name) {
            Some((_, answers)) if answers.len() > 1 => Ok(answers.remove(0)),
            Some((_, answers)) => Ok(answers.first().cloned().unwrap_or_default()),
            None => Err("no such name".to_owned()),
        };
        Box::pin(std::future::ready(answer))
    }
}

/// Remembers every connection.
#[derive(Default)]
struct Seen(Mutex<Vec<Connection>>);

impl Ledger for Seen {
    fn connected(&self, connection: &Connection) {
        self.0.lock().unwrap().push(connection.clone());
    }
}

/// A guard that lets loopback through, for tests whose server is there.
fn open_guard() -> Arc<Guard> {
    let rules = Rules::new(Otherwise::Allow).allow_private(["127.0.0.0/8"]).unwrap();
    Guard::new(rules, Arc::new(Played::default()), Arc::new(Seen::default())).unwrap()
}

fn patient() -> Timeouts {
    Timeouts { connect: Duration::from_secs(20), request: Duration::from_secs(20), idle: Duration::from_secs(20) }
}

fn over_http(url: &str, protocol: Protocol, timeouts: Timeouts) -> McpServer {
    let headers = vec![("x-api-key".to_owned(), Secret::new("sesame"))];
    let reach = Reach::Http { url: url.to_owned(), headers, guard: open_guard(), oauth: None };
    McpServer::new(Settings { name: "test".to_owned(), reach, protocol, timeouts }).unwrap()
}

fn call(tool: &str, arguments: Value) -> Call {
    let arguments = arguments.as_object().cloned().unwrap();
    let timeout = Duration::from_secs(20);
    Call { tool: tool.to_owned(), arguments, idempotency_key: "key-1".to_owned(), timeout, meta: Object::new() }
}

/// All steps of a call, and its end.
async fn steps(toolbox: &dyn Toolbox, call: Call) -> (Vec<Step>, Result<Returned, Failure>) {
    let mut steps: Vec<Step> = toolbox.call(call).collect().await;
    match steps.pop() {
        Some(Step::Ended(ended)) => (steps, ended),
        other => panic!("the stream ended with {other:?}"),
    }
}

async fn ended(toolbox: &dyn Toolbox, call: Call) -> Result<Returned, Failure> {
    steps(toolbox, call).await.1
}
