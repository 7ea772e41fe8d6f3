//! Looks up the items that an input refers to by id.

use std::sync::Arc;

use mainstay_runtime::{Caller, Engine, Error as Refused};
use mainstay_session::{Event, context::result_of, event::Kind, feed::Recorded};
use mainstay_vocabulary::{Item, ItemId, Sequence, TurnId};
use mainstay_wire::responses::input::{Element, not_found};

use crate::error::Error;

/// Most references in one input: each is a read.
const MAX_REFERENCES: usize = 1_024;
/// Events that are read at once in search of an item.
const PAGE: usize = 64;

/// The items of an input, references resolved within the caller's tenant.
pub(crate) async fn resolve(engine: &Engine, caller: &Caller, elements: Vec<Element>) -> Result<Vec<Arc<Item>>, Error> {
    let references = elements.iter().filter(|element| matches!(element, Element::Reference(..))).count();
    if references > MAX_REFERENCES {
        let message = format!("An input may refer to at most {MAX_REFERENCES} items.");
        return Err(Error::invalid(message).with_code("invalid_value").with_param("input"));
    }
    let mut items = Vec::with_capacity(elements.len());
    for element in elements {
        items.push(match element {
            Element::Item(item) => Arc::from(item),
            Element::Reference(id, path) => match find(engine, caller, id).await? {
                Some(item) => item,
                None => return Err(not_found(&id.to_string(), path).into()),
            },
        });
    }
    Ok(items)
}

async fn find(engine: &Engine, caller: &Caller, id: ItemId) -> Result<Option<Arc<Item>>, Error> {
    let state = match engine.state(caller, id.session).await {
        Err(Refused::NotFound) => return Ok(None),
        other => other?,
    };
    match state.kind {
        Kind::Registry | Kind::Gateway | Kind::File | Kind::Automation | Kind::Webhook => Ok(None),
        // Items of a conversation may have been deleted from it.
        Kind::Conversation => {
            let items = engine.context(caller, id.session).await?;
            Ok(items.into_iter().find(|(known, _)| *known == id).map(|(_, item)| item))
        }
        Kind::Response | Kind::Agent => search(engine, caller, id).await,
    }
}

/// Reads the event that the id names, for an item that a model wrote on to where it is whole, and on to the end of its
/// turn, which tells whether the item was deleted with its Response.
async fn search(engine: &Engine, caller: &Caller, id: ItemId) -> Result<Option<Arc<Item>>, Error> {
    let mut found = None;
    let mut after = Sequence(id.sequence.0.saturating_sub(1));
    loop {
        let events = engine.read(caller, id.session, after, PAGE).await?;
        for recorded in &events {
            if let Event::TurnEnded(ended) = &*recorded.event {
                let turn = TurnId { session: id.session, sequence: ended.turn };
                return Ok(if engine.is_turn_hidden(caller, turn).await? { None } else { found });
            }
            found = found.or_else(|| item_in(recorded, id));
            if found.is_none() && recorded.sequence == id.sequence && !is_intent(&recorded.event) {
                return Ok(None);
            }
        }
        match events.last() {
            Some(last) if events.len() == PAGE => after = last.sequence,
            _ => return Ok(found),
        }
    }
}

const fn is_intent(event: &Event) -> bool {
    matches!(event, Event::InferenceIntended(_))
}

fn item_in(recorded: &Recorded, id: ItemId) -> Option<Arc<Item>> {
    let is_there = recorded.sequence == id.sequence;
    let index = id.ordinal as usize;
    match &*recorded.event {
        Event::InputAccepted(input) if is_there => input.items.get(index).cloned(),
        Event::ItemsAdded(items) if is_there => items.get(index).cloned(),
        Event::CallClosed { call_id, outcome } if is_there && index == 0 => Some(result_of(call_id, outcome)),
        Event::ItemCompleted(written) | Event::ItemInterrupted(written) if written.id == id && !written.continues => {
            Some(Arc::clone(&written.item))
        }
        Event::ContextReplaced(replaced) => {
            let digest = replaced.digest.as_ref().filter(|digest| digest.id == id)?;
            Some(Arc::new(digest.item()))
        }
        _ => None,
    }
}
