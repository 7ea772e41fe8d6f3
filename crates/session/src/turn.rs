//! Where a turn happens: `decide` turns a command into facts, `next` names what the runtime must do.
//! Each command has a small file of its own. Pure: everything that deciding needs comes in the envelope.

mod accept;
mod approval;
mod automation;
mod begin;
mod call;
mod cancel;
mod compaction;
mod draft;
mod edit;
mod effect;
mod file;
mod gateway;
mod inference;
mod recover;
mod registry;
#[cfg(test)]
pub(crate) mod tests;
mod webhook;

use mainstay_vocabulary::{Sequence, Timestamp};

use crate::{
    command::{Command, Decision, Envelope, Refusal},
    event::Task,
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
/// Most inferences under way in one gateway journal: they are held in memory and in snapshots.
pub const MAX_OUTGOING: usize = 20_000;
/// Most forks above each other: rendering walks up the chain.
pub const MAX_FORKS: u16 = 256;

/// Work that the runtime must do for a session, now or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Send `Command::Incorporate`.
    Incorporate,
    /// Cut the context, find a route, send `Command::BeginCompaction`, and make the inference of a digest once that is
    /// committed; or `Command::SkipCompaction` where there is nothing to replace.
    Compact {
        /// Not before this time.
        not_before: Option<Timestamp>,
    },
    /// Send `Command::Truncate`.
    Truncate,
    /// Render the context, find a route, send `Command::Begin`, and make the inference once that is committed.
    Infer {
        /// Not before this time.
        not_before: Option<Timestamp>,
    },
    /// List a toolset's tools, send `Command::RecordListing`.
    ListTools {
        /// Its place in the spec.
        toolset: usize,
    },
    /// Ask the policies, send `Command::BeginCall`, and make the call once its intent is committed.
    Call {
        /// The sequence of its `CallOpened`.
        call: Sequence,
        /// Not before this time.
        not_before: Option<Timestamp>,
    },
    /// Make an automation's delivery, send `Command::EndInvocation`.
    Deliver {
        /// The sequence of its `InvocationBegun`.
        invocation: Sequence,
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
    if let Some(automation) = state.automation.as_ref().filter(|_| !state.deleted) {
        return automation.pending.first().map(|pending| Wanted::Deliver { invocation: pending.invocation });
    }
    if let Some(wanted) = effect::wanted(state) {
        return Some(wanted);
    }
    let turn = state.turn.as_ref()?;
    if turn.inference.is_some() || state.phase() != Phase::Inferring {
        return None;
    }
    // A compaction alone has no step that an input could steer: what comes meanwhile is the next turn's.
    let is_steered = turn.task == Task::Answer && state.queue.iter().any(|queued| queued.steers);
    if state.is_waiting(turn.input) {
        return Some(Wanted::Incorporate);
    }
    if is_steered && turn.continued.is_none() {
        return Some(Wanted::Incorporate);
    }
    if let Some(toolset) = state.unlisted().filter(|_| turn.task == Task::Answer) {
        return Some(Wanted::ListTools { toolset });
    }
    let not_before = turn.retry_at;
    match compaction::step(state, turn) {
        compaction::Step::Compact => Some(Wanted::Compact { not_before }),
        compaction::Step::Truncate => Some(Wanted::Truncate),
        compaction::Step::Answer => Some(Wanted::Infer { not_before }),
    }
}

/// When the turn that runs must be over, a question to people is withdrawn, a stored file erased, or an automation
/// fires; the clock of a turn stands still while it waits for the client.
pub fn deadline(state: &State) -> Option<Timestamp> {
    if let Some(file) = &state.file {
        return file.expires_at().filter(|_| !state.deleted);
    }
    if let Some(automation) = &state.automation {
        return automation.next_at.filter(|_| !state.deleted);
    }
    let turn = state.turn.as_ref().filter(|turn| turn.waiting_since.is_none()).map(|turn| turn.deadline);
    let expiry = effect::expiry(state).filter(|_| !state.deleted);
    turn.into_iter().chain(expiry).min()
}

fn take(draft: &mut Draft<'_>, command: Command) -> Result<(), Refusal> {
    let is_born = draft.state.sequence.0 > 0;
    if !is_born && !begins(&command) || draft.state.deleted {
        return Err(Refusal::NotFound);
    }
    if draft.state.archived_at.is_some() && !command.is_taken_when_archived() {
        return Err(Refusal::Archived);
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
        Command::Recover { epoch, running } => recover::recover(draft, epoch, &running),
        Command::RecordListing { toolset, result } => effect::list(draft, &toolset, result),
        Command::BeginCall(begin) => effect::begin(draft, *begin),
        Command::RecordCall(record) => effect::record(draft, *record),
        Command::Respond(respond) => approval::respond(draft, respond),
        Command::ResolveCall(resolve) => approval::resolve(draft, *resolve),
        Command::SaveAgent(save) => registry::save(draft, save),
        Command::DeleteAgent(agent) => registry::delete(draft, agent),
        Command::ArchiveAgent(agent) => registry::archive(draft, agent),
        Command::ChangeSpec(spec) => edit::change_spec(draft, spec),
        Command::ChangeEcho(echo) => edit::change_echo(draft, echo),
        Command::Archive => edit::archive(draft),
        Command::Compact => compaction::ask(draft),
        Command::BeginCompaction(begin) => compaction::begin(draft, *begin),
        Command::RecordCompaction(record) => compaction::record(draft, *record),
        Command::SkipCompaction => compaction::skip(draft),
        Command::Truncate(stays) => compaction::truncate(draft, stays.map(|stays| *stays)),
        Command::Book(booked) => gateway::book(draft, booked),
        Command::BeginFile(head) => file::begin(draft, head),
        Command::AddFilePart(part) => file::add_part(draft, part),
        Command::CompleteFile(parts) => file::complete(draft, parts),
        Command::SaveAutomation(definition) => automation::save(draft, *definition),
        Command::PauseAutomation => automation::pause(draft),
        Command::ResumeAutomation => automation::resume(draft),
        Command::InvokeAutomation => automation::invoke(draft),
        Command::EndInvocation { invocation, outcome } => automation::end(draft, invocation, outcome),
        Command::SettleWebhooks(settled) => webhook::settle(draft, settled),
    }
}

/// Whether a session may begin with it.
fn begins(command: &Command) -> bool {
    match command {
        Command::Create(_) => true,
        Command::All(commands) => matches!(commands.first(), Some(Command::Create(_))),
        _ => false,
    }
}

fn take_all(draft: &mut Draft<'_>, commands: Vec<Command>) -> Result<(), Refusal> {
    if commands.len() > MAX_COMMANDS {
        return Err(Refusal::TooMany("commands in one request".into()));
    }
    if commands.iter().any(|command| matches!(command, Command::All(_))) {
        return Err(Refusal::Invalid("several commands as one do not nest".to_owned()));
    }
    commands.into_iter().try_for_each(|command| take(draft, command))
}
