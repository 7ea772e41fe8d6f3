//! Servers that are processes: what they see, how they die, and that nothing of them stays.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::StreamExt as _;
use mainstay_tools::{
    FailureKind, Toolbox as _,
    mcp::{McpServer, Protocol, Reach, Secret, Settings, Timeouts},
};
use mainstay_vocabulary::Content;
use serde_json::json;

use crate::{call, ended, patient};

/// A server in the shell's language: answers the handshake, and lets the test say what a call does.
const SERVER: &str = r#"
id() { printf '%s' "$1" | sed 's/.*"id":\([0-9]*\).*/\1/'; }
answer() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$1" "$2"; }
text() { answer "$1" '{"content":[{"type":"text","text":"'"$2"'"}]}'; }
while read -r line; do
  case "$line" in
    *'"method":"initialize"'*)
      answer "$(id "$line")" '{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}' ;;
    *'"method":"tools/call"'*) CALL ;;
  esac
done
"#;

fn reach(script: &str) -> Reach {
    Reach::Stdio {
        launcher: Vec::new(),
        program: PathBuf::from("/bin/sh"),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        environment: vec![("GIVEN".to_owned(), Secret::new("sesame"))],
        directory: None,
    }
}

fn settings(reach: Reach) -> Settings {
    Settings { name: "test".to_owned(), reach, protocol: Protocol::V2025_11_25, timeouts: patient() }
}

fn server(on_call: &str) -> McpServer {
    McpServer::new(settings(reach(&SERVER.replace("CALL", on_call)))).unwrap()
}

#[tokio::test]
async fn a_process_sees_the_environment_that_it_was_given() {
    let server =
        server(r#"text "$(id "$line")" "$(/usr/bin/env | grep -v '^_=\|^PWD=\|^OLDPWD=\|^SHLVL=' | tr '\n' ' ')""#);
    let returned = ended(&server, call("pay", json!({}))).await.unwrap();
    assert_eq!(returned.content, [Content::Text("GIVEN=sesame ".to_owned())]);
    assert!(!format!("{server:?}").contains("sesame"));
}

#[tokio::test]
async fn the_idempotency_key_goes_out_in_meta() {
    let key = r#"text "$(id "$line")" "$(printf '%s' "$line" | sed 's/.*idempotency_key":"\([^"]*\)".*/\1/')""#;
    let returned = ended(&server(key), call("pay", json!({}))).await.unwrap();
    assert_eq!(returned.content, [Content::Text("key-1".to_owned())]);
}

#[tokio::test]
async fn a_launcher_comes_before_the_program() {
    let script = SERVER.replace("CALL", r#"text "$(id "$line")" "$MARK""#);
    let Reach::Stdio { program, arguments, environment, directory, .. } = reach(&script) else { panic!() };
    let launcher = vec!["/usr/bin/env".to_owned(), "MARK=set".to_owned()];
    let server =
        McpServer::new(settings(Reach::Stdio { launcher, program, arguments, environment, directory })).unwrap();
    let returned = ended(&server, call("pay", json!({}))).await.unwrap();
    assert_eq!(returned.content, [Content::Text("set".to_owned())]);
}

#[tokio::test]
async fn how_a_process_ends_says_what_is_known() {
    let cases = [
        ("dies in the call", "exit 1", FailureKind::Unknown),
        ("closes its output", "exec >&-; sleep 60", FailureKind::Unknown),
        ("answers another", r#"text 4711 x; exit 0"#, FailureKind::Unknown),
        ("half a line", "printf '{\"jsonrpc\":'; exit 0", FailureKind::Unknown),
        (
            "a line without end",
            "while printf 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'; do :; done",
            FailureKind::Unknown,
        ),
        ("never answers", ":", FailureKind::Unknown),
    ];
    for (name, on_call, kind) in cases {
        let mut call = call("pay", json!({}));
        call.timeout = Duration::from_secs(2);
        let failure = ended(&server(on_call), call).await.expect_err(name);
        assert_eq!(failure.kind, kind, "{name}: {failure}");
    }
}

#[tokio::test]
async fn a_process_that_does_not_begin_was_sent_nothing() {
    let short = Timeouts { connect: Duration::from_millis(500), ..patient() };
    for script in
        ["exit 1", "sleep 60", "echo hello; sleep 60", "echo '{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":7}'; sleep 60"]
    {
        let server = McpServer::new(Settings { timeouts: short, ..settings(reach(script)) }).unwrap();
        let failure = ended(&server, call("pay", json!({}))).await.expect_err(script);
        assert_eq!(failure.kind, FailureKind::NotSent, "{script}: {failure}");
    }
    let Reach::Stdio { launcher, arguments, environment, directory, .. } = reach("") else { panic!() };
    let program = PathBuf::from("/nowhere/at/all");
    let gone = Reach::Stdio { launcher, program, arguments, environment, directory };
    let failure = ended(&McpServer::new(settings(gone)).unwrap(), call("pay", json!({}))).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotSent, "{failure}");
}

#[test]
fn only_absolute_paths_are_started() {
    let Reach::Stdio { launcher, arguments, environment, directory, .. } = reach("") else { panic!() };
    let program = PathBuf::from("sh");
    let error =
        McpServer::new(settings(Reach::Stdio { launcher, program, arguments, environment, directory })).unwrap_err();
    assert!(error.to_string().contains("absolute"), "{error}");
}

#[tokio::test]
async fn noise_between_the_lines_is_passed_over() {
    let server = server(r#"echo; echo 'a log line'; text "$(id "$line")" done"#);
    let returned = ended(&server, call("pay", json!({}))).await.unwrap();
    assert_eq!(returned.content, [Content::Text("done".to_owned())]);
}

#[tokio::test]
async fn all_of_a_process_is_gone_when_the_server_is() {
    let folder = std::env::temp_dir().join(format!("mainstay-tools-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("child");
    let child = format!("sleep 600 & echo $! > {}; wait", file.display());
    let server = server(&child);
    let mut stream = server.call(call("pay", json!({})));
    let pid = tokio::select! {
        _ = stream.next() => panic!("there is no answer"),
        pid = written(&file) => pid,
    };
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    drop(stream);
    server.close().await;
    while is_running(&pid) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fs::remove_dir_all(folder).unwrap();
}

async fn written(file: &Path) -> String {
    loop {
        match fs::read_to_string(file) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// A process that nobody waits for stays as a zombie: that counts as gone.
fn is_running(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}
