//! Clients of the Responses wire: chains, forks and conversations, answered at once, as streams and in the background.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    client::{Broken, PAUSE, Shared, text},
    stream::{Seen, compare, connect, next, read},
    world::{COUNTED, MOST_COUNTED, Tally},
};
use crate::{
    http::{Request, data},
    random::Random,
};

const RESPONSES: &str = "/v1/responses";
const CONVERSATIONS: &str = "/v1/conversations";
/// The end of a stream.
const DONE: &str = "data: [DONE]";
/// Most responses of one chain or conversation.
const LONGEST: usize = 6;
/// A reader leaves by itself after about so many events.
const LEAVES_AFTER: usize = 40;
/// The longest wait before a response is cancelled, milliseconds.
const BUSY_MS: usize = 80;

/// A response and what its client knows of it.
pub(super) struct Response {
    id: String,
    request: Request,
    words: String,
    /// User messages up to it, if the model was asked for them.
    counted: Option<usize>,
    depth: usize,
    conversation: Option<String>,
    is_streamed: bool,
    is_fork: bool,
    is_deleted: bool,
    seen: Seen,
    /// As it was when it was over.
    object: Value,
}

/// Makes chains, one after the other, until all is calm.
pub(super) async fn work(shared: Arc<Shared>, mut random: Random, name: String) -> Result<Vec<Response>, Broken> {
    let mut all = Vec::new();
    while !shared.is_calm() {
        let mut client = Client { shared: &shared, random: &mut random, name: &name, count: all.len() };
        all.extend(client.chain().await?);
    }
    Ok(all)
}

struct Client<'a> {
    shared: &'a Shared,
    random: &'a mut Random,
    name: &'a str,
    count: usize,
}

/// How a response is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    AtOnce,
    Stream,
    Background,
    BackgroundStream,
}

