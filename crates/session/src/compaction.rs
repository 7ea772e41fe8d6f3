//! Compaction as a pure matter: which items of a context a digest replaces, which stay word for word, and what the
//! model is asked for. The raw journal stays; a compaction changes only what later inferences are shown.

use std::{collections::BTreeSet, sync::Arc};

use mainstay_vocabulary::{
    CallId, Content, Item, ItemId, Role,
    item::{ItemKind, ToolOutput},
};
use serde::{Deserialize, Serialize};

pub use self::fact::{Base, Digest, Purpose, Replaced, Task};
use crate::{State, assembly::Assembly, context::Context};

mod fact;
#[cfg(test)]
mod tests;

/// Most text that stays word for word beside the digest, bytes: about 16,000 tokens, a fraction of any model's window.
pub const KEPT_BYTES: u64 = 64 * 1_024;
/// Most tokens of a digest. One that reaches the limit is used as far as it goes.
pub const DIGEST_TOKENS: u64 = 8_192;
/// Longest digest, bytes, whatever the model writes: it is part of every later prompt.
const MAX_DIGEST: usize = 256 * 1_024;
/// Bytes of text that are counted as one token where nobody reports usage.
const BYTES_PER_TOKEN: u64 = 4;
/// What a picture or document counts as, bytes: their tokens have little to do with their length.
const ATTACHMENT_BYTES: u64 = 4_000;
/// What an item takes besides its text, bytes.
const FRAME_BYTES: u64 = 16;

/// The last message of a request for a digest.
const ASK: &str = "Write a digest of the conversation so far, to stand in its place when it goes on. Keep, word for word \
where words matter: what the user wants and every rule they set; decisions and their reasons; facts, names, numbers, \
paths and identifiers that may be needed again; what was tried and how it ended; what is done, what is open, and the \
very next step. Leave out what no longer matters. Answer with the digest alone and call no tools.";

/// What a digest begins with, so that a model takes it for what it is.
const PREFACE: &str = "The earlier part of this conversation was replaced by this digest of it:\n\n";

/// An item that stays, with its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Its id.
    pub id: ItemId,
    /// The item.
    pub item: Arc<Item>,
}

/// What stays of a context word for word.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stays {
    /// Before the digest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Kept>,
    /// After it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Kept>,
}

/// A context, cut into what is replaced and what stays.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// What a digest is made of, as a model sees it.
    pub replaced: Vec<Arc<Item>>,
    /// What stays.
    pub stays: Stays,
}

/// Cuts the context of the turn that runs, for what it is there for: all of it where that is the turn's task, else
/// before its newest items. `None`: there is nothing that a digest could replace.
pub fn cut(state: &State, context: &Context) -> Option<Cut> {
    if state.turn.as_ref().is_some_and(|turn| turn.task == Task::Compact) {
        return cut_all(context);
    }
    let threshold = state.spec.compaction.and_then(|compaction| compaction.threshold_tokens);
    // What stays must leave room below the threshold, or every step would compact again.
    let room = threshold.map_or(KEPT_BYTES, |threshold| bytes(threshold) / 4);
    cut_tail(context, KEPT_BYTES.min(room).min(size(context) / 2))
}

fn size(context: &Context) -> u64 {
    context.items.iter().map(|(_, item)| size_of(item)).sum()
}

/// Cuts a context before its newest items, as many as fit in `budget` bytes. The operator's messages and the user's
/// newest one stay in any case, and no call is parted from its result. `None`: nothing could be replaced.
fn cut_tail(context: &Context, budget: u64) -> Option<Cut> {
    let items = &context.items;
    let start = tail_start(items, budget);
    let newest = items.iter().rposition(|(_, item)| is_of(item, Role::User));
    let (replaced, tail) = items.split_at(start);
    let stays_anyway = |(index, (_, item)): (usize, &(ItemId, Arc<Item>))| Some(index) == newest || is_rule(item);
    let is_gained = replaced
        .iter()
        .enumerate()
        .any(|(index, entry)| !stays_anyway((index, entry)) && !matches!(&*entry.1, Item::Compaction { .. }));
    if !is_gained {
        return None;
    }
    let rules = replaced.iter().filter(|(_, item)| is_rule(item));
    let newest = newest.filter(|newest| *newest < start).map(|newest| &items[newest]);
    let stays = Stays { before: within(rules), after: newest.into_iter().chain(tail).map(kept).collect() };
    Some(Cut { replaced: render(replaced), stays })
}

/// Cuts a context at its end: the messages of user and operator stay, newest first as far as they fit, and calls that
/// wait for their results. `None`: there is nothing.
fn cut_all(context: &Context) -> Option<Cut> {
    let items = &context.items;
    let replaced = render(items);
    if replaced.iter().all(|item| matches!(**item, Item::Other(_))) {
        return None;
    }
    let said = items.iter().filter(|(_, item)| is_of(item, Role::User) || is_rule(item));
    let open = open_calls(items);
    let waits = |item: &Item| matches!(item, Item::ToolCall { call_id, .. } if open.contains(call_id));
    let after = items.iter().filter(|(_, item)| waits(item)).map(kept).collect();
    Some(Cut { replaced, stays: Stays { before: within(said), after } })
}

