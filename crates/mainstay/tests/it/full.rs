//! A store without room: inputs are refused by name, what was accepted stays, and room is all that it needs.

use serde_json::{Value, json};

use crate::server::{Home, Server};

const SCRIPT: &str = "[[reply]]\nrepeat = true\nsteps = [{ text = \"taken\" }]";
/// Room for a few inputs of `BULK`.
const MOST: u64 = 4 << 20;
const BULK: usize = 200_000;
/// Inputs that are tried: more than can have room.
const TRIES: usize = 64;

async fn ask(server: &Server, input: &str) -> (u16, Value) {
    let reply = server.post("/v1/responses", &json!({ "model": "mock", "input": input })).await;
    (reply.status, reply.json())
}

#[tokio::test]
async fn a_full_store_refuses_by_name_and_goes_on_when_there_is_room() {
    let home = Home::new("full", SCRIPT, &format!("[store]\nmost_bytes = {MOST}\n"));
    let server = home.start();
    let mut accepted = Vec::new();
    let refused = loop {
        let (status, body) = ask(&server, &"x".repeat(BULK)).await;
        if status != 200 {
            break (status, body);
        }
        assert!(accepted.len() < TRIES, "the store never filled");
        accepted.push(body["id"].as_str().unwrap().to_owned());
    };
    assert_eq!((refused.0, &refused.1["error"]["code"]), (507, &json!("storage_full")), "{}", refused.1);
    assert!(!accepted.is_empty());
    assert_eq!(server.get("/healthz").await.status, 200);
    for id in &accepted {
        assert_eq!(server.get(&format!("/v1/responses/{id}")).await.status, 200, "what was accepted is read");
    }
    drop(server);
    let config = home.path().join("mainstay.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace(&MOST.to_string(), "0")).unwrap();
    let server = home.start();
    for id in &accepted {
        let reply = server.get(&format!("/v1/responses/{id}")).await;
        assert_eq!(reply.json()["output"][0]["content"][0]["text"], "taken", "{}", reply.text);
    }
    let (status, body) = ask(&server, "again").await;
    assert_eq!((status, &body["status"]), (200, &json!("completed")), "{body}");
    home.check_log();
}
