//! A place with tools as one simulated process sees it: does what the seed draws, and counts what was done by
//! idempotency key. A call must not arrive before its intent is committed, nor more often than it was intended.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mainstay_runtime::hands::{Configured, Hands};
use mainstay_session::Event;
use mainstay_tools::{Call, CallStream, Failure, FailureKind, ListedTool, Listing, Reply, Returned, Step, Toolbox};
use mainstay_vocabulary::{
    Content, Object, Sequence, SessionId,
    tool::{ApprovalRule, EffectClass, ToolHints, ToolSource, Toolset},
};

use super::world::{Shared, World, short};

/// The toolset's label and the server's name.
pub(super) const BOX: &str = "box";
/// Its tools, one of each class.
pub(super) const SERVED: [(&str, EffectClass); 3] =
    [("read", EffectClass::ReadOnly), ("put", EffectClass::Idempotent), ("pay", EffectClass::Once)];

/// One place.
struct Place {
    world: Shared,
    process: u32,
}

/// The tools of a process.
pub(super) fn hands(world: &Shared, process: u32) -> Hands {
    let toolbox: Arc<dyn Toolbox> = Arc::new(Place { world: world.clone(), process });
    let classes = SERVED.iter().map(|(tool, class)| ((*tool).to_owned(), *class)).collect();
    Hands { configured: BTreeMap::from([(BOX.to_owned(), Configured { toolbox, classes })]), ..Hands::default() }
}

/// A toolset that asks for some calls.
pub(super) fn toolset(world: &mut World) -> Toolset {
    let asked = ApprovalRule::Tools { always: vec!["pay".to_owned()], never: Vec::new(), never_read_only: true };
    let rules = [ApprovalRule::ByPolicy, ApprovalRule::Always, ApprovalRule::Never, ApprovalRule::Never, asked];
    Toolset {
        label: BOX.to_owned(),
        source: ToolSource::Mcp { server: format!("mainstay:{BOX}"), headers: BTreeMap::new(), secret: None },
        allowed: None,
        only_read_only: false,
        approval: world.random.one_of(&rules).clone(),
        rules: BTreeMap::new(),
        required: world.random.percent(20),
        echo: Object::new(),
    }
}

impl Toolbox for Place {
    fn list(&self) -> Reply<Result<Listing, Failure>> {
        let (wait, fails) = {
            let mut world = self.world.lock();
            let is_faulty = world.is_faulty;
            (*world.model.one_of(&[0, 1, 30, 900]), is_faulty && world.model.percent(8))
        };
        let tool = |(name, _): &(&str, EffectClass)| ListedTool {
            name: (*name).to_owned(),
            description: None,
            parameters: Object::new(),
            hints: ToolHints::default(),
            digest: format!("digest of {name}"),
        };
        let listing = Listing { tools: SERVED.iter().map(tool).collect(), server: None };
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            if fails { Err(Failure::new(FailureKind::NotSent, "simulated")) } else { Ok(listing) }
        })
    }

    fn call(&self, call: Call) -> CallStream {
        let (world, process) = (self.world.clone(), self.process);
        Box::pin(futures_util::stream::once(async move {
            if world.lock().dead.contains(&process) {
                std::future::pending::<()>().await;
            }
            let (wait, result) = arrive(&mut world.lock(), &call, process);
            tokio::time::sleep(Duration::from_millis(wait)).await;
            Step::Ended(result)
        }))
    }
}

/// A call arrives: whether it may have, what it does, and what is said of it, after how many milliseconds.
fn arrive(world: &mut World, call: &Call, process: u32) -> (u64, Result<Returned, Failure>) {
    let key = &call.idempotency_key;
    let parsed = key.split_once('-').and_then(|(session, call)| Some((session.parse().ok()?, call.parse().ok()?)));
    let Some((session, opened)) = parsed.map(|(session, call)| (session, Sequence(call))) else {
        world.violate(format_args!("a call arrived under the key {key:?}"));
        return (0, Err(Failure::new(FailureKind::Rejected, "no such key")));
    };
    check(world, (session, opened), process);
    world.note(format_args!("p{process} call {} {} of {}", short(session), opened.0, call.tool));
    let calm = !world.is_faulty;
    let wait = if calm { 5 } else { *world.model.one_of(&[0, 1, 20, 300, 2_000, 20_000]) };
    let said = |kind| Err(Failure::new(kind, "simulated"));
    let done = || Ok(Returned { content: vec![Content::Text("done".to_owned())], ..Returned::default() });
    let (acts, result) = match if calm { 0 } else { world.model.below(20) } {
        0..12 => (true, done()),
        12 => (true, Ok(Returned { is_error: true, ..Returned::default() })),
        13..15 => (false, said(FailureKind::NotSent)),
        15 => (false, said(FailureKind::Rejected)),
        16..18 => (true, said(FailureKind::Unknown)),
        _ => (false, said(FailureKind::Unknown)),
    };
    if acts && (world.is_cluster() || process == world.owner) {
        *world.done.entry((session, opened)).or_default() += 1;
    }
    (wait, result)
}

/// Whether a call may have been sent: under an intent of its own, by who holds the lease.
fn check(world: &mut World, (session, opened): (SessionId, Sequence), process: u32) {
    let known = world.sessions.get(&session).and_then(|shadow| shadow.state.effects.get(&opened));
    // One that is closed by now was cancelled while it was on its way.
    let intents = known.map_or_else(|| intended(world, (session, opened)), |effect| effect.attempts as usize);
    let sent = world.sent.entry((session, opened)).or_default();
    *sent += 1;
    let sent = *sent;
    let is_live = world.is_cluster() || process == world.owner;
    if is_live && sent > intents {
        world.violate(format_args!("{}: call {} arrived {sent} times, intended {intents}", short(session), opened.0));
    }
    if world.is_cluster() && world.holders.get(&session.shard()) != Some(&process) {
        world.violate(format_args!("{}: a call arrived from a node whose lease is over", short(session)));
    }
}

/// How often the journal says that a call was to be made.
fn intended(world: &World, (session, opened): (SessionId, Sequence)) -> usize {
    let journal = world.reader.journal(session).unwrap_or_default();
    let is_it = |event: &Event| matches!(event, Event::CallIntended(intended) if intended.call == opened);
    journal.iter().filter(|entered| is_it(&entered.recorded.event)).count()
}
