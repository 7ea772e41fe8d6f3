//! What webhooks tell, in the shapes of OpenAI's events: sessions of agents as the Agents API has them, and responses that
//! were asked for in the background. Bodies name things and hold no content.

use std::sync::Arc;

use mainstay_session::{
    Event, State,
    event::{Kind, TurnEnded, TurnOptions, TurnStatus},
    state::Phase,
};
use mainstay_vocabulary::{Sequence, SessionId, Timestamp, TurnId};
use serde_json::{Value, json};

use crate::agents::session_id;

/// The types that may be asked for.
pub const TYPES: [&str; 8] = [
    "agent.session.created",
    "agent.session.in_progress",
    "agent.session.action_required",
    "agent.session.idle",
    "response.completed",
    "response.failed",
    "response.cancelled",
    "response.incomplete",
];

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: &'static str,
    /// The event.
    pub body: String,
}

/// What a batch tells: the session before and after it, its events, and what the turn that ended kept of its request.
pub fn announce(
    (before, after): (&State, &State),
    events: &[Arc<Event>],
    options: Option<&TurnOptions>,
) -> Vec<Announcement> {
    let mut told = Vec::new();
    let mut tell = |sequence: Sequence, kind: &'static str, subject: &Value| {
        told.push(announcement((after.session, sequence), after.active_at, (kind, subject)));
    };
    match after.kind {
        Kind::Agent => of_session((before, after), &mut tell),
        Kind::Response | Kind::Conversation => of_responses((before, after), events, options, &mut tell),
        Kind::Registry | Kind::Gateway | Kind::File | Kind::Automation | Kind::Webhook => {}
    }
    told
}

/// Adds an announcement: where it stands, its type and its data.
type Tell<'a> = dyn FnMut(Sequence, &'static str, &Value) + 'a;

fn of_session((before, after): (&State, &State), tell: &mut Tell<'_>) {
    let data = json!({ "id": session_id(after.session), "environment_type": "none", "environment_id": null });
    let is_new = before.sequence.0 == 0;
    if is_new {
        tell(after.sequence, "agent.session.created", &data);
    }
    if after.phase() == before.phase() && !is_new {
        return;
    }
    let was_at_work = matches!(before.phase(), Phase::Inferring | Phase::Acting) && !is_new;
    match after.phase() {
        // Between an inference and a call the session is at work all the while.
        Phase::Inferring | Phase::Acting if was_at_work => {}
        Phase::Inferring | Phase::Acting => tell(after.sequence, "agent.session.in_progress", &data),
        Phase::Idle if !is_new => tell(after.sequence, "agent.session.idle", &data),
        Phase::Idle => {}
        Phase::WaitingForClient => {
            let data = json!({ "id": session_id(after.session), "required_action": { "type": "function_call" } });
            tell(after.sequence, "agent.session.action_required", &data);
        }
    }
}

fn of_responses(
    (before, after): (&State, &State),
    events: &[Arc<Event>],
    options: Option<&TurnOptions>,
    tell: &mut Tell<'_>,
) {
    let mut sequence = before.sequence;
    for event in events {
        sequence = sequence.next();
        let Event::TurnEnded(ended) = &**event else { continue };
        let is_first = before.turn.as_ref().is_some_and(|turn| turn.id == ended.turn);
        let options = if is_first { options } else { options_within(before.sequence, events, ended) };
        if options.is_some_and(is_background) {
            let turn = TurnId { session: after.session, sequence: ended.turn };
            tell(sequence, of_status(&ended.status), &json!({ "id": format!("resp_{turn}") }));
        }
    }
}

/// What a turn that began and ended within the events kept of its request.
fn options_within<'a>(before: Sequence, events: &'a [Arc<Event>], ended: &TurnEnded) -> Option<&'a TurnOptions> {
    let at = |sequence: Sequence| {
        let index = usize::try_from(sequence.0.checked_sub(before.0)?.checked_sub(1)?).ok()?;
        events.get(index)
    };
    let Event::TurnStarted(started) = &**at(ended.turn)? else { return None };
    let Event::InputAccepted(input) = &**at(started.input)? else { return None };
    Some(&input.options)
}

fn is_background(options: &TurnOptions) -> bool {
    options.echo.get("background").and_then(Value::as_bool) == Some(true)
}

const fn of_status(status: &TurnStatus) -> &'static str {
    match status {
        TurnStatus::Completed => "response.completed",
        TurnStatus::Incomplete(_) => "response.incomplete",
        TurnStatus::Failed(_) => "response.failed",
        TurnStatus::Cancelled => "response.cancelled",
    }
}

fn announcement(
    (session, sequence): (SessionId, Sequence),
    at: Timestamp,
    (kind, data): (&'static str, &Value),
) -> Announcement {
    // One type stands at most once at one place.
    let id = format!("evt_{session}_{}_{}", sequence.0, kind.rsplit('.').next().unwrap_or_default());
    let body = json!({ "id": id, "object": "event", "type": kind, "created_at": at.seconds(), "data": data });
    Announcement { id, kind, body: body.to_string() }
}

#[cfg(test)]
mod tests {
    use mainstay_session::event::TurnEnded;
    use mainstay_vocabulary::{Shard, Usage};

    use super::*;

    fn state(kind: Kind, sequence: u64) -> State {
        let mut state = State::unborn(SessionId::new(Shard(0), [7; 16]));
        (state.kind, state.sequence, state.active_at) = (kind, Sequence(sequence), Timestamp(9_500));
        state
    }

    fn kinds(told: &[Announcement]) -> Vec<&str> {
        told.iter().map(|one| one.kind).collect()
    }

    #[test]
    fn a_session_that_begins_is_told_once_and_says_nothing_of_its_content() {
        let told = announce((&state(Kind::Agent, 0), &state(Kind::Agent, 1)), &[], None);
        assert_eq!(kinds(&told), ["agent.session.created"]);
        let body: Value = serde_json::from_str(&told[0].body).unwrap();
        assert_eq!((&body["id"], &body["created_at"]), (&json!(told[0].id), &json!(9)));
        assert_eq!(body["data"]["environment_type"], "none");
        // Nothing changed for those outside.
        assert_eq!(announce((&state(Kind::Agent, 1), &state(Kind::Agent, 2)), &[], None), []);
    }

    #[test]
    fn only_background_responses_are_told_of() {
        let ended = |status| {
            let ended = TurnEnded { turn: Sequence(3), status, usage: Usage::default() };
            Arc::new(Event::TurnEnded(Box::new(ended)))
        };
        let mut before = state(Kind::Response, 5);
        let started = mainstay_session::event::TurnStarted {
            input: Sequence(2),
            spec_at: Sequence(1),
            deadline: Timestamp(0),
            projector: 1,
            task: mainstay_session::event::Task::Answer,
            unanswered: Vec::new(),
        };
        before.apply(Timestamp(0), Sequence(3), &Event::TurnStarted(started));
        before.sequence = Sequence(5);
        let after = state(Kind::Response, 6);
        let mut options = TurnOptions::default();
        assert_eq!(announce((&before, &after), &[ended(TurnStatus::Completed)], Some(&options)), []);
        options.echo.insert("background".to_owned(), json!(true));
        for (status, kind) in
            [(TurnStatus::Completed, "response.completed"), (TurnStatus::Cancelled, "response.cancelled")]
        {
            let told = announce((&before, &after), &[ended(status)], Some(&options));
            assert_eq!(kinds(&told), [kind]);
            assert!(told[0].body.contains("\"resp_"), "{}", told[0].body);
        }
    }
}
