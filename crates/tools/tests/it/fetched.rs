//! The `fetch` tool: what a model reads of a page, and how pages end that cannot be read.

use std::time::Duration;

use mainstay_tools::{FailureKind, Fetch, Returned, Toolbox as _};
use mainstay_vocabulary::Content;
use serde_json::{Value, json};

use crate::{
    call, ended, open_guard,
    peer::{Asked, Do, Peer, chunk, whole},
};

async fn fetched(arguments: Value) -> Result<Returned, mainstay_tools::Failure> {
    ended(&Fetch::new(open_guard(), "agent"), call("fetch", arguments)).await
}

fn text(returned: &Returned) -> &str {
    let [Content::Text(text)] = &returned.content[..] else { panic!("{returned:?}") };
    text
}

fn pages(asked: &Asked) -> Vec<Do> {
    let path = asked.head.split_whitespace().nth(1).unwrap().to_owned();
    let head = asked.is("HEAD");
    vec![
        match path.as_str() {
            "/page" if head => whole("200 OK", "content-type: text/html\r\n", ""),
            "/page" => whole(
                "200 OK",
                "content-type: text/html; charset=utf-8\r\n",
                "<title>T</title><body><p>Hello</p><script>x</script>",
            ),
            "/json" => whole("200 OK", "content-type: application/json\r\n", "{\"a\": 1}"),
            "/long" => whole("200 OK", "content-type: text/plain\r\n", &"é".repeat(100)),
            "/binary" => whole("200 OK", "content-type: image/png\r\n", "xx"),
            "/packed" => whole("200 OK", "content-type: text/plain\r\ncontent-encoding: gzip\r\n", "xx"),
            "/missing" => whole("404 No", "content-type: text/plain\r\n", "nothing here"),
            "/there" => whole("302 A", "location: ./page\r\n", ""),
            "/loop" => whole("302 A", "location: /loop\r\n", ""),
            "/huge" => {
                Do::Send(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 9999999\r\n\r\n".to_vec())
            }
            "/cut" => Do::Send(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 99\r\n\r\nhi".to_vec()),
            "/endless" => {
                let Do::Send(part) = chunk(&"x".repeat(65_536)) else { panic!() };
                return vec![
                    Do::Send(
                        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
                    ),
                    Do::Endless(part),
                ];
            }
            _ => return vec![Do::Hang],
        },
        Do::Close,
    ]
}

#[tokio::test]
async fn pages_come_back_as_text() {
    let peer = Peer::start(pages).await;
    let at = |path: &str| format!("http://{}{path}", peer.address);
    let page = fetched(json!({ "url": at("/page") })).await.unwrap();
    assert!(text(&page).ends_with("text/html; charset=utf-8\n\nT\n\nHello"), "{}", text(&page));
    assert!(!page.is_error);
    let page = fetched(json!({ "url": at("/there") })).await.unwrap();
    assert_eq!(page.structured.as_ref().unwrap()["url"], at("/page"), "a redirect is followed");
    let page = fetched(json!({ "url": at("/json") })).await.unwrap();
    assert!(text(&page).ends_with("{\"a\": 1}"));
    let page = fetched(json!({ "url": at("/page"), "method": "HEAD" })).await.unwrap();
    assert!(text(&page).trim_end().ends_with("HTTP 200, text/html"));
    let page = fetched(json!({ "url": at("/missing") })).await.unwrap();
    assert!(page.is_error && text(&page).ends_with("nothing here"));
    for path in ["/binary", "/packed"] {
        let page = fetched(json!({ "url": at(path) })).await.unwrap();
        assert!(page.is_error, "{path}");
    }
}

#[tokio::test]
async fn a_long_text_is_read_in_parts() {
    let peer = Peer::start(pages).await;
    let url = format!("http://{}/long", peer.address);
    let page = fetched(json!({ "url": url, "max_bytes": 101 })).await.unwrap();
    assert_eq!(page.structured.as_ref().unwrap()["next"], 100, "cut at a character");
    let page = fetched(json!({ "url": url, "start": 100 })).await.unwrap();
    assert_eq!(page.structured.as_ref().unwrap()["next"], Value::Null);
    assert!(text(&page).ends_with(&format!("\n\n{}", "é".repeat(50))));
    let page = fetched(json!({ "url": url, "start": 100_000 })).await.unwrap();
    assert!(text(&page).ends_with("\n\n"));
}

#[tokio::test]
async fn pages_that_do_not_end_well_are_failures() {
    let peer = Peer::start(pages).await;
    let at = |path: &str| format!("http://{}{path}", peer.address);
    for path in ["/huge", "/cut", "/endless"] {
        let failure = fetched(json!({ "url": at(path) })).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unknown, "{path}: {failure}");
    }
    assert_eq!(fetched(json!({ "url": at("/loop") })).await.unwrap_err().kind, FailureKind::Rejected);
    let mut slow = call("fetch", json!({ "url": at("/hang") }));
    slow.timeout = Duration::from_millis(200);
    assert_eq!(ended(&Fetch::new(open_guard(), "agent"), slow).await.unwrap_err().kind, FailureKind::Unknown);
    for wrong in [
        json!({}),
        json!({ "url": 1 }),
        json!({ "url": at("/page"), "method": "POST" }),
        json!({ "url": at("/page"), "start": -1 }),
    ] {
        assert_eq!(fetched(wrong.clone()).await.unwrap_err().kind, FailureKind::NotSent, "{wrong}");
    }
    let other = ended(&Fetch::new(open_guard(), "agent"), call("shell", json!({}))).await.unwrap_err();
    assert_eq!(other.kind, FailureKind::NotSent);
}

#[tokio::test]
async fn the_tool_describes_itself_as_reading_only() {
    let listing = Fetch::new(open_guard(), "agent").list().await.unwrap();
    assert_eq!(listing.tools[0].name, "fetch");
    assert_eq!(listing.tools[0].annotations.read_only, Some(true));
    assert_eq!(listing.tools[0].parameters["required"], json!(["url"]));
}
