//! The provider as one simulated process sees it: plays replies that the seed draws, and notes what it was asked. A
//! request must not arrive before its intent is committed, nor twice.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use mainstay_providers::{ChunkStream, Provider};
use mainstay_session::Event;
use mainstay_vocabulary::{
    ItemKind, Object, Sequence, SessionId, Usage,
    inference::{Chunk, Delta, Failure, FailureKind, Finished, Request, Stop},
};

use super::{
    toolbox::SERVED,
    world::{Asked, Shared, World, short},
};

/// Functions that agents may declare; the model also calls one that nobody did.
pub(super) const TOOLS: [&str; 3] = ["look", "write", "unknown"];
/// Every way to fail.
const FAILURES: [FailureKind; 10] = [
    FailureKind::Connect,
    FailureKind::Broken,
    FailureKind::Timeout,
    FailureKind::RateLimited,
    FailureKind::Upstream,
    FailureKind::Authentication,
    FailureKind::InvalidRequest,
    FailureKind::ContextLength,
    FailureKind::NotFound,
    FailureKind::Protocol,
];
/// What every token begins with, so that content can be recognized anywhere.
pub(super) const TOKEN: &str = "token-";

/// One upstream account.
pub(super) struct Actor {
    pub(super) world: Shared,
    pub(super) process: u32,
    pub(super) continues_prefix: bool,
}

/// One moment of a reply.
enum Beat {
    Wait(u64),
    Say(Delta),
    Finish(Finished),
    Fail(Failure),
    Hang,
}

struct Play {
    world: Shared,
    process: u32,
    key: Option<(SessionId, Sequence)>,
    request: Option<Request>,
    beats: VecDeque<Beat>,
}

impl Provider for Actor {
    fn infer(&self, request: Request) -> ChunkStream {
        let play = Play {
            world: self.world.clone(),
            process: self.process,
            key: None,
            request: Some(request),
            beats: VecDeque::new(),
        };
        Box::pin(futures_util::stream::unfold(play, |mut play| async move {
            let chunk = play.next().await?;
            Some((chunk, play))
        }))
    }

    fn continues_prefix(&self) -> bool {
        self.continues_prefix
    }
}

impl Play {
    async fn next(&mut self) -> Option<Result<Chunk, Failure>> {
        if self.world.lock().dead.contains(&self.process) {
            std::future::pending::<()>().await;
        }
        if let Some(request) = self.request.take() {
            self.arrive(request);
        }
        loop {
            match self.beats.pop_front()? {
                Beat::Wait(wait) => tokio::time::sleep(Duration::from_millis(wait)).await,
                Beat::Say(delta) => return Some(Ok(Chunk::Delta(delta))),
                Beat::Fail(failure) => {
                    self.beats.clear();
                    return Some(Err(failure));
                }
                Beat::Finish(finished) => {
                    if let Some(key) = self.key {
                        self.world.lock().finished.insert(key, self.process);
                    }
                    return Some(Ok(Chunk::Finished(finished)));
                }
                Beat::Hang => std::future::pending().await,
            }
        }
    }

    fn arrive(&mut self, request: Request) {
        let mut world = self.world.lock();
        self.key = note_request(&mut world, &request, self.process);
        self.beats = draw(&mut world, &request);
        let what = self.key.map_or_else(String::new, |(session, intent)| format!("{} {}", short(session), intent.0));
        let process = self.process;
        world.note(format_args!("p{process} request {what}, {} items", request.input.len()));
    }
}

/// Checks that the request may have been sent, and keeps it.
fn note_request(world: &mut World, request: &Request, process: u32) -> Option<(SessionId, Sequence)> {
    let key = &request.idempotency_key;
    let parsed = key.split_once('-').and_then(|(session, intent)| Some((session.parse().ok()?, intent.parse().ok()?)));
    let Some((session, intent)) = parsed.map(|(session, intent)| (session, Sequence(intent))) else {
        world.violate(format_args!("a request arrived under the key {key:?}"));
        return None;
    };
    let reader = Arc::clone(&world.reader);
    let committed = reader.event_at(session, intent);
    if !committed.is_some_and(|entered| matches!(&*entered.recorded.event, Event::InferenceIntended(_))) {
        world.violate(format_args!("{}: a request arrived without its intent {}", short(session), intent.0));
    }
    if world.asked.iter().any(|asked| (asked.session, asked.intent) == (session, intent)) {
        world.violate(format_args!("{}: a second request arrived for intent {}", short(session), intent.0));
    }
    let head = format!("{:?} {:?}", request.instructions, request.tools);
    // Between its last check and the sending, a process may lose the shard: what it then sends comes late.
    if world.is_cluster() && world.holders.get(&session.shard()) != Some(&process) {
        world.violate(format_args!("{}: a request arrived from a node whose lease is over", short(session)));
    }
    if world.is_cluster() || process == world.owner {
        world.asked.push(Asked { session, intent, input: request.input.clone(), head });
    }
    Some((session, intent))
}

