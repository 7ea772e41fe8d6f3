//! Automations: `/agents/automations`.

use std::sync::Arc;

use axum::{
    Router,
    extract::State as Shared,
    http::HeaderMap,
    routing::{get, post},
};
use mainstay_runtime::{Caller, Direction, Idempotent, Listing, automation::Invocation};
use mainstay_session::{
    Command, Event, State,
    automation::{AutomationDefinition, Target},
    event::Kind,
};
use mainstay_vocabulary::{Sequence, SessionId};
use mainstay_wire::agents::{automation, types};
use serde_json::{Value, json};

use super::{Part, agent, find, read_session_id, wrong_after};
use crate::{
    auth::Authenticated, body::JsonObject, error::Error, idempotency, json::Json, path::Ids, query::Query,
    state::AppState,
};

/// Most automations that one request looks at to find those that match its filter.
const MAX_SCANNED: usize = 2_000;
/// Automations asked of the engine at a time.
const PAGE: usize = 100;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/agents/automations", post(create).get(list))
        .route("/agents/automations/{automation_id}", get(retrieve).post(update).delete(delete))
        .route("/agents/automations/{automation_id}/pause", post(pause))
        .route("/agents/automations/{automation_id}/resume", post(resume))
        .route("/agents/automations/{automation_id}/invocations", post(invoke).get(invocations))
        .route("/agents/automations/{automation_id}/invocations/{invocation_id}", get(invocation))
}

