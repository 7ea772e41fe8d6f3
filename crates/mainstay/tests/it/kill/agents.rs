//! Clients of the Agents wire: sessions with tools, inputs while busy, cancels, and a reader that follows the events
//! through every restart. What must be true of a session in the end is in `check`.

mod check;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{
    client::{Broken, PAUSE, Shared, text},
    stream::{Seen, connect, next},
};
use crate::{
    http::{Request, data, field},
    random::Random,
};

const SESSIONS: &str = "/v1/agents/sessions";
/// Turns of one session.
const TURNS: usize = 4;
/// A reader leaves by itself after about so many events.
const LEAVES_AFTER: usize = 60;
/// The longest wait before something is done to a busy session, milliseconds.
const BUSY_MS: usize = 80;

/// A session and what its client knows of it.
pub(super) struct Session {
    id: String,
    /// What was said and acknowledged: the text, and the request if its answer comes to an end.
    said: Vec<(String, Option<Request>)>,
    /// Outputs that were acknowledged, by call.
    outputs: BTreeMap<String, String>,
    seen: Seen,
}

/// Works on sessions, one after the other, until all is calm.
pub(super) async fn work(shared: Arc<Shared>, mut random: Random, name: String) -> Result<Vec<Session>, Broken> {
    let mut sessions = Vec::new();
    while !shared.is_calm() {
        let name = format!("{name}-{}", sessions.len());
        let mut client = Client { shared: &shared, random: &mut random, name, count: 0 };
        sessions.push(client.session().await?);
    }
    Ok(sessions)
}

struct Client<'a> {
    shared: &'a Arc<Shared>,
    random: &'a mut Random,
    name: String,
    count: usize,
}

