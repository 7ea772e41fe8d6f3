//! All routes, and what holds for every response: a request id, which vendor's routes answer, OpenAI's error shape for
//! unknown paths and methods.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, StatusCode},
    middleware::{Next, from_fn, map_request},
    response::Response,
};
use mainstay_runtime::Engine;

use crate::{
    agents, conversations,
    drain::drain,
    error::Error,
    files, gateway, health, managed, models, native, node, responses,
    state::{AppState, Settings},
};

/// All that is served.
pub fn router(engine: Arc<Engine>, settings: Settings) -> Router {
    let requests = Requests::new(engine.now().0);
    let state = AppState::new(engine, settings);
    let settings = Arc::clone(&state.settings);
    let wires = Router::new()
        .merge(models::routes())
        .merge(agents::routes())
        .merge(responses::routes())
        .merge(conversations::routes())
        .merge(files::routes())
        .merge(gateway::routes());
    let anthropic = managed::shaped(managed::routes().merge(gateway::messages()));
    let routes = Router::new()
        .merge(health::routes())
        .merge(native::routes())
        .merge(node::routes())
        .nest("/anthropic/v1", anthropic)
        .nest("/openai/v1", wires.clone())
        .nest("/v1", wires)
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(from_fn(move |request, next| drain(Arc::clone(&settings), request, next)))
        .layer(from_fn(move |request, next| number(Arc::clone(&requests), request, next)))
        .with_state(state);
    // A router of its own around all routes: what it changes is changed before a route is looked for.
    Router::new().fallback_service(routes).layer(map_request(by_vendor))
}

/// Both vendors' clients ask under `/v1`, and `/v1/agents` or `/v1/models` mean something else to each. A request that
/// names a version of Anthropic's API, as all of its clients' do, is answered by that vendor's routes.
async fn by_vendor(mut request: Request) -> Request {
    let uri = request.uri();
    let is_theirs = request.headers().contains_key("anthropic-version") && uri.path().starts_with("/v1/");
    if is_theirs && let Some(found) = uri.path_and_query().and_then(|path| format!("/anthropic{path}").parse().ok()) {
        *request.uri_mut() = found;
    }
    request
}

pub(crate) async fn not_found(request: Request) -> Error {
    Error::not_found(format!("Unknown path: {} {}.", request.method(), request.uri().path())).with_code("unknown_url")
}

pub(crate) async fn method_not_allowed(request: Request) -> Error {
    let message = format!("{} is not allowed on {}.", request.method(), request.uri().path());
    Error::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", message).with_code("method_not_allowed")
}

/// Numbers requests; unique together with the time this process began to serve.
struct Requests {
    began_ms: u64,
    count: AtomicU64,
}

impl Requests {
    fn new(began_ms: u64) -> Arc<Self> {
        Arc::new(Self { began_ms, count: AtomicU64::new(0) })
    }
}

/// The id of the request at hand.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

async fn number(requests: Arc<Requests>, mut request: Request, next: Next) -> Response {
    let number = requests.count.fetch_add(1, Ordering::Relaxed);
    let id = RequestId(Arc::from(format!("req_{:x}_{number:x}", requests.began_ms)));
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    if let Ok(id) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}