async fn create(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Json, Error> {
    let idempotent = idempotency::of(&headers, "agents.automations.create", "", &body.raw)?;
    let limits = state.engine.default_limits();
    let definition = automation::create(body.object, caller.principal.clone(), limits)?;
    if let Some(accepted) = state.engine.replayed(&caller, idempotent.as_ref(), None).await? {
        return shown(&accepted.state);
    }
    check_target(&state, &caller, &definition.target).await?;
    let create = Command::begin(Kind::Automation);
    let command = Command::All(vec![create, Command::SaveAutomation(Box::new(definition))]);
    let id = state.engine.session_id(&caller, idempotent.as_ref(), None);
    shown(&state.engine.submit(&caller, id, command, idempotent).await?.state)
}

async fn retrieve(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    shown(&*find_automation(&state, &caller, &id).await?)
}

async fn update(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Json, Error> {
    let idempotent = idempotency::of(&headers, "agents.automations.update", &id, &body.raw)?;
    let known = find_automation(&state, &caller, &id).await?;
    let Some(now) = &known.automation else { return Err(no_automation()) };
    let definition = automation::update(&now.definition, body.object, state.engine.default_limits())?;
    if definition.target != now.definition.target {
        check_target(&state, &caller, &definition.target).await?;
    }
    let command = Command::SaveAutomation(Box::new(definition));
    shown(&state.engine.submit(&caller, known.session, command, idempotent).await?.state)
}

async fn delete(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    let known = find_automation(&state, &caller, &id).await?;
    state.engine.submit(&caller, known.session, Command::Delete, None).await?;
    Ok(Json(json!({ "id": id, "object": "agent.automation.deleted", "deleted": true })))
}

async fn pause(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    let known = find_automation(&state, &caller, &id).await?;
    shown(&state.engine.submit(&caller, known.session, Command::PauseAutomation, None).await?.state)
}

async fn resume(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
) -> Result<Json, Error> {
    let known = find_automation(&state, &caller, &id).await?;
    shown(&state.engine.submit(&caller, known.session, Command::ResumeAutomation, None).await?.state)
}

async fn list(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    query: Query,
) -> Result<Json, Error> {
    let part = Part::read(&query)?;
    let target = query.get("session_id").map(read_session_id).transpose()?;
    let direction = direction(&part);
    let mut after = part.after.as_deref().map(read_id).transpose().map_err(|_| wrong_after())?;
    let mut found = Vec::new();
    for _ in 0..MAX_SCANNED / PAGE {
        let listing = Listing { kind: Kind::Automation, after, direction, limit: PAGE };
        let page = state.engine.list(&caller, listing).await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|automation| automation.session);
        found.extend(page.into_iter().filter(|automation| target.is_none_or(|target| is_target(automation, target))));
        if is_last || found.len() > part.limit {
            break;
        }
    }
    let has_more = found.len() > part.limit;
    found.truncate(part.limit);
    Ok(Json(types::page(found.iter().filter_map(|state| automation::automation(state)).collect(), has_more)))
}

fn is_target(state: &State, target: SessionId) -> bool {
    let definition = state.automation.as_ref().map(|automation| &automation.definition.target);
    matches!(definition, Some(Target::Session { session, .. }) if *session == target)
}

async fn invoke(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Json, Error> {
    let operation = "agents.automations.invoke";
    let idempotent: Option<Idempotent> = idempotency::of(&headers, operation, &id, &body.raw)?;
    let known = find_automation(&state, &caller, &id).await?;
    let accepted = state.engine.submit(&caller, known.session, Command::InvokeAutomation, idempotent).await?;
    let found = state.engine.invocation(&caller, known.session, accepted.first).await?;
    Ok(Json(render(&state, (&caller, &known), &found).await?))
}

async fn invocations(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids(id): Ids<String>,
    query: Query,
) -> Result<Json, Error> {
    let part = Part::read(&query)?;
    let known = find_automation(&state, &caller, &id).await?;
    let read = |text: &str| automation::read_invocation_id(known.session, text).ok_or_else(wrong_after);
    let after = part.after.as_deref().map(read).transpose()?;
    let place = (after, direction(&part));
    let mut found = state.engine.invocations(&caller, known.session, place, part.limit + 1).await?;
    let has_more = found.len() > part.limit;
    found.truncate(part.limit);
    let mut data = Vec::new();
    for invocation in &found {
        data.push(render(&state, (&caller, &known), invocation).await?);
    }
    Ok(Json(types::page(data, has_more)))
}

async fn invocation(
    Authenticated(caller): Authenticated,
    Shared(state): Shared<AppState>,
    Ids((id, invocation)): Ids<(String, String)>,
) -> Result<Json, Error> {
    let known = find_automation(&state, &caller, &id).await?;
    let absent = || Error::not_found("There is no such invocation of this automation.");
    let place = automation::read_invocation_id(known.session, &invocation).ok_or_else(absent)?;
    match state.engine.invocation(&caller, known.session, place).await {
        Ok(found) => Ok(Json(render(&state, (&caller, &known), &found).await?)),
        Err(mainstay_runtime::Error::NotFound) => Err(absent()),
        Err(error) => Err(error.into()),
    }
}

/// An invocation's object; that of a scheduled one shows the automation as it was then.
async fn render(state: &AppState, (caller, known): (&Caller, &State), found: &Invocation) -> Result<Value, Error> {
    let definition = match found.scheduled_at {
        Some(_) => Some(saved(state, (caller, known), found.saved).await?),
        None => None,
    };
    Ok(automation::invocation(&automation::Shown {
        automation: known,
        sequence: found.sequence,
        begun_at: found.begun_at,
        scheduled_at: found.scheduled_at,
        definition: definition.as_ref(),
        skipped: found.skipped,
        outcome: found.outcome.as_ref(),
    }))
}

async fn saved(
    state: &AppState,
    (caller, known): (&Caller, &State),
    at: Sequence,
) -> Result<AutomationDefinition, Error> {
    if let Some(now) = known.automation.as_ref().filter(|now| now.saved == at) {
        return Ok((*now.definition).clone());
    }
    let read = state.engine.read(caller, known.session, Sequence(at.0.saturating_sub(1)), 1).await?;
    match read.first().map(|recorded| &*recorded.event) {
        Some(Event::AutomationSaved(saved)) => Ok(saved.definition.clone()),
        _ => Err(Error::internal("The automation's journal lacks a version.")),
    }
}

/// What the target names must exist.
async fn check_target(state: &AppState, caller: &Caller, target: &Target) -> Result<(), Error> {
    match target {
        Target::Session { session, .. } => {
            let id = mainstay_wire::agents::session_id(*session);
            find(state, caller, &id).await.map(drop).map_err(|error| error.with_param("target.session_id"))
        }
        Target::NewSession(wanted) => match wanted.agent {
            Some(id) => {
                agent::saved(state, caller, (id, None)).await.map(drop).map_err(|e| e.with_param("target.agent_id"))
            }
            None => Ok(()),
        },
    }
}

const fn direction(part: &Part) -> Direction {
    if part.is_ascending { Direction::Ascending } else { Direction::Descending }
}

fn shown(state: &State) -> Result<Json, Error> {
    automation::automation(state).map(Json).ok_or_else(no_automation)
}

async fn find_automation(state: &AppState, caller: &Caller, id: &str) -> Result<Arc<State>, Error> {
    let found = match state.engine.state(caller, read_id(id)?).await {
        Err(mainstay_runtime::Error::NotFound) => return Err(no_automation()),
        other => other?,
    };
    if found.kind == Kind::Automation { Ok(found) } else { Err(no_automation()) }
}

fn read_id(text: &str) -> Result<SessionId, Error> {
    text.strip_prefix("automation_").and_then(|id| id.parse().ok()).ok_or_else(no_automation)
}

fn no_automation() -> Error {
    Error::not_found("There is no such automation.")
}