/// Draws a reply.
fn draw(world: &mut World, request: &Request) -> VecDeque<Beat> {
    let mut beats = VecDeque::new();
    let calm = !world.is_faulty;
    let first = if calm { 5 } else { *world.model.one_of(&[0, 0, 1, 5, 50, 400, 4_000]) };
    beats.push_back(Beat::Wait(first));
    let mut index = 0;
    if !calm && world.model.percent(25) {
        speak(world, &mut beats, (index, ItemKind::Reasoning), 3);
        index += 1;
    }
    let calls = !calm && !request.tools.is_empty() && world.model.percent(40);
    if !calls || world.model.percent(30) || request.prefix.is_some() {
        let kind =
            if world.model.percent(97) || request.prefix.is_some() { ItemKind::Message } else { ItemKind::Refusal };
        speak(world, &mut beats, (index, kind), 8);
        index += 1;
    }
    if calls {
        let has_served = request.tools.iter().any(|tool| tool.name == SERVED[0].0);
        call(world, &mut beats, (index, has_served));
    }
    let stop = stop(world, calls);
    let usage = world.model.percent(80).then(|| {
        let (input, output) = (world.model.below(1_000), world.model.below(200));
        Usage { input, output, ..Usage::default() }
    });
    beats.push_back(Beat::Finish(Finished { stop, usage, model: None, reported: Object::new() }));
    if !calm {
        spoil(world, &mut beats);
    }
    beats
}

fn stop(world: &mut World, calls: bool) -> Stop {
    let usual = if calls { Stop::ToolCalls } else { Stop::End };
    match world.model.below(if world.is_faulty { 30 } else { 1 }) {
        28 => Stop::MaxOutputTokens,
        29 => Stop::ContentFilter,
        _ => usual,
    }
}

/// One item, with its tokens one after another.
fn speak(world: &mut World, beats: &mut VecDeque<Beat>, (index, kind): (u32, ItemKind), most: u64) {
    let opaque = (kind == ItemKind::Reasoning && world.model.percent(50)).then(|| format!("opaque {index}"));
    beats.push_back(Beat::Say(Delta::Started { index, kind }));
    for _ in 0..1 + world.model.below(most) {
        pace(world, beats);
        let text = format!("{TOKEN}{} ", world.next_number());
        beats.push_back(Beat::Say(Delta::Text { index, text }));
    }
    beats.push_back(Beat::Say(Delta::Done { index, opaque }));
}

/// One to three calls, their arguments interleaved.
fn call(world: &mut World, beats: &mut VecDeque<Beat>, (from, has_served): (u32, bool)) {
    let until = from + 1 + world.model.below(3) as u32;
    let mut served = Vec::new();
    for index in from..until {
        let is_served = has_served && world.model.percent(50);
        let name = if is_served { world.model.one_of(&SERVED).0 } else { *world.model.one_of(&TOOLS) }.to_owned();
        if is_served {
            served.push(index);
        }
        let provider_call_id = Some(format!("upstream-{}", world.next_number()));
        beats.push_back(Beat::Say(Delta::Started { index, kind: ItemKind::ToolCall { name, provider_call_id } }));
    }
    for part in 0..2 {
        for index in from..until {
            pace(world, beats);
            let token = format!("{TOKEN}{} ", world.next_number());
            // Together the two parts are a JSON object.
            let text = match (served.contains(&index), part) {
                (false, _) => token,
                (true, 0) => format!("{{\"a\":\"{token}"),
                (true, _) => format!("{token}\"}}"),
            };
            beats.push_back(Beat::Say(Delta::Text { index, text }));
        }
    }
    for index in from..until {
        beats.push_back(Beat::Say(Delta::Done { index, opaque: None }));
    }
}

fn pace(world: &mut World, beats: &mut VecDeque<Beat>) {
    if world.model.percent(40) {
        let wait = *world.model.one_of(&[1, 3, 20, 200]);
        beats.push_back(Beat::Wait(wait));
    }
}

/// Breaks a reply off somewhere, if the plan says so.
fn spoil(world: &mut World, beats: &mut VecDeque<Beat>) {
    let (hang, failure) = (world.plan.hang, world.plan.failure);
    if world.model.percent(hang) {
        let at = world.model.below(beats.len() as u64) as usize;
        beats.truncate(at);
        beats.push_back(Beat::Hang);
    } else if world.model.percent(failure) {
        let at = world.model.below(beats.len() as u64) as usize;
        beats.truncate(at);
        // A stream may also just stop, without a word.
        if world.model.percent(80) {
            let kind = *world.model.one_of(&FAILURES);
            let retry_after_ms = world.model.percent(20).then(|| world.model.below(3_000));
            beats.push_back(Beat::Fail(Failure { kind, message: "simulated".to_owned(), retry_after_ms }));
        }
    }
}
