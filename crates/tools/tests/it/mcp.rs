//! What calls bring, and what each way of failing says of the effect.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::StreamExt;
use mainstay_tools::{
    Call, Failure, FailureKind, Returned, Step, Toolbox,
    egress::{Guard, Rules, SystemNames},
    mcp::{Server, Settings, Transport},
    seam::Secret,
};
use mainstay_vocabulary::{Content, Object};
use serde_json::json;

use crate::server::{Manner, serve};

fn server(port: u16) -> Server {
    let rules = Rules { hosts: Vec::new(), private: vec!["127.0.0.0/8".parse().unwrap()] };
    let transport = Transport::Http {
        url: format!("http://127.0.0.1:{port}/mcp"),
        headers: BTreeMap::from([("x-team".to_owned(), "blue".to_owned())]),
        secret: Some(Secret::new("s3cret")),
        guard: Guard::new(rules, Arc::new(SystemNames)),
    };
    Server::new(Settings { name: "small".to_owned(), transport, connect: Duration::from_secs(20) }).unwrap()
}

fn pay() -> Call {
    Call {
        tool: "pay".to_owned(),
        arguments: json!({ "amount": 7 }).as_object().cloned().unwrap(),
        idempotency_key: "session-1-9".to_owned(),
        timeout: Duration::from_secs(2),
        meta: Object::new(),
    }
}

async fn call(server: &Server, call: Call) -> Result<Returned, Failure> {
    let mut steps = server.call(call);
    while let Some(step) = steps.next().await {
        if let Step::Ended(result) = step {
            return result;
        }
    }
    panic!("a call without an end");
}

#[tokio::test]
async fn tools_are_listed_with_what_the_server_says_of_them() {
    let (port, _) = serve(Manner::Well).await;
    let listing = server(port).list().await.unwrap();
    assert_eq!(listing.server.as_deref(), Some("small 1"));
    let told: Vec<_> = listing.tools.iter().map(|tool| (tool.name.as_str(), tool.hints.read_only)).collect();
    assert_eq!(told, [("pay", None), ("look", Some(true))]);
    assert_eq!(listing.tools[0].parameters["type"], "object");
}

#[tokio::test]
async fn a_call_carries_its_key_twice_and_brings_its_result() {
    for manner in [Manner::Well, Manner::Streamed] {
        let (port, seen) = serve(manner).await;
        let returned = call(&server(port), pay()).await.unwrap();
        assert_eq!(returned.content, [Content::Text("paid".to_owned())]);
        let calls = seen.calls();
        let [(head, body)] = &calls[..] else { panic!("{calls:?}") };
        assert!(head.to_lowercase().contains("idempotency-key: session-1-9"), "{head}");
        assert!(head.contains("uthorization: Bearer s3cret") && head.contains("x-team: blue"), "{head}");
        assert_eq!(body["params"]["_meta"]["mainstay/idempotency_key"], "session-1-9");
        assert_eq!(body["params"]["arguments"], json!({ "amount": 7 }));
    }
}

#[tokio::test]
async fn a_tool_that_fails_has_answered() {
    let (port, _) = serve(Manner::ToolFails).await;
    let returned = call(&server(port), pay()).await.unwrap();
    assert!(returned.is_error);
}

#[tokio::test]
async fn each_way_of_failing_says_what_it_means_for_the_effect() {
    use FailureKind::{NotSent, Rejected, Unknown};
    let cases = [
        (Manner::Closes, Unknown),
        (Manner::Torn, Unknown),
        (Manner::Silent, Unknown),
        (Manner::Garbage, Unknown),
        (Manner::Endless, Unknown),
        (Manner::WrongId, Unknown),
        (Manner::Status(500), Unknown),
        (Manner::Status(502), Unknown),
        (Manner::Status(503), Unknown),
        (Manner::Status(429), NotSent),
        (Manner::Status(400), Rejected),
        (Manner::Status(401), Rejected),
        (Manner::Status(403), Rejected),
        (Manner::Error(-32_601), Rejected),
        (Manner::Error(-32_602), Rejected),
        (Manner::Error(-32_603), Unknown),
        (Manner::Error(-32_000), Unknown),
    ];
    for (manner, expected) in cases {
        let (port, seen) = serve(manner).await;
        let failure = call(&server(port), pay()).await.unwrap_err();
        assert_eq!(failure.kind, expected, "{manner:?}: {failure:?}");
        assert!(!failure.message.contains("s3cret"));
        assert_eq!(seen.calls().len(), 1, "{manner:?}: a call is sent once, whatever comes back");
    }
}

#[tokio::test]
async fn what_cannot_be_reached_was_not_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let failure = call(&server(port), pay()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotSent, "{failure:?}");
}

#[tokio::test]
async fn a_forbidden_address_sees_no_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"] {
        let transport = Transport::Http {
            url: format!("http://{host}:{port}/mcp"),
            headers: BTreeMap::new(),
            secret: None,
            guard: Guard::new(Rules::default(), Arc::new(SystemNames)),
        };
        let server = Server::new(Settings { name: "x".to_owned(), transport, connect: Duration::from_secs(5) });
        let failure = match server {
            Err(failure) => failure,
            Ok(server) => call(&server, pay()).await.unwrap_err(),
        };
        assert_eq!(failure.kind, FailureKind::NotSent, "{host}");
        assert!(failure.message.contains("may not be reached"), "{host}: {}", failure.message);
    }
    let accepted = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(accepted.is_err(), "nobody may knock");
}

#[tokio::test]
async fn a_connection_that_broke_is_made_anew() {
    let (port, seen) = serve(Manner::Closes).await;
    let server = server(port);
    for _ in 0..2 {
        assert!(call(&server, pay()).await.is_err());
    }
    assert_eq!(seen.calls().len(), 2);
    assert!(server.list().await.is_ok());
}

#[tokio::test]
async fn a_call_that_is_given_up_is_cancelled_there() {
    let (port, seen) = serve(Manner::Silent).await;
    let server = server(port);
    let mut steps = server.call(pay());
    let waited = tokio::time::timeout(Duration::from_millis(500), steps.next()).await;
    assert!(waited.is_err());
    drop(steps);
    for _ in 0..100 {
        if seen.methods().iter().any(|method| method == "notifications/cancelled") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}", seen.methods());
}

#[test]
fn a_program_without_an_absolute_path_is_refused() {
    let transport = Transport::Stdio { program: "sh".into(), arguments: Vec::new(), environment: BTreeMap::new() };
    let server = Server::new(Settings { name: "x".to_owned(), transport, connect: Duration::from_secs(5) });
    assert!(server.is_err_and(|failure| failure.message.contains("absolute")));
}
