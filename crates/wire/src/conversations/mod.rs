//! OpenAI Conversations: a session without a spec of its own that Responses append to. Items are those of the
//! Responses wire.

use std::sync::Arc;

use mainstay_session::{
    Spec, State,
    spec::{CallMode, Interruption},
};
use mainstay_vocabulary::{Object, SessionId};
use serde_json::{Value, json};

use crate::{
    fields::{Fields, Invalid, metadata},
    responses::input::{self, Element},
};

/// Most items that may be added at once.
pub const MAX_ADDED: usize = 1_000;

/// `POST /conversations`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateConversation {
    /// The client's key-value pairs.
    pub metadata: Object,
    /// Its first items.
    pub items: Vec<Element>,
}

impl CreateConversation {
    /// Reads a request's body.
    ///
    /// # Errors
    /// Names the parameter that is wrong.
    pub fn read(body: Object) -> Result<Self, Invalid> {
        let mut fields = Fields::root(body);
        let items = fields.list("items", MAX_ADDED)?.unwrap_or_default();
        Ok(Self { items: input::read_list(items, "items")?, metadata: metadata(&mut fields)?.unwrap_or_default() })
    }
}

/// `POST /conversations/{id}`: the new key-value pairs.
///
/// # Errors
/// Names the parameter that is wrong.
pub fn read_update(body: Object) -> Result<Object, Invalid> {
    if !body.contains_key("metadata") {
        return Err(Invalid::missing("metadata"));
    }
    Ok(metadata(&mut Fields::root(body))?.unwrap_or_default())
}

/// `POST /conversations/{id}/items`: the new items.
///
/// # Errors
/// Names the element that is wrong.
pub fn read_items(body: Object) -> Result<Vec<Element>, Invalid> {
    let items = Fields::root(body).list("items", MAX_ADDED)?.ok_or_else(|| Invalid::missing("items"))?;
    if items.is_empty() {
        return Err(Invalid::value("items", "'items' must not be empty."));
    }
    input::read_list(items, "items")
}

/// What a conversation runs with before its first Response: each Response brings its own spec.
pub fn spec() -> Arc<Spec> {
    Arc::new(Spec { calls: CallMode::Yield, interruption: Interruption::End, ..Spec::plain("") })
}

/// The text of a conversation's id.
pub fn conversation_id(session: SessionId) -> String {
    format!("conv_{session}")
}

/// The object.
pub fn conversation_json(state: &State) -> Value {
    json!({
        "id": conversation_id(state.session),
        "object": "conversation",
        "created_at": state.created_at.seconds(),
        "metadata": state.metadata,
    })
}

/// What is left of a deleted one.
pub fn deleted_json(session: SessionId) -> Value {
    json!({ "id": conversation_id(session), "object": "conversation.deleted", "deleted": true })
}
