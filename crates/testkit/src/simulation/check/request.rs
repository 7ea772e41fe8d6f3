//! What providers were asked: whole calls, and a prompt that grows by appending within a context epoch.

use std::{collections::BTreeMap, sync::Arc};

use mainstay_vocabulary::{CallId, Item};

use super::Epochs;
use crate::simulation::world::{Asked, World, short};

pub(super) fn check(world: &World, epochs: &Epochs, found: &mut Vec<String>) {
    let mut before: BTreeMap<_, (&Asked, _)> = BTreeMap::new();
    for asked in &world.asked {
        let mut note = |what: &str| found.push(format!("{}: request {} {what}", short(asked.session), asked.intent.0));
        if let Some(call) = widowed(&asked.input) {
            note(&format!("holds call {call:?} without its result, or the reverse"));
        }
        let Some(epoch) = epochs.get(&(asked.session, asked.intent)) else { continue };
        let Some((earlier, known)) = before.insert(asked.session, (asked, epoch)) else { continue };
        if known == epoch && !extends(earlier, asked) {
            note(&format!("does not extend request {} of the same context epoch", earlier.intent.0));
        }
    }
}

/// A call without a result after it, or a result without a call before it.
fn widowed(input: &[Arc<Item>]) -> Option<CallId> {
    let mut open: Vec<&CallId> = Vec::new();
    for item in input {
        match &**item {
            Item::ToolCall { call_id, .. } => open.push(call_id),
            Item::ToolResult { call_id, .. } => {
                let place = open.iter().position(|known| *known == call_id);
                let Some(place) = place else { return Some(call_id.clone()) };
                open.remove(place);
            }
            Item::Message { .. } | Item::Reasoning { .. } | Item::Compaction { .. } | Item::Other(_) => {}
        }
    }
    open.first().map(|call| (*call).clone())
}

fn extends(earlier: &Asked, later: &Asked) -> bool {
    let same = |(a, b): (&Arc<Item>, &Arc<Item>)| Arc::ptr_eq(a, b) || a == b;
    earlier.head == later.head
        && earlier.input.len() <= later.input.len()
        && earlier.input.iter().zip(&later.input).all(same)
}
