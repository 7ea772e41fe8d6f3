//! The doctor: nothing to say of a healthy installation, a line and a remedy for each thing that is broken, and no
//! disturbance of a server that runs.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
};

use serde_json::Value;

use crate::{
    bare::{Machine, ollama, text},
    http::{Request, exchange},
};

/// The report and whether it was a success.
fn examined(output: &Output) -> (Value, bool) {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    assert_eq!(report["ok"], output.status.success());
    assert_eq!(output.status.code(), Some(i32::from(!output.status.success())));
    (report, output.status.success())
}

fn line<'a>(report: &'a Value, subject: &str) -> &'a Value {
    let mut checks = report["checks"].as_array().unwrap().iter();
    checks.find(|check| check["subject"] == subject).unwrap_or_else(|| panic!("no {subject} in {report:#}"))
}

/// The subject failed, for this reason and with advice.
fn fails(machine: &Machine, arguments: &[&str], (subject, reason): (&str, &str)) {
    let (report, is_well) = examined(&machine.run(&[&["doctor", "--json"], arguments].concat()));
    let line = line(&report, subject);
    assert!(!is_well, "{report:#}");
    assert_eq!(line["grade"], "fail", "{line:#}");
    assert!(line["found"].as_str().unwrap().contains(reason), "{line:#}");
    assert!(!line["advice"].as_str().unwrap().is_empty());
}

#[test]
fn a_fresh_machine_is_healthy_and_stays_untouched() {
    let machine = Machine::new("fresh");
    let (report, is_well) = examined(&machine.run(&["doctor", "--json"]));
    assert!(is_well, "{report:#}");
    assert!(!machine.data().exists(), "it only looks");
    for subject in ["configuration", "server", "data directory", "store", "disk", "clock", "open files"] {
        assert_ne!(line(&report, subject)["grade"], "fail");
    }
    let table = machine.say(&["doctor"]);
    assert!(table.contains("ok    clock"), "{table}");
}

#[tokio::test]
async fn a_running_server_is_asked_and_not_disturbed() {
    let machine = Machine::new("running").with("OLLAMA_HOST", ollama().to_string());
    let server = machine.serve();
    let (report, is_well) = examined(&machine.run(&["doctor", "--json", "--online"]));
    assert!(is_well, "{report:#}");
    let found = line(&report, "server")["found"].as_str().unwrap();
    assert!(found.contains(&server.pid().to_string()) && found.contains("ready"), "{found}");
    assert!(line(&report, "store")["found"].as_str().unwrap().contains("in use by the server"));
    assert!(line(&report, "provider ollama")["found"].as_str().unwrap().contains("no list of models"));
    assert_eq!(line(&report, "keys")["grade"], "ok");
    let request = Request::get("/v1/models").key(&server.key);
    assert_eq!(exchange(server.address, &request).await.unwrap().status, 200);
    drop(server);
    let (report, is_well) = examined(&machine.run(&["doctor", "--json"]));
    assert!(is_well, "{report:#}");
    assert!(line(&report, "server")["found"].as_str().unwrap().contains("none"), "its note is stale");
    assert!(line(&report, "store")["found"].as_str().unwrap().contains("opens and closes"));
    machine.serve().stop();
}

#[test]
fn a_configuration_that_is_wrong_is_named_by_its_line() {
    let machine = Machine::new("wrong");
    fs::write(machine.path("wrong.toml"), "[server]\nport = 1\n").unwrap();
    fails(&machine, &["--config", "wrong.toml"], ("configuration", "line 2"));
}

#[test]
fn providers_that_cannot_be_used_are_named() {
    let machine = Machine::new("providers");
    // Bound and never listening again: nobody else takes the port while the test runs.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = listener.local_addr().unwrap();
    drop(listener);
    let account = |name: &str, rest: &str| format!("[[provider]]\nname = \"{name}\"\nkind = \"openai-chat\"\n{rest}\n");
    let served = "[[deployment]]\nmodel = \"m\"\nprovider = \"dead\"\n";
    let config = account("dead", &format!("base_url = \"http://{dead}/v1\""))
        + &account("poor", "base_url = \"http://127.0.0.1:1/v1\"\napi_key = { env = \"NO_SUCH_KEY\" }")
        + served;
    fs::write(machine.path("providers.toml"), config).unwrap();
    let arguments = ["--config", "providers.toml"];
    fails(&machine, &arguments, ("provider dead", "refused"));
    fails(&machine, &arguments, ("provider poor", "NO_SUCH_KEY is not set"));
}

