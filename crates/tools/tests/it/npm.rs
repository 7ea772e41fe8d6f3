//! Real servers from npm, unmodified, over both transports. `cargo xtask test --only mcp` installs them; without them
//! the tests say that they were skipped, in CI they fail.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use mainstay_tools::{
    Returned, Step, Toolbox as _,
    mcp::{McpServer, Protocol, Reach, Secret, Settings},
};
use mainstay_vocabulary::{Content, Object};
use serde_json::{Value, json};

use crate::{call, ended, over_http, patient, steps};

/// Node and the installed packages; `None` where they are not there.
struct Npm {
    node: PathBuf,
    packages: PathBuf,
}

fn npm() -> Option<Npm> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let npm = Npm {
        node: root.join("target/python/bin/node"),
        packages: root.join("target/node/mcp/node_modules/@modelcontextprotocol"),
    };
    if npm.node.exists() && npm.packages.join("server-everything").exists() {
        return Some(npm);
    }
    assert!(!std::env::var("CI").is_ok_and(|ci| ci == "1"), "in CI the servers from npm must be there");
    println!("SKIPPED: {} is not installed (cargo xtask test --only mcp)", npm.packages.display());
    None
}

impl Npm {
    fn program(&self, package: &str) -> String {
        self.packages.join(package).join("dist/index.js").display().to_string()
    }

    fn stdio(
        &self,
        package: &str,
        arguments: &[&str],
        environment: Vec<(String, Secret)>,
        protocol: Protocol,
    ) -> McpServer {
        let mut words = vec![self.program(package)];
        words.extend(arguments.iter().map(|word| (*word).to_owned()));
        let reach = Reach::Stdio {
            launcher: Vec::new(),
            program: self.node.clone(),
            arguments: words,
            environment,
            directory: None,
        };
        McpServer::new(Settings { name: package.to_owned(), reach, protocol, timeouts: patient() }).unwrap()
    }
}

/// A server over HTTP, ended with the test.
struct Listening(Child, u16);

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn everything_over_http(npm: &Npm) -> Listening {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(&npm.node);
    command.arg(npm.program("server-everything")).arg("streamableHttp").env("PORT", port.to_string());
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let listening = Listening(child, port);
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    listening
}

fn text(returned: &Returned) -> String {
    let texts = returned
        .content
        .iter()
        .filter_map(|part| if let Content::Text(text) = part { Some(text.as_str()) } else { None });
    texts.collect()
}

/// What both transports must do.
async fn exercised(server: &McpServer) {
    let listing = server.list().await.unwrap();
    let names: Vec<_> = listing.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert!(names.contains(&"echo") && names.len() > 5, "{names:?}");
    assert!(listing.server.is_some_and(|told| told.contains("everything")));
    let returned = ended(server, call("echo", json!({ "message": "hi" }))).await.unwrap();
    assert_eq!(text(&returned), "Echo: hi");
    let returned = ended(server, call("get-sum", json!({ "a": 2, "b": 3 }))).await.unwrap();
    assert!(text(&returned).contains('5'));
    let returned = ended(server, call("get-tiny-image", json!({}))).await.unwrap();
    let is_picture =
        |part: &Content| matches!(part, Content::Image { url, .. } if url.starts_with("data:image/png;base64,"));
    assert!(returned.content.iter().any(is_picture));
    let returned = ended(server, call("get-structured-content", json!({ "location": "New York" }))).await.unwrap();
    assert!(returned.structured.is_some_and(|value| value.is_object()));
    let long = call("trigger-long-running-operation", json!({ "duration": 1, "steps": 4 }));
    let (progress, returned) = steps(server, long).await;
    assert!(text(&returned.unwrap()).contains("completed"));
    assert!(progress.iter().any(|step| matches!(step, Step::Progress { total: Some(_), .. })), "{progress:?}");
    match ended(server, call("no-such-tool", json!({}))).await {
        Ok(returned) => assert!(returned.is_error, "{returned:?}"),
        Err(failure) => assert_eq!(failure.kind, mainstay_tools::FailureKind::Rejected, "{failure}"),
    }
    let resources = server.resources().await.unwrap();
    let uri = resources[0]["uri"].as_str().unwrap();
    assert!(!server.read(uri).await.unwrap().is_empty());
    assert!(!server.resource_templates().await.unwrap().is_empty());
    let prompts = server.prompts().await.unwrap();
    assert!(prompts.iter().any(|prompt| prompt["name"] == "simple-prompt"), "{prompts:?}");
    let messages = server.prompt("simple-prompt", Object::new()).await.unwrap();
    assert_eq!(messages[0].0, "user");
    server.close().await;
}

#[tokio::test]
async fn server_everything_over_stdio() {
    let Some(npm) = npm() else { return };
    for protocol in [Protocol::V2025_11_25, Protocol::Newest] {
        exercised(&npm.stdio("server-everything", &["stdio"], Vec::new(), protocol)).await;
    }
}

#[tokio::test]
async fn server_everything_over_http() {
    let Some(npm) = npm() else { return };
    let listening = everything_over_http(&npm).await;
    let url = format!("http://127.0.0.1:{}/mcp", listening.1);
    for protocol in [Protocol::V2025_11_25, Protocol::Newest] {
        exercised(&over_http(&url, protocol, patient())).await;
    }
}

#[tokio::test]
async fn server_filesystem_keeps_to_its_folder() {
    let Some(npm) = npm() else { return };
    let folder = std::env::temp_dir().join(format!("mainstay-mcp-files-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let folder = folder.canonicalize().unwrap();
    let server = npm.stdio("server-filesystem", &[folder.to_str().unwrap()], Vec::new(), Protocol::Newest);
    let listing = server.list().await.unwrap();
    let tool = |name: &str| listing.tools.iter().find(|tool| tool.name == name).unwrap();
    assert_eq!(tool("read_text_file").annotations.read_only, Some(true));
    assert_eq!(tool("write_file").annotations.destructive, Some(true));
    let path = folder.join("a.txt");
    let written = json!({ "path": path, "content": "hello" });
    assert!(!ended(&server, call("write_file", written)).await.unwrap().is_error);
    assert_eq!(fs::read_to_string(&path).unwrap(), "hello");
    let read = ended(&server, call("read_text_file", json!({ "path": path }))).await.unwrap();
    assert_eq!(text(&read), "hello");
    let outside = ended(&server, call("read_text_file", json!({ "path": "/etc/hostname" }))).await.unwrap();
    assert!(outside.is_error, "{outside:?}");
    server.close().await;
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn server_memory_remembers_across_processes() {
    let Some(npm) = npm() else { return };
    let file = std::env::temp_dir().join(format!("mainstay-mcp-memory-{}.jsonl", std::process::id()));
    let environment = || vec![("MEMORY_FILE_PATH".to_owned(), Secret::new(file.to_str().unwrap()))];
    let server = npm.stdio("server-memory", &[], environment(), Protocol::Newest);
    let entity = json!({ "name": "Ada", "entityType": "person", "observations": ["counts"] });
    assert!(!ended(&server, call("create_entities", json!({ "entities": [entity] }))).await.unwrap().is_error);
    server.close().await;
    let read: Value = ended(&server, call("read_graph", json!({}))).await.unwrap().structured.unwrap();
    assert_eq!(read["entities"][0]["name"], "Ada", "the same server, started again");
    fs::remove_file(file).unwrap();
}
