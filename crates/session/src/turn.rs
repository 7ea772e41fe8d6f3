//! Where a turn happens: `decide` turns a command into facts, `next` names what the runtime must do.
//! Each command has a small file of its own. Pure: everything that deciding needs comes in the envelope.

mod accept;
mod begin;
mod call;
mod cancel;
mod draft;
mod edit;
mod inference;
mod recover;
mod registry;
#[cfg(test)]
pub(crate) mod tests;

use mainstay_vocabulary::Timestamp;

use crate::{
    command::{Command, Decision, Envelope, Refusal},
    state::{Phase, State},
};
use draft::Draft;

/// Most commands in one `Command::All`.
pub const MAX_COMMANDS: usize = 64;
/// Most items in one input.
pub const MAX_ITEMS: usize = 4_096;
/// Most calls without a result: they are held in memory and in snapshots, and one input must answer them all.
pub const MAX_UNANSWERED: usize = 1_024;
/// Most inputs that wait in a session: the queue is held in memory and in snapshots.
pub const MAX_QUEUE: usize = 256;
/// Most forks above each other: rendering walks up the chain.
pub const MAX_FORKS: u16 = 256;

/// Work that the runtime must do for a session, now or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Send `Command::Incorporate`.
    Incorporate,
    /// Render the context, find a route, send `Command::Begin`, and make the inference once that is committed.
    Infer {
        /// Not before this time.
        not_before: Option<Timestamp>,
    },
}

/// Decides a command. Nothing changes unless the decision is committed.
///
/// # Errors
/// The refusal says why; the session stays as it is.
pub fn decide(state: &State, envelope: Envelope<'_>) -> Result<Decision, Refusal> {
    let mut draft = Draft::new(state, &envelope);
    take(&mut draft, envelope.command)?;
    Ok(draft.finish(state))
}

/// Names the effect that the session wants and that is not under way.
pub fn next(state: &State) -> Option<Wanted> {
    let turn = state.turn.as_ref()?;
    if turn.inference.is_some() || state.phase() == Phase::WaitingForClient {
        return None;
    }
    if state.queue.iter().any(|queued| queued.steers) && turn.continued.is_none() {
        return Some(Wanted::Incorporate);
    }
    Some(Wanted::Infer { not_before: turn.retry_at })
}

/// When the turn that runs must be over; `None` while it waits for the client.
pub fn deadline(state: &State) -> Option<Timestamp> {
    state.turn.as_ref().filter(|turn| turn.waiting_since.is_none()).map(|turn| turn.deadline)
}

fn take(draft: &mut Draft<'_>, command: Command) -> Result<(), Refusal> {
    let is_born = draft.state.sequence.0 > 0;
    if !is_born && !matches!(command, Command::Create(_)) || draft.state.deleted {
        return Err(Refusal::NotFound);
    }
    match command {
        Command::Create(create) => accept::create(draft, *create),
        Command::Accept(accept) => accept::accept(draft, *accept),
        Command::ChangeMetadata(metadata) => edit::change_metadata(draft, metadata),
        Command::ReturnCall { turn, result } => call::return_call(draft, turn, result),
        Command::Cancel { turn } => cancel::cancel(draft, turn),
        Command::All(commands) => take_all(draft, commands),
        Command::AddItems(items) => edit::add_items(draft, items),
        Command::HideItem(item) => edit::hide_item(draft, item),
        Command::HideTurn(turn) => edit::hide_turn(draft, turn),
        Command::Delete => edit::delete(draft),
        Command::Incorporate => begin::incorporate(draft),
        Command::Begin(begin) => begin::begin(draft, *begin),
        Command::RecordInference(record) => inference::record(draft, *record),
        Command::GiveUp(error) => begin::give_up(draft, error),
        Command::CheckDeadline => cancel::check_deadline(draft),
        Command::Recover { epoch } => recover::recover(draft, epoch),
        Command::SaveAgent { agent, definition } => registry::save(draft, agent, definition),
        Command::DeleteAgent(agent) => registry::delete(draft, agent),
    }
}

fn take_all(draft: &mut Draft<'_>, commands: Vec<Command>) -> Result<(), Refusal> {
    if commands.len() > MAX_COMMANDS {
        return Err(Refusal::TooMany("commands in one request"));
    }
    if commands.iter().any(|command| matches!(command, Command::All(_))) {
        return Err(Refusal::Invalid("several commands as one do not nest".to_owned()));
    }
    commands.into_iter().try_for_each(|command| take(draft, command))
}
