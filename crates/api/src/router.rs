//! All routes, and what holds for every response: a request id, OpenAI's error shape for unknown paths and methods.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, StatusCode},
    middleware::{Next, from_fn},
    response::Response,
};
use mainstay_runtime::Engine;

use crate::{
    agents, conversations,
    drain::drain,
    error::Error,
    health, models, responses,
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
        .merge(conversations::routes());
    Router::new()
        .merge(health::routes())
        .nest("/openai/v1", wires.clone())
        .nest("/v1", wires)
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(from_fn(move |request, next| drain(Arc::clone(&settings), request, next)))
        .layer(from_fn(move |request, next| number(Arc::clone(&requests), request, next)))
        .with_state(state)
}

async fn not_found(request: Request) -> Error {
    Error::not_found(format!("Unknown path: {} {}.", request.method(), request.uri().path())).with_code("unknown_url")
}

async fn method_not_allowed(request: Request) -> Error {
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

async fn number(requests: Arc<Requests>, request: Request, next: Next) -> Response {
    let number = requests.count.fetch_add(1, Ordering::Relaxed);
    let mut response = next.run(request).await;
    if let Ok(id) = HeaderValue::from_str(&format!("req_{:x}_{number:x}", requests.began_ms)) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}
