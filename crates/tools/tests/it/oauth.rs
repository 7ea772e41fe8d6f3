//! Authorization: tokens had by client credentials, by refresh and by consent; what they are sent to, and that no
//! error shows one.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use mainstay_tools::{
    FailureKind, Reply,
    egress::{Guard, Otherwise, Outcome, Purpose, Rules},
    mcp::{McpServer, OAuth, OAuthClient, Protocol, Reach, Secret, Settings, StoredTokens, Tokens},
};
use serde_json::json;

use crate::{
    Played, Seen, call, ended, open_guard, patient,
    peer::{Asked, Do, Peer, as_json, legacy, result, whole},
};

#[derive(Clone, Default)]
struct Vault(Arc<Mutex<Option<StoredTokens>>>);

impl Tokens for Vault {
    fn load(&self) -> Reply<Result<Option<StoredTokens>, String>> {
        let tokens = self.0.lock().unwrap().clone();
        Box::pin(std::future::ready(Ok(tokens)))
    }

    fn store(&self, tokens: Option<StoredTokens>) -> Reply<Result<(), String>> {
        *self.0.lock().unwrap() = tokens;
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Vault {
    fn with(access: &str, expires_in_seconds: Option<u64>) -> Self {
        Self(Arc::new(Mutex::new(Some(StoredTokens {
            client_id: "us".to_owned(),
            access_token: Secret::new(access),
            refresh_token: Some(Secret::new("refresh-secret")),
            scopes: vec!["a".to_owned()],
            expires_in_seconds,
            received_at_seconds: Some(0),
            issuer: None,
        }))))
    }

    fn access(&self) -> Option<String> {
        self.0.lock().unwrap().as_ref().map(|tokens| tokens.access_token.expose().to_owned())
    }
}

/// A resource and its authorization server in one: `token` is what the token endpoint answers.
fn guarded(token: impl Fn(&Asked, usize) -> Do + Send + Sync + 'static) -> impl Fn(&Asked) -> Vec<Do> {
    let served = AtomicUsize::new(0);
    let inner = legacy(|asked| vec![as_json(&result(asked, "paid"))]);
    move |asked| {
        let origin = format!("http://{}", asked.header("host").unwrap());
        let path = asked.head.split_whitespace().nth(1).unwrap().to_owned();
        match path.as_str() {
            "/.well-known/oauth-protected-resource/mcp" => {
                let resource = format!("{origin}/mcp");
                vec![as_json(
                    &json!({ "resource": resource, "authorization_servers": [origin], "scopes_supported": ["a"] }),
                )]
            }
            "/.well-known/oauth-authorization-server" => vec![as_json(&json!({
                "issuer": origin, "authorization_endpoint": format!("{origin}/authorize"),
                "token_endpoint": format!("{origin}/token"), "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
                "code_challenge_methods_supported": ["S256"], "authorization_response_iss_parameter_supported": true,
                "token_endpoint_auth_methods_supported": ["client_secret_post", "none"],
            }))],
            "/token" => vec![token(asked, served.fetch_add(1, Ordering::Relaxed))],
            "/mcp" if asked.header("authorization").is_some_and(|sent| sent.starts_with("Bearer good")) => inner(asked),
            "/mcp" => {
                let challenge = format!(
                    "www-authenticate: Bearer resource_metadata=\"{origin}/.well-known/oauth-protected-resource/mcp\"\r\n"
                );
                vec![whole("401 Who", &challenge, "")]
            }
            _ => vec![whole("404 No", "", "")],
        }
    }
}

fn granted(_: &Asked, number: usize) -> Do {
    as_json(
        &json!({ "access_token": format!("good-{number}"), "token_type": "Bearer", "expires_in": 3600, "refresh_token": "r-2" }),
    )
}

fn server(peer: &Peer, vault: &Vault, client: OAuthClient, guard: Arc<Guard>) -> McpServer {
    let tokens = Arc::new(vault.clone());
    let redirect_url = "http://127.0.0.1:1/back".to_owned();
    let oauth = Some(OAuth { tokens, client, scopes: Vec::new(), redirect_url });
    let reach = Reach::Http { url: peer.url(), headers: Vec::new(), guard, oauth };
    McpServer::new(Settings { name: "test".to_owned(), reach, protocol: Protocol::V2025_11_25, timeouts: patient() })
        .unwrap()
}

fn credentials() -> OAuthClient {
    OAuthClient::Credentials { id: "us".to_owned(), secret: Secret::new("client-secret") }
}

fn registered() -> OAuthClient {
    OAuthClient::Registered { id: "us".to_owned(), secret: None }
}

fn token_requests(peer: &Peer) -> Vec<String> {
    let asked = peer.asked.lock().unwrap();
    asked.iter().filter(|asked| asked.head.starts_with("POST /token")).map(|asked| asked.body.clone()).collect()
}

#[tokio::test]
async fn client_credentials_get_a_token_when_one_is_wanted() {
    let peer = Peer::start(guarded(granted)).await;
    let vault = Vault::default();
    let server = server(&peer, &vault, credentials(), open_guard());
    ended(&server, call("pay", json!({}))).await.unwrap();
    assert_eq!(vault.access().as_deref(), Some("good-0"));
    let [request] = &token_requests(&peer)[..] else { panic!("{:?}", token_requests(&peer)) };
    assert!(request.contains("grant_type=client_credentials"), "{request}");
    let resource = format!("resource=http%3A%2F%2F127.0.0.1%3A{}%2Fmcp", peer.address.port());
    assert!(request.contains(&resource), "{request}");
    assert_eq!(peer.of("tools/call").len(), 1);
    assert!(!format!("{server:?}").contains("client-secret"));
}

#[tokio::test]
async fn an_expired_token_is_refreshed_before_it_is_sent() {
    let peer = Peer::start(guarded(granted)).await;
    let vault = Vault::with("old-secret", Some(60));
    ended(&server(&peer, &vault, registered(), open_guard()), call("pay", json!({}))).await.unwrap();
    assert_eq!(vault.access().as_deref(), Some("good-0"));
    let [request] = &token_requests(&peer)[..] else { panic!() };
    assert!(request.contains("grant_type=refresh_token") && request.contains("resource="), "{request}");
    assert!(peer.asked.lock().unwrap().iter().all(|asked| !asked.head.contains("old-secret")));
}

#[tokio::test]
async fn a_token_that_was_revoked_is_refreshed_once() {
    let peer = Peer::start(guarded(granted)).await;
    let vault = Vault::with("old-secret", None);
    ended(&server(&peer, &vault, registered(), open_guard()), call("pay", json!({}))).await.unwrap();
    assert_eq!(token_requests(&peer).len(), 1);
    assert_eq!(peer.of("tools/call").len(), 1);
}

#[tokio::test]
async fn a_refused_refresh_is_an_error_without_a_token() {
    let refuse = |_: &Asked, _: usize| {
        let said = json!({ "error": "invalid_grant", "error_description": "refresh-secret old-secret" });
        whole("400 No", "content-type: application/json\r\n", &said.to_string())
    };
    let peer = Peer::start(guarded(refuse)).await;
    for expires in [None, Some(60)] {
        let server = server(&peer, &Vault::with("old-secret", expires), registered(), open_guard());
        let failure = ended(&server, call("pay", json!({}))).await.unwrap_err();
        assert!(matches!(failure.kind, FailureKind::NotSent | FailureKind::Rejected), "{failure}");
        assert!(!format!("{failure:?} {server:?}").contains("-secret"), "{failure}");
        assert_eq!(peer.of("tools/call").len(), 0);
    }
}

#[tokio::test]
async fn tokens_of_another_authorization_server_are_not_sent() {
    let peer = Peer::start(guarded(granted)).await;
    let vault = Vault::with("good-but-theirs", None);
    if let Some(tokens) = vault.0.lock().unwrap().as_mut() {
        tokens.issuer = Some("https://other.example".to_owned());
    }
    let failure = ended(&server(&peer, &vault, registered(), open_guard()), call("pay", json!({}))).await.unwrap_err();
    assert!(failure.message.contains("401"), "{failure}");
    assert!(peer.asked.lock().unwrap().iter().all(|asked| !asked.head.contains("good-but-theirs")));
}

fn parameter(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")))?;
    Some(value.to_owned())
}

#[tokio::test]
async fn a_person_consents_once() {
    let peer = Peer::start(guarded(granted)).await;
    let vault = Vault::default();
    let server = server(&peer, &vault, registered(), open_guard());
    let failure = ended(&server, call("pay", json!({}))).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotSent, "the handshake was refused, the call not sent: {failure}");
    assert!(server.wants_consent().await);
    let address = server.authorize().await.unwrap();
    assert_eq!(parameter(&address, "code_challenge_method").as_deref(), Some("S256"));
    assert!(parameter(&address, "resource").is_some() && parameter(&address, "code_challenge").is_some(), "{address}");
    let state = parameter(&address, "state").unwrap();
    let issuer = format!("http://{}", peer.address);
    let back = "http://127.0.0.1:1/back";
    for wrong in [
        format!("{back}?code=c&state={state}"),
        format!("{back}?code=c&state={state}&iss=https://other.example"),
        format!("{back}?code=c&state=other&iss={issuer}"),
        format!("{back}?state={state}"),
    ] {
        server.authorized(&wrong).await.unwrap_err();
    }
    assert_eq!(token_requests(&peer).len(), 0, "no code goes out after a wrong answer");
    server.authorized(&format!("{back}?code=c&state={state}&iss={issuer}")).await.unwrap();
    assert!(token_requests(&peer)[0].contains("code_verifier="));
    ended(&server, call("pay", json!({}))).await.unwrap();
    assert_eq!(vault.access().as_deref(), Some("good-0"));
    assert!(!server.wants_consent().await);
}

#[tokio::test]
async fn an_authorization_server_passes_the_guard() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = Peer::at("127.0.0.2:0", move |asked: &Asked| {
        let challenge = format!("www-authenticate: Bearer resource_metadata=\"http://127.0.0.1:{port}/meta\"\r\n");
        match asked.head.split_whitespace().nth(1) {
            Some("/mcp") => vec![whole("401 Who", &challenge, "")],
            Some("/.well-known/oauth-protected-resource/mcp") => {
                let resource = format!("http://{}/mcp", asked.header("host").unwrap());
                let servers = [format!("http://127.0.0.1:{port}"), format!("http://as.test:{port}")];
                vec![as_json(&json!({ "resource": resource, "authorization_servers": servers }))]
            }
            _ => vec![whole("302 A", &format!("location: http://127.0.0.1:{port}/x\r\n"), "")],
        }
    })
    .await;
    let rules = Rules::new(Otherwise::Allow).allow_private(["127.0.0.2/32"]).unwrap();
    let seen = Arc::new(Seen::default());
    let names = Played::default().with("as.test", &[&["127.0.0.1"]]);
    let guard = Guard::new(rules, Arc::new(names), seen.clone()).unwrap();
    let server = server(&peer, &Vault::default(), credentials(), guard);
    ended(&server, call("pay", json!({}))).await.unwrap_err();
    server.authorize().await.unwrap_err();
    assert!(listener.accept().is_err(), "nobody came");
    let seen = seen.0.lock().unwrap();
    assert!(seen.iter().any(|connection| connection.purpose == Purpose::Authorization), "it was tried");
    let is_right = |address: Option<std::net::IpAddr>| address == Some("127.0.0.2".parse().unwrap());
    assert!(seen.iter().all(|connection| connection.outcome != Outcome::Connected || is_right(connection.address)));
}

#[test]
fn tokens_do_not_print_themselves() {
    let printed = format!("{:?}", Vault::with("access-secret", None).0.lock().unwrap());
    assert!(!printed.contains("secret"), "{printed}");
}
