//! Where a prompt may be read from the vendor's cache: at most four marks, set on what the next request of the same
//! conversation begins with too.

use super::wire::{Block, Body, CacheControl};

/// How many of the latest messages of the user get a mark. The vendor looks back twenty blocks from a mark for an
/// earlier one; the mark before the last bridges a step with more blocks than that.
const MARKED_MESSAGES: usize = 2;

/// Marks the last tool, the last block of the system prompt, and the ends of the last two messages of the user: with
/// those the four that a request may have.
pub(super) fn mark(body: &mut Body<'_>) {
    if let Some(tool) = body.tools.last_mut() {
        tool.cache_control = Some(CacheControl::Ephemeral);
    }
    if let Some(block) = body.system.last_mut() {
        mark_block(block);
    }
    let users = body.messages.iter_mut().rev().filter(|message| message.role == "user");
    for message in users.take(MARKED_MESSAGES) {
        if let Some(block) = message.content.last_mut() {
            mark_block(block);
        }
    }
}

fn mark_block(block: &mut Block<'_>) {
    match block {
        Block::Text { cache_control, .. }
        | Block::Image { cache_control, .. }
        | Block::Document { cache_control, .. }
        | Block::ToolUse { cache_control, .. }
        | Block::ToolResult { cache_control, .. } => *cache_control = Some(CacheControl::Ephemeral),
        // The vendor refuses a mark there; only an assistant's message holds one.
        Block::Thinking { .. } | Block::RedactedThinking { .. } => {}
    }
}
