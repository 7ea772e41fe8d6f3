//! HTTP tools that an operator declares: what is sent, and what each status says.

use mainstay_tools::{
    Annotations, Body, Declared, Failure, FailureKind, HttpTools, Method, Returned, Toolbox as _, mcp::Secret,
};
use mainstay_vocabulary::Content;
use serde_json::json;

use crate::{
    call, ended, open_guard,
    peer::{Do, Peer, whole},
};

fn declared(url: &str, method: Method) -> Declared {
    Declared {
        name: "pay".to_owned(),
        description: None,
        method,
        url: url.to_owned(),
        headers: vec![("authorization".to_owned(), Secret::new("Bearer sesame"))],
        parameters: json!({ "type": "object", "required": ["to"] }).as_object().cloned().unwrap(),
        body: Body::Arguments,
        annotations: None,
    }
}

#[tokio::test]
async fn a_call_becomes_the_declared_request() {
    let peer = Peer::start(|_| vec![whole("200 OK", "content-type: application/json\r\n", "{\"ok\":true}")]).await;
    let url = format!("http://{}/to/{{to}}", peer.address);
    let tools = HttpTools::new(vec![declared(&url, Method::Post)], open_guard(), "agent").unwrap();
    let returned = ended(&tools, call("pay", json!({ "to": "a/b", "cents": 7 }))).await.unwrap();
    assert_eq!(returned.structured, Some(json!({ "ok": true })));
    assert_eq!(returned.content, [Content::Text("{\"ok\":true}".to_owned())]);
    let asked = peer.asked.lock().unwrap()[0].clone();
    assert!(asked.head.starts_with("POST /to/a%2Fb HTTP/1.1"), "{}", asked.head);
    assert_eq!(asked.header("idempotency-key"), Some("key-1"));
    assert_eq!(asked.header("authorization"), Some("Bearer sesame"));
    assert_eq!(asked.json(), json!({ "cents": 7 }));
    assert!(!format!("{tools:?}").contains("sesame"));
}

#[tokio::test]
async fn each_status_says_what_happened() {
    type Expected = Result<bool, FailureKind>;
    let cases: [(&str, Expected); 8] = [
        ("200 OK", Ok(false)),
        ("204 None", Ok(false)),
        ("302 There", Err(FailureKind::Rejected)),
        ("400 Bad", Ok(true)),
        ("404 No", Ok(true)),
        ("422 Odd", Ok(true)),
        ("500 Oops", Err(FailureKind::Unknown)),
        ("503 Later", Err(FailureKind::Unknown)),
    ];
    for (status, expected) in cases {
        let peer = Peer::start(move |_| vec![whole(status, "location: /x\r\n", ""), Do::Close]).await;
        let url = format!("http://{}/x", peer.address);
        let tools = HttpTools::new(vec![declared(&url, Method::Post)], open_guard(), "agent").unwrap();
        let answer: Result<Returned, Failure> = ended(&tools, call("pay", json!({ "to": "x" }))).await;
        assert_eq!(answer.map(|returned| returned.is_error).map_err(|failure| failure.kind), expected, "{status}");
    }
}

#[tokio::test]
async fn what_is_not_sent_is_said_to_be_so() {
    let peer = Peer::start(|_| vec![Do::Close]).await;
    let url = format!("http://{}/x", peer.address);
    for method in [Method::Post, Method::Get] {
        let tools = HttpTools::new(vec![declared(&url, method)], open_guard(), "agent").unwrap();
        let kind = |failure: Failure| failure.kind;
        assert_eq!(ended(&tools, call("pay", json!({}))).await.map_err(kind), Err(FailureKind::NotSent), "missing");
        assert_eq!(ended(&tools, call("other", json!({}))).await.map_err(kind), Err(FailureKind::NotSent), "no tool");
        let torn = ended(&tools, call("pay", json!({ "to": "x" }))).await;
        assert_eq!(torn.map_err(kind), Err(FailureKind::Unknown), "closed without an answer");
    }
    let tools = HttpTools::new(vec![declared("http://127.0.0.1:1/", Method::Post)], open_guard(), "agent").unwrap();
    let failure = ended(&tools, call("pay", json!({ "to": "x" }))).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotSent, "{failure}");
    assert!(!failure.message.contains("sesame"));
}

#[tokio::test]
async fn the_method_tells_the_class_unless_it_is_declared() {
    let classes = [
        (Method::Get, true, true),
        (Method::Head, true, true),
        (Method::Put, false, true),
        (Method::Delete, false, true),
        (Method::Post, false, false),
        (Method::Patch, false, false),
    ];
    for (method, read_only, idempotent) in classes {
        let tools = HttpTools::new(vec![declared("http://h/", method)], open_guard(), "agent").unwrap();
        let told = tools.list().await.unwrap().tools[0].annotations;
        assert_eq!((told.read_only, told.idempotent), (Some(read_only), Some(idempotent)), "{method:?}");
    }
    let said = Annotations { idempotent: Some(true), ..Annotations::default() };
    let tool = Declared { annotations: Some(said), ..declared("http://h/", Method::Post) };
    let tools = HttpTools::new(vec![tool], open_guard(), "agent").unwrap();
    assert_eq!(tools.list().await.unwrap().tools[0].annotations, said);
}
