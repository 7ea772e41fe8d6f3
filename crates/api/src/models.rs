//! `/v1/models`: the names that clients may ask for.

use axum::{Router, extract::State, routing::get};
use mainstay_runtime::Model;
use serde_json::{Value, json};

use crate::{auth::Authenticated, error::Error, json::Json, path::Ids, state::AppState};

/// Its routes, relative to `/v1`.
pub(crate) fn routes() -> Router<AppState> {
    Router::new().route("/models", get(list)).route("/models/{*model}", get(retrieve))
}

async fn list(_: Authenticated, State(state): State<AppState>) -> Json {
    let data: Vec<_> = state.engine.models().iter().map(object).collect();
    Json(json!({ "object": "list", "data": data }))
}

async fn retrieve(_: Authenticated, State(state): State<AppState>, Ids(name): Ids<String>) -> Result<Json, Error> {
    let models = state.engine.models();
    let model = models.iter().find(|model| model.name == name);
    let unknown = || Error::not_found(format!("There is no model '{name}'.")).with_code("model_not_found");
    model.map(|model| Json(object(model))).ok_or_else(unknown)
}

fn object(model: &Model) -> Value {
    json!({
        "id": model.name, "object": "model", "created": model.created_at.seconds(), "owned_by": model.owned_by,
    })
}