#[test]
fn a_provider_is_asked_only_online_and_what_it_says_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let heard = std::sync::Arc::clone(&asked);
    // Ends with the test's process.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = vec![0; 4_096];
            let count = stream.read(&mut head).unwrap_or(0);
            heard.lock().unwrap().push_str(&text(&head[..count]));
            let answer = "HTTP/1.1 401 Unauthorized\r\nDate: Fri, 06 Nov 2020 08:49:37 GMT\r\nConnection: close\r\n";
            let _ = stream.write_all(format!("{answer}Content-Length: 0\r\n\r\n").as_bytes());
        }
    });
    let machine = Machine::new("asked").with("A_KEY", "very-secret");
    let account = |name: &str, kind: &str| {
        let address = format!("base_url = \"http://{address}/v1\"\napi_key = {{ env = \"A_KEY\" }}\n");
        format!("[[provider]]\nname = \"{name}\"\nkind = \"{kind}\"\n{address}")
    };
    let served = "[[deployment]]\nmodel = \"m\"\nprovider = \"a\"\n";
    fs::write(machine.path("a.toml"), account("a", "openai-chat") + &account("b", "anthropic") + served).unwrap();
    let (report, is_well) = examined(&machine.run(&["doctor", "--json", "--config", "a.toml"]));
    assert!(is_well && !asked.lock().unwrap().contains("GET"), "a connection and no more: {report:#}");
    let online = ["--config", "a.toml", "--online"];
    fails(&machine, &online, ("provider a", "does not take the key"));
    fails(&machine, &online, ("provider b", "does not take the key"));
    fails(&machine, &online, ("clock", "differs by"));
    let asked = asked.lock().unwrap().to_ascii_lowercase();
    assert!(asked.contains("get /v1/models") && asked.contains("authorization: bearer very-secret"), "{asked}");
    assert!(asked.contains("x-api-key: very-secret") && asked.contains("anthropic-version: "), "{asked}");
    let said = machine.run(&["doctor", "--config", "a.toml", "--online"]);
    assert!(!(text(&said.stdout) + &text(&said.stderr)).contains("very-secret"));
}

#[test]
fn keys_that_others_may_read_are_named() {
    let machine = Machine::new("modes");
    machine.serve().stop();
    let key = machine.data().join("api-key");
    for mode in [0o644, 0o640, 0o602] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        fails(&machine, &[], ("keys", "api-key"));
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(machine.data(), fs::Permissions::from_mode(0o777)).unwrap();
    fails(&machine, &[], ("data directory", "others may write"));
}

#[test]
fn a_store_that_is_damaged_or_anothers_is_named() {
    let machine = Machine::new("damaged");
    machine.serve().stop();
    let database = machine.data().join("mainstay.db");
    let length = fs::metadata(&database).unwrap().len();
    fs::write(&database, vec![7; usize::try_from(length).unwrap()]).unwrap();
    fails(&machine, &[], ("store", "not a database"));
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let machine = Machine::new("unwritable");
    fs::write(machine.path("file"), "").unwrap();
    fails(&machine, &["--data", "file"], ("data directory", "not a directory"));
    // Nobody may make files there, not even root.
    fails(&machine, &["--data", "/proc/self"], ("sync", "/proc/self"));
}

#[test]
fn a_disk_without_room_is_named() {
    let machine = Machine::new("room");
    machine.serve().stop();
    // The largest file may have one block; the signal that would end the process is ignored.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" doctor --json";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_mainstay")]).env_clear().env("HOME", machine.path(""));
    let (report, is_well) = examined(&command.env("OLLAMA_HOST", "127.0.0.1:1").output().unwrap());
    assert!(!is_well, "{report:#}");
    assert_eq!(line(&report, "sync")["grade"], "fail");
    assert!(line(&report, "sync")["advice"].as_str().unwrap().contains("room"), "{report:#}");
}

#[test]
fn what_a_sandbox_could_use_is_tried_and_never_a_failure() {
    let machine = Machine::new("sandbox");
    let (report, _) = examined(&machine.run(&["doctor", "--json"]));
    for ability in ["user-namespaces", "landlock", "seccomp"] {
        let line = line(&report, &format!("sandbox {ability}"));
        let tried = machine.run(&["doctor", "--probe", ability]);
        assert_eq!(line["grade"] == "ok", tried.status.success(), "{line:#}");
        assert_ne!(line["grade"], "fail");
        assert!(!line["found"].as_str().unwrap().is_empty());
    }
}