impl Client<'_> {
    async fn session(&mut self) -> Result<Session, Broken> {
        let (mut session, reader) = self.create().await?;
        self.rest(&mut session).await?;
        for _ in 1..TURNS {
            if self.shared.is_calm() {
                break;
            }
            self.turn(&mut session).await?;
        }
        for request in session.said.iter().filter_map(|(_, request)| request.as_ref()) {
            self.shared.call(request).await?;
        }
        self.say(&mut session, "farewell").await?;
        self.rest(&mut session).await?;
        session.seen = reader.await.map_err(|error| self.shared.find(error.to_string()))??;
        Ok(session)
    }

    /// A text that is said once.
    fn words(&mut self, topic: &str) -> String {
        self.count += 1;
        format!("{topic} {} number {}", self.name, self.count)
    }

    /// Makes a session, every second one with its stream at once.
    async fn create(&mut self) -> Result<(Session, JoinHandle<Result<Seen, Broken>>), Broken> {
        let words = self.words("tools");
        let stream = self.random.once_in(2);
        let tool = json!({ "type": "function", "name": "lookup", "parameters": { "type": "object" } });
        let body = json!({
            "agent": { "model": "mock", "tools": [tool] }, "input": words, "stream": stream,
            "environment": { "type": "none" },
        });
        let request = Request::post(SESSIONS, &body).header("idempotency-key", format!("create {}", self.name));
        let id = if stream { self.streamed_id(&request).await? } else { self.id(&request).await? };
        let reader = Reader {
            shared: Arc::clone(self.shared),
            random: self.random.split(),
            id: id.clone(),
            create: stream.then(|| request.clone()),
        };
        let said = vec![(words, (!stream).then_some(request))];
        let session = Session { id, said, outputs: BTreeMap::new(), seen: Seen::default() };
        Ok((session, tokio::spawn(reader.read())))
    }

    async fn id(&self, request: &Request) -> Result<String, Broken> {
        Ok(text(&self.shared.expect(request, 200).await?, "id").to_owned())
    }

    /// The id out of the first event of the stream that the request opens.
    async fn streamed_id(&self, request: &Request) -> Result<String, Broken> {
        loop {
            let Some(mut incoming) = connect(self.shared, request).await? else { continue };
            if let Some(event) = next(self.shared, &mut incoming).await? {
                return Ok(text(&data(&event)["session"], "id").to_owned());
            }
        }
    }

    async fn turn(&mut self, session: &mut Session) -> Result<(), Broken> {
        match self.random.below(5) {
            0 => self.say(session, "tools").await?,
            1 => self.say(session, "breaking").await?,
            2 => self.say(session, "something plain").await?,
            3 => {
                self.say(session, "something to be cancelled").await?;
                self.pause().await;
                self.cancel(session).await?;
            }
            _ => {
                self.say(session, "tools first").await?;
                for _ in 0..=self.random.below(3) {
                    self.pause().await;
                    self.say(session, "by the way").await?;
                }
            }
        }
        self.rest(session).await
    }

    async fn pause(&mut self) {
        tokio::time::sleep(Duration::from_millis(self.random.below(BUSY_MS) as u64)).await;
    }

    fn event(session: &Session, key: &str, event: &Value) -> Request {
        let request = Request::post(format!("{SESSIONS}/{}/events", session.id), &json!({ "events": [event] }));
        request.header("idempotency-key", key)
    }

    async fn say(&mut self, session: &mut Session, topic: &str) -> Result<(), Broken> {
        let words = self.words(topic);
        let input =
            json!([{ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": words }] }]);
        let event = json!({ "type": "agent.session.input.message", "input": input });
        let request = Self::event(session, &words, &event);
        self.shared.expect(&request, 202).await?;
        session.said.push((words, Some(request)));
        Ok(())
    }

    async fn cancel(&mut self, session: &Session) -> Result<(), Broken> {
        let key = self.words("cancel");
        let request = Self::event(session, &key, &json!({ "type": "agent.session.input.cancel" }));
        let reply = self.shared.call(&request).await?;
        // 409: the turn was over already.
        if matches!(reply.status, 202 | 409) {
            Ok(())
        } else {
            Err(self.shared.find(format!("cancel: {}", reply.text)))
        }
    }

    /// Answers calls until the session is idle.
    async fn rest(&mut self, session: &mut Session) -> Result<(), Broken> {
        let request = Request::get(format!("{SESSIONS}/{}", session.id));
        let mut last = Value::Null;
        for _ in 0..self.shared.patience {
            last = self.shared.expect(&request, 200).await?;
            match text(&last, "status") {
                "idle" => return Ok(()),
                "requires_action" => {
                    for action in last["required_actions"].as_array().into_iter().flatten() {
                        self.answer(session, action).await?;
                    }
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
        Err(self.shared.find(format!("the session does not come to rest: {last}")))
    }

    async fn answer(&mut self, session: &mut Session, action: &Value) -> Result<(), Broken> {
        let call = text(action, "call_id").to_owned();
        let output = format!("output of {call}");
        let result = |output: &str| {
            json!({
                "type": "agent.session.input.tool_result", "turn_id": action["turn_id"], "call_id": call,
                "success": true, "output": output,
            })
        };
        self.shared.expect(&Self::event(session, &call, &result(&output)), 202).await?;
        if session.outputs.insert(call.clone(), output).is_some() {
            return Err(self.shared.find(format!("{call} was to be answered again")));
        }
        if self.random.once_in(4) {
            let again = Self::event(session, &format!("{call} again"), &result("another output"));
            self.shared.expect(&again, 400).await?;
        }
        Ok(())
    }
}

/// Follows a session's events until its farewell is over.
struct Reader {
    shared: Arc<Shared>,
    random: Random,
    id: String,
    /// The request that made the session, where its answer is the stream.
    create: Option<Request>,
}

impl Reader {
    async fn read(mut self) -> Result<Seen, Broken> {
        let mut seen = Seen::default();
        let mut end = End::default();
        loop {
            let (request, mut position) = self.request(&seen);
            let Some(mut incoming) = connect(&self.shared, &request).await? else { continue };
            while let Some(event) = next(&self.shared, &mut incoming).await? {
                let is_known = position < seen.events.len();
                seen.take(&self.shared, position, event)?;
                position += 1;
                if !is_known && end.is_reached(&seen.events[position - 1]) {
                    return Ok(seen);
                }
                if self.random.once_in(LEAVES_AFTER) {
                    break;
                }
            }
            seen.broke();
        }
    }

    /// How to go on, and the number of the event that comes first.
    fn request(&mut self, seen: &Seen) -> (Request, usize) {
        match (&self.create, seen.events.last()) {
            (Some(create), _) if seen.events.is_empty() || self.random.once_in(4) => (create.clone(), 0),
            (_, None) => (after(&self.id, &beginning(&self.id), false), 0),
            (_, Some(last)) => {
                let request = after(&self.id, field(last, "id").unwrap_or_default(), self.random.once_in(2));
                (request, seen.events.len())
            }
        }
    }
}

/// The cursor before everything.
fn beginning(session: &str) -> String {
    format!("evt_{}_0_0_0", session.trim_start_matches("sess_"))
}

/// The events after one, asked for by header or by query.
fn after(session: &str, event: &str, by_header: bool) -> Request {
    let path = format!("{SESSIONS}/{session}/events");
    if by_header {
        Request::get(path).header("last-event-id", event)
    } else {
        Request::get(format!("{path}?after={event}"))
    }
}

/// The end of a session: idle after its farewell was taken.
#[derive(Default)]
struct End {
    said_farewell: bool,
}

impl End {
    fn is_reached(&mut self, event: &str) -> bool {
        let is_input = field(event, "event") == Some("agent.session.turn.item.added");
        self.said_farewell |= is_input && event.contains("\"input_text\"") && event.contains("farewell");
        self.said_farewell && field(event, "event") == Some("agent.session.idle")
    }
}
