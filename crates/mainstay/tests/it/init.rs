//! Without a configuration: what is found is served, said, and can be written down.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

use crate::{
    bare::{Machine, Serving, ollama, text},
    http::{Request, exchange},
};

async fn models(server: &Serving) -> Vec<String> {
    let reply = exchange(server.address, &Request::get("/v1/models").key(&server.key)).await.unwrap();
    reply.json()["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_is_found_is_served_and_what_leaves_the_machine_is_said() {
    let machine =
        Machine::new("found").with("OLLAMA_HOST", ollama().to_string()).with("MISTRAL_API_KEY", "very-secret");
    let server = machine.serve();
    let hosted = ["mistral-large-latest", "mistral-small-latest"];
    assert_eq!(models(&server).await, [&["qwen3:4b", "gemma3:1b"][..], &hosted].concat());
    let body = json!({ "model": "qwen3:4b", "input": "Where are you?" });
    let reply = exchange(server.address, &Request::post("/v1/responses", &body).key(&server.key)).await.unwrap();
    assert_eq!(reply.json()["output"][0]["content"][0]["text"], "Here.", "{}", reply.text);
    let log = machine.log();
    assert!(log.contains("data leaves this machine for mistral"), "{log}");
    assert!(log.contains("big:cloud") && !log.contains("very-secret"), "{log}");
}

#[tokio::test]
async fn with_nothing_found_there_is_an_echo_and_own_keys_are_no_vendors() {
    let machine = Machine::new("nothing").with("OPENAI_API_KEY", "msk-0123");
    let server = machine.serve();
    assert_eq!(models(&server).await, ["echo"]);
    assert!(machine.log().contains("OPENAI_API_KEY is a key of this server"), "{}", machine.log());
}

#[tokio::test]
async fn what_init_writes_is_what_is_served() {
    let machine = Machine::new("init").with("OLLAMA_HOST", ollama().to_string()).with("OPENAI_API_KEY", "very-secret");
    let file = machine.path(".config/mainstay/mainstay.toml");
    let said = machine.say(&["init"]);
    assert!(said.contains(file.to_str().unwrap()) && said.contains("next: mainstay serve\n"), "{said}");
    let written = fs::read_to_string(&file).unwrap();
    assert!(
        written.contains("api_key = { env = \"OPENAI_API_KEY\" }") && !written.contains("very-secret"),
        "{written}"
    );
    let printed: Value = serde_json::from_str(&machine.say(&["config", "print", "--json"])).unwrap();
    assert_eq!(printed["file"], file.to_str().unwrap());
    assert_eq!(printed["offered"], Value::Null, "what is written is configured");
    assert_eq!(printed["settings"]["deployment[0].model"]["value"], "qwen3:4b");
    let origin = printed["settings"]["provider[0].base_url"]["origin"].as_str().unwrap();
    let (path, line) = origin.rsplit_once(':').unwrap();
    assert_eq!(path, file.to_str().unwrap());
    assert!(written.lines().nth(line.parse::<usize>().unwrap() - 1).unwrap().starts_with("base_url = "));
    let server = machine.serve();
    assert_eq!(models(&server).await, ["qwen3:4b", "gemma3:1b", "gpt-6.2-sol", "gpt-6-luna"]);
}

#[test]
fn init_replaces_nothing_unless_told() {
    let machine = Machine::new("force");
    let file = machine.path("mine.toml");
    fs::write(&file, "mine").unwrap();
    let named = ["init", "--config", "mine.toml"];
    let output = machine.run(&named);
    assert!(!output.status.success() && text(&output.stderr).contains("--force"), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    let said = machine.say(&[&named[..], &["--force"]].concat());
    assert!(said.contains(&format!("mainstay serve --config {}", file.display())), "{said}");
    assert!(machine.say(&["config", "print", "--config", "mine.toml"]).contains("offered instead:\n  echo\n"));
}

#[test]
fn a_server_is_found_by_its_note_while_it_runs() {
    let machine = Machine::new("note");
    let server = machine.serve();
    let path = machine.data().join("server.json");
    let note: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(note, json!({ "pid": server.pid(), "url": format!("http://{}", server.address) }));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    server.stop();
    assert!(!path.exists(), "a clean stop removes it");
    drop(machine.serve());
    assert!(path.exists(), "a killed server cannot");
    machine.serve().stop();
    assert!(!path.exists(), "the next one takes it over");
}