/// What stays where the oldest items are dropped because the prompt does not fit: about half. `None`: nothing can go.
pub fn truncate(context: &Context) -> Option<Stays> {
    cut_tail(context, size(context) / 2).map(|cut| cut.stays)
}

/// What a model is sent to write a digest: what is replaced, then the wish for it. A prefix of the prompts before, so
/// that a provider's cache serves it.
pub fn ask_for_digest(replaced: &[Arc<Item>]) -> Vec<Arc<Item>> {
    let ask = Item::Message { role: Role::User, content: vec![Content::Text(ASK.to_owned())], phase: None };
    replaced.iter().cloned().chain([Arc::new(ask)]).collect()
}

/// The digest that a model wrote; `None` if it wrote none.
pub fn digest_of(shown: &Assembly) -> Option<String> {
    let texts = shown.pieces.iter().filter(|piece| piece.kind == ItemKind::Message).map(|piece| piece.text.as_str());
    let mut text = texts.collect::<Vec<_>>().join("\n");
    if text.trim().is_empty() {
        return None;
    }
    if let Some(end) = (0..=MAX_DIGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end)) {
        text.truncate(end);
    }
    Some(format!("{PREFACE}{}", text.trim()))
}

/// Tokens of a text of so many bytes, roughly.
pub const fn tokens(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

/// Bytes of a text of so many tokens, roughly.
pub const fn bytes(tokens: u64) -> u64 {
    tokens.saturating_mul(BYTES_PER_TOKEN)
}

/// What an item adds to a prompt, bytes, roughly.
pub fn size_of(item: &Item) -> u64 {
    let text = match item {
        Item::Message { content, .. } | Item::ToolResult { output: ToolOutput::Content(content), .. } => {
            content.iter().map(part_size).sum()
        }
        Item::ToolResult { output: ToolOutput::Text(text), .. } | Item::Compaction { text } => text.len() as u64,
        Item::ToolCall { name, arguments, .. } => (name.len() + arguments.len()) as u64,
        Item::Reasoning { .. } | Item::Other(_) => return 0,
    };
    text.saturating_add(FRAME_BYTES)
}

fn part_size(part: &Content) -> u64 {
    match part {
        Content::Text(text) | Content::Refusal(text) => text.len() as u64,
        Content::Image { .. } | Content::File { .. } => ATTACHMENT_BYTES,
        Content::Other(_) => 0,
    }
}

fn is_of(item: &Item, wanted: Role) -> bool {
    matches!(item, Item::Message { role, .. } if *role == wanted)
}

/// Whether the operator said it: such messages are rules and never melt into a digest.
fn is_rule(item: &Item) -> bool {
    is_of(item, Role::System) || is_of(item, Role::Developer)
}

fn kept((id, item): &(ItemId, Arc<Item>)) -> Kept {
    Kept { id: *id, item: Arc::clone(item) }
}

/// The newest of them that fit, in their order.
fn within<'a>(items: impl DoubleEndedIterator<Item = &'a (ItemId, Arc<Item>)>) -> Vec<Kept> {
    let mut left = KEPT_BYTES;
    let mut fitting = Vec::new();
    for entry in items.rev() {
        let Some(rest) = left.checked_sub(size_of(&entry.1)) else { break };
        left = rest;
        fitting.push(kept(entry));
    }
    fitting.reverse();
    fitting
}

/// Where the tail begins that fits in `budget`, without a result whose call stands before it, nor right behind the
/// thought that led to it.
fn tail_start(items: &[(ItemId, Arc<Item>)], budget: u64) -> usize {
    let mut left = budget;
    let mut start = items.len();
    while let Some(rest) = start.checked_sub(1).and_then(|before| left.checked_sub(size_of(&items[before].1))) {
        (left, start) = (rest, start - 1);
    }
    let mut called: BTreeSet<&CallId> = items[..start].iter().filter_map(|(_, item)| call_of(item)).collect();
    let fitting = start;
    for index in fitting..items.len() {
        if matches!(&*items[index].1, Item::ToolResult { call_id, .. } if called.contains(call_id)) {
            called.extend(items[start..=index].iter().filter_map(|(_, item)| call_of(item)));
            start = index + 1;
        }
    }
    while start > 0 && start < items.len() && matches!(*items[start - 1].1, Item::Reasoning { .. }) {
        start -= 1;
    }
    start
}

fn call_of(item: &Item) -> Option<&CallId> {
    match item {
        Item::ToolCall { call_id, .. } => Some(call_id),
        _ => None,
    }
}

/// Calls without a result.
pub fn open_calls(items: &[(ItemId, Arc<Item>)]) -> Vec<CallId> {
    let mut open = Vec::new();
    let items: Vec<_> = items.iter().map(|(_, item)| Arc::clone(item)).collect();
    crate::context::follow_calls(&mut open, &items);
    open
}

fn render(items: &[(ItemId, Arc<Item>)]) -> Vec<Arc<Item>> {
    crate::context::whole_pairs(items)
}
