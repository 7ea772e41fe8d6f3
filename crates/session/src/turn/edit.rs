//! Edits of a session outside of turns.

use std::sync::Arc;

use mainstay_vocabulary::{ItemId, Object, TurnId};

use super::{
    MAX_ITEMS, MAX_UNANSWERED, cancel,
    draft::{Draft, Items},
    effect,
};
use crate::{command::Refusal, event::Event, spec::Spec};

pub(super) fn change_metadata(draft: &mut Draft<'_>, metadata: Object) -> Result<(), Refusal> {
    if metadata != draft.state.metadata {
        draft.push(Event::MetadataChanged(metadata));
    }
    Ok(())
}

pub(super) fn change_echo(draft: &mut Draft<'_>, echo: Object) -> Result<(), Refusal> {
    if echo != draft.state.echo {
        draft.push(Event::EchoChanged(echo));
    }
    Ok(())
}

pub(super) fn change_spec(draft: &mut Draft<'_>, spec: Arc<Spec>) -> Result<(), Refusal> {
    refuse_while_busy(draft)?;
    if *spec != *draft.state.spec {
        draft.push(Event::SpecChanged(spec));
    }
    Ok(())
}

/// A session that is archived already stays as it is.
pub(super) fn archive(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    refuse_while_busy(draft)?;
    if draft.state.archived_at.is_none() {
        draft.push(Event::SessionArchived);
    }
    Ok(())
}

pub(super) fn add_items(draft: &mut Draft<'_>, items: Items) -> Result<(), Refusal> {
    if items.len() > MAX_ITEMS {
        return Err(Refusal::TooMany("items in one request".into()));
    }
    refuse_while_busy(draft)?;
    if !items.is_empty() {
        draft.push(Event::ItemsAdded(items));
    }
    if draft.state.unanswered.len() > MAX_UNANSWERED {
        Err(Refusal::TooMany("calls without a result".into()))
    } else {
        Ok(())
    }
}

pub(super) fn hide_item(draft: &mut Draft<'_>, item: ItemId) -> Result<(), Refusal> {
    if item.session != draft.state.session || item.sequence > draft.state.sequence {
        return Err(Refusal::ItemNotFound);
    }
    refuse_while_busy(draft)?;
    draft.push(Event::ItemHidden { item });
    Ok(())
}

pub(super) fn hide_turn(draft: &mut Draft<'_>, turn: TurnId) -> Result<(), Refusal> {
    if turn.session != draft.state.session || turn.sequence > draft.state.sequence {
        return Err(Refusal::TurnNotFound);
    }
    if draft.state.turn.as_ref().is_some_and(|running| running.id == turn.sequence) {
        return Err(Refusal::Busy);
    }
    draft.push(Event::TurnHidden { turn: turn.sequence });
    Ok(())
}

pub(super) fn delete(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    while draft.state.turn.is_some() {
        cancel::cancel(draft, None)?;
    }
    effect::stop(draft);
    draft.push(Event::SessionDeleted);
    Ok(())
}

fn refuse_while_busy(draft: &Draft<'_>) -> Result<(), Refusal> {
    let is_busy = draft.state.turn.is_some() || draft.state.is_acting();
    if is_busy { Err(Refusal::Busy) } else { Ok(()) }
}
