//! `/models`: the names that agents may ask for, in this vendor's shape.

use axum::{Router, extract::State, routing::get};
use mainstay_runtime::Model;
use mainstay_wire::managed::types;
use serde_json::{Value, json};

use crate::{auth::Authenticated, error::Error, json::Json, path::Ids, state::AppState};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/models", get(list)).route("/models/{*model}", get(retrieve))
}

async fn list(_: Authenticated, State(state): State<AppState>) -> Json {
    let models = state.engine.models();
    let id = |model: Option<&Model>| model.map(|model| model.name.clone());
    let data: Vec<_> = models.iter().map(shown).collect();
    Json(json!({ "data": data, "has_more": false, "first_id": id(models.first()), "last_id": id(models.last()) }))
}

async fn retrieve(_: Authenticated, State(state): State<AppState>, Ids(name): Ids<String>) -> Result<Json, Error> {
    let models = state.engine.models();
    let model = models.iter().find(|model| model.name == name);
    let unknown = || Error::not_found(format!("There is no model '{name}'.")).with_code("model_not_found");
    model.map(|model| Json(shown(model))).ok_or_else(unknown)
}

fn shown(model: &Model) -> Value {
    types::model(&model.name, model.created_at)
}