impl Client<'_> {
    async fn chain(&mut self) -> Result<Vec<Response>, Broken> {
        let conversation = if self.random.once_in(3) { Some(self.conversation().await?) } else { None };
        let mut chain: Vec<Response> = Vec::new();
        while chain.is_empty() || chain.len() < LONGEST && !self.shared.is_calm() {
            // Mostly after the last one, sometimes as a fork of an older one.
            let is_fork = conversation.is_none() && chain.len() > 1 && self.random.once_in(3);
            let previous = if is_fork { chain.get(self.random.below(chain.len() - 1)) } else { chain.last() };
            let Some(answers) = previous.map_or(Some(Vec::new()), Response::answers) else { break };
            let depth = previous.map_or(0, |previous| previous.depth) + 1;
            let place = match (&conversation, previous) {
                (Some(conversation), _) => json!({ "conversation": conversation }),
                (None, Some(previous)) => json!({ "previous_response_id": previous.id }),
                (None, None) => json!({}),
            };
            let response = self.response(place, (depth, answers)).await?;
            chain.push(Response { is_fork, ..response });
        }
        // Nothing comes after the last one, so the requests of all others can still be repeated.
        if let Some(last) = chain.last_mut().filter(|_| self.random.once_in(3)) {
            self.delete(last).await?;
        }
        Ok(chain)
    }

    async fn conversation(&mut self) -> Result<String, Broken> {
        let request = Request::post(CONVERSATIONS, &json!({}));
        let request = request.header("idempotency-key", format!("conversation {} {}", self.name, self.count));
        Ok(text(&self.shared.expect(&request, 200).await?, "id").to_owned())
    }

    async fn response(&mut self, place: Value, (depth, mut input): (usize, Vec<Value>)) -> Result<Response, Broken> {
        let modes = [Mode::AtOnce, Mode::Stream, Mode::Background, Mode::BackgroundStream];
        let mode = modes[self.random.below(modes.len())];
        self.count += 1;
        let counts = !self.random.once_in(4) && depth <= MOST_COUNTED;
        let words = format!("{} {} number {}", if counts { "count" } else { "tools" }, self.name, self.count);
        input.push(json!({ "role": "user", "content": words }));
        let tool = json!({ "type": "function", "name": "lookup", "parameters": { "type": "object" } });
        let mut body = json!({ "model": "mock", "input": input, "tools": [tool] });
        body["stream"] = json!(matches!(mode, Mode::Stream | Mode::BackgroundStream));
        body["background"] = json!(matches!(mode, Mode::Background | Mode::BackgroundStream));
        if let (Value::Object(body), Value::Object(place)) = (&mut body, &place) {
            body.extend(place.clone());
        }
        let mut response = Response {
            id: String::new(),
            request: Request::post(RESPONSES, &body).header("idempotency-key", &*words),
            words,
            counted: counts.then_some(depth),
            depth,
            conversation: place["conversation"].as_str().map(str::to_owned),
            is_streamed: matches!(mode, Mode::Stream | Mode::BackgroundStream),
            is_fork: false,
            is_deleted: false,
            seen: Seen::default(),
            object: Value::Null,
        };
        if response.is_streamed {
            self.follow(&mut response).await?;
        } else {
            let object = self.shared.expect(&response.request, 200).await?;
            text(&object, "id").clone_into(&mut response.id);
            if mode == Mode::Background && self.random.once_in(3) {
                tokio::time::sleep(Duration::from_millis(self.random.below(BUSY_MS) as u64)).await;
                let cancel = Request::post(response.path("/cancel"), &json!({}));
                self.shared.expect(&cancel, 200).await?;
            }
        }
        self.rest(&mut response).await?;
        Ok(response)
    }

    /// Reads the stream to its end through every restart.
    async fn follow(&mut self, response: &mut Response) -> Result<(), Broken> {
        loop {
            let (request, mut position) = if response.id.is_empty() || self.random.once_in(3) {
                (response.request.clone(), 0)
            } else {
                let position = response.seen.events.len();
                (response.stream_after(position), position)
            };
            let Some(mut incoming) = connect(self.shared, &request).await? else { continue };
            while let Some(event) = next(self.shared, &mut incoming).await? {
                if response.id.is_empty() {
                    text(&data(&event)["response"], "id").clone_into(&mut response.id);
                }
                let is_end = event == DONE;
                response.seen.take(self.shared, position, event)?;
                position += 1;
                if is_end {
                    return Ok(());
                }
                if self.random.once_in(LEAVES_AFTER) {
                    break;
                }
            }
            response.seen.broke();
        }
    }

    async fn delete(&self, response: &mut Response) -> Result<(), Broken> {
        let reply = self.shared.call(&Request::new("DELETE", response.path(""))).await?;
        response.is_deleted = true;
        // 404: it was deleted, and the process killed before it said so.
        if matches!(reply.status, 200 | 404) {
            Ok(())
        } else {
            Err(self.shared.find(format!("delete: {}", reply.text)))
        }
    }

    async fn rest(&self, response: &mut Response) -> Result<(), Broken> {
        let request = Request::get(response.path(""));
        for _ in 0..self.shared.patience {
            response.object = self.shared.expect(&request, 200).await?;
            if !matches!(text(&response.object, "status"), "queued" | "in_progress") {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(self.shared.find(format!("the response does not come to an end: {}", response.object)))
    }
}

impl Response {
    /// What must be answered in the input that follows; `None` where a call was cut off.
    fn answers(&self) -> Option<Vec<Value>> {
        let calls = self.object["output"].as_array()?.iter().filter(|item| item["type"] == "function_call");
        let answer = |call: &Value| {
            let is_whole = call["status"] == "completed";
            is_whole.then(|| json!({ "type": "function_call_output", "call_id": call["call_id"], "output": "found" }))
        };
        calls.map(answer).collect()
    }

    /// What stands below it.
    fn path(&self, rest: &str) -> String {
        format!("{RESPONSES}/{}{rest}", self.id)
    }

    fn stream_after(&self, count: usize) -> Request {
        let cursor = if count == 0 { String::new() } else { format!("&starting_after={}", count - 1) };
        Request::get(self.path(&format!("?stream=true{cursor}")))
    }

    /// All that must be true of it in the end.
    pub(super) async fn check(&self, shared: &Shared, random: &mut Random, tally: &mut Tally) -> Result<(), Broken> {
        tally.check("responses", 1);
        tally.check("forks", usize::from(self.is_fork));
        tally.check("cancelled", usize::from(self.object["status"] == "cancelled"));
        tally.check("deleted", usize::from(self.is_deleted));
        tally.check("broken streams", self.seen.breaks.len());
        if self.is_deleted {
            shared.expect(&self.stream_after(0), 404).await?;
            return shared.expect(&Request::get(self.path("")), 404).await.map(drop);
        }
        let is_last = |event: &str| event == DONE;
        let whole = read(shared, &self.stream_after(0), is_last).await?;
        if self.is_streamed {
            compare(shared, &self.id, &self.seen.events, &whole)?;
        }
        tally.check("events", whole.len());
        let seen = Seen { events: whole.clone(), ..self.seen.clone() };
        for cursor in seen.cursors(random).into_iter().filter(|cursor| *cursor < whole.len() - 1) {
            tally.check("cursors", 1);
            let rest = read(shared, &self.stream_after(cursor), is_last).await?;
            compare(shared, &format!("{} after {cursor}", self.id), &whole[cursor..], &rest)?;
        }
        for (number, event) in whole[..whole.len() - 1].iter().enumerate() {
            if data(event)["sequence_number"] != number {
                return Err(shared.find(format!("{}: event {number} is {event}", self.id)));
            }
        }
        let now = shared.expect(&Request::get(self.path("")), 200).await?;
        let last = whole.iter().rev().nth(1).map(|event| data(event)["response"].clone());
        if now != self.object || Some(&now) != last.as_ref() {
            return Err(
                shared.find(format!("{}:\n  was {}\n  is {now}\n  in the stream {last:?}", self.id, self.object))
            );
        }
        self.check_answer(shared)?;
        self.check_input(shared).await
    }

    /// A whole answer says how many user messages the model was given.
    fn check_answer(&self, shared: &Shared) -> Result<(), Broken> {
        let status = text(&self.object, "status");
        let outputs = self.object["output"].as_array().map_or(&[][..], Vec::as_slice);
        let message = outputs.iter().find(|item| item["type"] == "message");
        let said = message.map(|message| text(&message["content"][0], "text"));
        let expected = self.counted.map(|count| format!("{count}{COUNTED}"));
        match (status, expected) {
            ("completed", Some(expected)) if said != Some(&expected) => {
                Err(shared.find(format!("{}: {said:?} instead of {expected:?}", self.id)))
            }
            // Only these leave room for less.
            ("completed" | "incomplete" | "cancelled", _) => Ok(()),
            _ => Err(shared.find(format!("{} ended as {}", self.id, self.object))),
        }
    }

    /// Its input is there once, also after the request is repeated.
    async fn check_input(&self, shared: &Shared) -> Result<(), Broken> {
        if !self.is_streamed {
            let again = shared.expect(&self.request, 200).await?;
            if text(&again, "id") != self.id {
                return Err(shared.find(format!("{} was made again as {}", self.id, text(&again, "id"))));
            }
        }
        let mut lists = vec![self.path("/input_items")];
        lists.extend(self.conversation.iter().map(|id| format!("{CONVERSATIONS}/{id}/items")));
        for path in lists {
            let items = shared.list(&path).await?;
            let count = items.iter().filter(|item| item["content"][0]["text"] == *self.words).count();
            if count != 1 {
                return Err(shared.find(format!("{path}: {:?} is there {count} times", self.words)));
            }
        }
        Ok(())
    }
}
