//! The client that the MCP conformance suite drives: connects to the server of its last argument, lists what there
//! is, calls each tool, and plays the person who consents where a server asks for one. The suite says by two
//! environment variables which scenario it is and what the client knows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "the suite's interface is the environment")]

use std::{
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::StreamExt as _;
use mainstay_tools::{
    Call, Failure, FailureKind, ListedTool, Reply, Returned, Step, Toolbox as _,
    egress::{Guard, NoLedger, Otherwise, Rules, SystemNames},
    mcp::{McpServer, OAuth, OAuthClient, Protocol, Reach, Secret, Settings, StoredTokens, Timeouts, Tokens},
};
use mainstay_vocabulary::Object;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Where the browser of nobody is sent after consent; nobody listens there.
const REDIRECT: &str = "http://127.0.0.1:3939/callback";
/// The client's description, as the suite knows it.
const DESCRIPTION: &str = "https://conformance-test.local/client-metadata.json";
/// Consents to one server.
const MAX_CONSENTS: usize = 3;

#[derive(Default)]
struct Kept(Arc<Mutex<Option<StoredTokens>>>);

impl Tokens for Kept {
    fn load(&self) -> Reply<Result<Option<StoredTokens>, String>> {
        let tokens = self.0.lock().unwrap().clone();
        Box::pin(std::future::ready(Ok(tokens)))
    }

    fn store(&self, tokens: Option<StoredTokens>) -> Reply<Result<(), String>> {
        *self.0.lock().unwrap() = tokens;
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let url = std::env::args().next_back().unwrap();
    let scenario = std::env::var("MCP_CONFORMANCE_SCENARIO").unwrap_or_default();
    let known: Value =
        serde_json::from_str(&std::env::var("MCP_CONFORMANCE_CONTEXT").unwrap_or_default()).unwrap_or_default();
    let version = std::env::var("MCP_CONFORMANCE_PROTOCOL_VERSION").unwrap_or_default();
    let server = server(&url, &scenario, &known, &version);
    match run(&server, &scenario, &known).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{scenario}: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn server(url: &str, scenario: &str, known: &Value, version: &str) -> McpServer {
    let rules = Rules::new(Otherwise::Allow).allow_private(["127.0.0.0/8", "::1"]).unwrap();
    let guard = Guard::new(rules, Arc::new(SystemNames), Arc::new(NoLedger)).unwrap();
    let text = |name: &str| known.get(name).and_then(Value::as_str).map(str::to_owned);
    let client = match (text("client_id"), text("client_secret")) {
        (Some(id), Some(secret)) if scenario.contains("client-credentials") => {
            OAuthClient::Credentials { id, secret: Secret::new(secret) }
        }
        (Some(id), secret) => OAuthClient::Registered { id, secret: secret.map(Secret::new) },
        (None, _) => OAuthClient::Described { url: Some(DESCRIPTION.to_owned()), name: "Mainstay".to_owned() },
    };
    let oauth =
        OAuth { tokens: Arc::new(Kept::default()), client, scopes: Vec::new(), redirect_url: REDIRECT.to_owned() };
    let reach = Reach::Http { url: url.to_owned(), headers: Vec::new(), guard, oauth: Some(oauth) };
    let protocol = if version.starts_with("2026") { Protocol::V2026_07_28 } else { Protocol::V2025_11_25 };
    let timeouts = Timeouts { connect: Duration::from_secs(20), ..Timeouts::default() };
    McpServer::new(Settings { name: "suite".to_owned(), reach, protocol, timeouts }).unwrap()
}

async fn run(server: &McpServer, scenario: &str, known: &Value) -> Result<(), Failure> {
    let mut consents = 0;
    let listing = loop {
        match server.list().await {
            Ok(listing) => break listing,
            Err(failure) if wants_consent(&failure) && consents < MAX_CONSENTS => consent(server).await?,
            Err(failure) => return Err(failure),
        }
        consents += 1;
    };
    for (name, arguments) in calls(&listing.tools, known) {
        loop {
            match call(server, &name, &arguments).await {
                Err(failure) if wants_consent(&failure) && consents < MAX_CONSENTS => consent(server).await?,
                Err(failure) if scenario.starts_with("auth/") => return Err(failure),
                ended => {
                    println!("{name}: {ended:?}");
                    break;
                }
            }
            consents += 1;
        }
    }
    if server.resources().await.is_ok_and(|found| !found.is_empty()) {
        println!("it has resources");
    }
    if server.prompts().await.is_ok_and(|found| !found.is_empty()) {
        println!("it has prompts");
    }
    server.close().await;
    Ok(())
}

fn wants_consent(failure: &Failure) -> bool {
    failure.message.contains("(HTTP 401)") || failure.message.contains("(HTTP 403)")
}

/// What to call, and with what: as the suite says, else each tool once.
fn calls(tools: &[ListedTool], known: &Value) -> Vec<(String, Object)> {
    if let Some(wanted) = known.get("toolCalls").and_then(Value::as_array) {
        let call = |wanted: &Value| {
            let name = wanted["name"].as_str().unwrap_or_default().to_owned();
            (name, wanted["arguments"].as_object().cloned().unwrap_or_default())
        };
        return wanted.iter().map(call).collect();
    }
    let mut calls: Vec<_> = tools.iter().map(|tool| (tool.name.clone(), arguments(&tool.parameters))).collect();
    let focal = tools.iter().find(|tool| tool.name == "json_schema_2020_12_tool");
    for (name, arguments) in &mut calls {
        if let Some(focal) = focal.filter(|_| name == "json_schema_echo") {
            arguments.insert("schema".to_owned(), focal.parameters.clone().into());
        }
    }
    calls
}

async fn call(server: &McpServer, tool: &str, arguments: &Object) -> Result<Returned, Failure> {
    let call = Call {
        tool: tool.to_owned(),
        arguments: arguments.clone(),
        idempotency_key: format!("suite-{tool}"),
        timeout: Duration::from_secs(20),
        meta: Object::new(),
    };
    let mut steps = server.call(call);
    while let Some(step) = steps.next().await {
        if let Step::Ended(ended) = step {
            return ended;
        }
    }
    Err(Failure::new(FailureKind::Unknown, "the call did not end"))
}

/// Something of the right type for each argument.
fn arguments(schema: &Object) -> Object {
    let fields = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let example = |field: Value| match field.get("type").and_then(Value::as_str) {
        Some("integer" | "number") => json!(5),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        Some("object") => json!({}),
        _ => field.get("enum").and_then(|options| options.get(0)).cloned().unwrap_or(json!("eu")),
    };
    fields.into_iter().map(|(name, field)| (name, example(field))).collect()
}

/// Opens the address as a browser would, and takes the redirect that the consent ends with.
async fn consent(server: &McpServer) -> Result<(), Failure> {
    let refused = |why: &dyn std::fmt::Display| Failure::new(FailureKind::NotSent, format!("no consent: {why}"));
    let address = server.authorize().await.map_err(|why| refused(&why))?;
    let callback = browse(&address).await.ok_or_else(|| refused(&"no redirect"))?;
    server.authorized(&callback).await.map_err(|why| refused(&why))
}

async fn browse(address: &str) -> Option<String> {
    let (host, path) = address.strip_prefix("http://")?.split_once('/')?;
    let mut stream = TcpStream::connect(host).await.ok()?;
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let location = answer.lines().find(|line| line.to_ascii_lowercase().starts_with("location: "))?;
    location.split_once(": ").map(|(_, location)| location.trim().to_owned())
}
