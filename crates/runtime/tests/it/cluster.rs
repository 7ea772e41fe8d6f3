//! Several nodes over one store: who drives what, commands and followers at any node, nodes that come, leave and die.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use mainstay_providers::peer::{Answered, Letter, Listened, Peers, Unreached};
use mainstay_runtime::{Cluster, Engine, Error, From, Idempotent, node::Refused, peer, task::Stage};
use mainstay_session::{
    Command, Event, Spec,
    command::{Accept, Create},
    event::Delivery,
    feed::Moment,
};
use mainstay_testkit::store::memory::Memory;
use mainstay_vocabulary::SessionId;

use crate::house::{House, created, input, names, shown, start_of_time, until_end};

const SHARDS: u16 = 16;
const LEASE: Duration = Duration::from_secs(6);
const ECHO: &str = "[[reply]]\nrepeat = true\nsteps = [{ echo = true, delay_ms = 200 }]";

/// Carries letters inside the process; nodes can be cut off, and answers lost.
#[derive(Clone, Default)]
struct Net(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    nodes: HashMap<String, Arc<Engine>>,
    loses_answers: u32,
    carried: u32,
}

impl Net {
    fn engine(&self, url: &str) -> Result<Arc<Engine>, Unreached> {
        let mut state = self.0.lock().unwrap();
        state.carried += 1;
        let found = state.nodes.iter().find(|(address, _)| url.starts_with(*address));
        found.map(|(_, engine)| Arc::clone(engine)).ok_or_else(|| Unreached::NotSent("no route".to_owned()))
    }

    fn loses(&self) -> bool {
        let mut state = self.0.lock().unwrap();
        let loses = state.loses_answers > 0;
        state.loses_answers = state.loses_answers.saturating_sub(1);
        loses
    }

    fn lose_answers(&self, count: u32) {
        self.0.lock().unwrap().loses_answers = count;
    }

    fn carried(&self) -> u32 {
        self.0.lock().unwrap().carried
    }
}

fn refused(refused: Refused) -> Unreached {
    Unreached::Refused(421, format!("{refused:?}"))
}

impl Peers for Net {
    fn ask(&self, letter: Letter) -> Answered<'_> {
        Box::pin(async move {
            assert!(letter.url.ends_with(peer::SUBMIT));
            let engine = self.engine(&letter.url)?;
            let answer = engine.take_errand(&letter.headers[0].1, &letter.body).await.map_err(refused);
            if self.loses() { Err(Unreached::Lost("cut".to_owned())) } else { answer }
        })
    }

    fn listen(&self, letter: Letter) -> Listened<'_> {
        Box::pin(async move {
            assert!(letter.url.ends_with(peer::FOLLOW));
            let engine = self.engine(&letter.url)?;
            let lines = engine.let_follow(&letter.headers[0].1, &letter.body).map_err(refused)?;
            let alive = engine.tasks().clone();
            // A node that dies says nothing any more.
            let lines = lines.take_while(move |_| std::future::ready(*alive.stage().borrow() != Stage::Stopped));
            Ok(lines.map(|line| Ok(Bytes::from(line).slice(..).trim())).boxed())
        })
    }
}

/// A line without its end.
trait Trim {
    fn trim(self) -> Self;
}

impl Trim for Bytes {
    fn trim(self) -> Self {
        self.slice(..self.len() - usize::from(self.ends_with(b"\n")))
    }
}

/// Nodes over one store.
struct Town {
    store: Arc<Memory>,
    net: Net,
    clock: Arc<dyn mainstay_runtime::clock::Clock>,
    script: &'static str,
}

impl Town {
    fn new(script: &'static str) -> Self {
        let store = Arc::new(Memory::shared(SHARDS, LEASE));
        Self { store, net: Net::default(), clock: start_of_time(), script }
    }

    async fn node(&self, name: &str) -> House {
        let address = format!("http://{name}");
        let cluster = Cluster { address: address.clone(), peers: Arc::new(self.net.clone()) };
        let house = House::node(self.store.clone(), self.script, cluster, Arc::clone(&self.clock)).await;
        self.net.0.lock().unwrap().nodes.insert(address, Arc::clone(&house.engine));
        house
    }

    /// A node dies without a word.
    fn kill(&self, name: &str) {
        let node = self.net.0.lock().unwrap().nodes.remove(&format!("http://{name}")).unwrap();
        node.tasks().advance(Stage::Stopped);
    }
}

fn driven(house: &House) -> usize {
    house.engine.standing().unwrap().driven
}

async fn settled(houses: &[&House], shares: &[usize]) {
    for _ in 0..200 {
        if houses.iter().map(|house| driven(house)).eq(shares.iter().copied()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("{:?} are driven, not {shares:?}", houses.iter().map(|house| driven(house)).collect::<Vec<_>>());
}

fn create(text: &str) -> Command {
    let input = Some(input(text, Delivery::Steer));
    Command::Create(Box::new(Create { created: created(Spec::plain("m")), items: Vec::new(), input }))
}

fn key(key: &str) -> Idempotent {
    Idempotent { operation: "create", target: String::new(), key: key.to_owned(), request: key.as_bytes().to_vec() }
}

/// Everything from the start up to the end of so many turns.
async fn whole(house: &House, session: SessionId, turns: usize) -> Vec<Moment> {
    let mut follow = house.engine.follow(&house.caller, session, From::Start).await.unwrap();
    let mut seen = Vec::new();
    while ends(&seen) < turns {
        seen.extend(follow.next().await.unwrap().unwrap());
    }
    seen
}

fn ends(moments: &[Moment]) -> usize {
    names(moments).iter().filter(|name| *name == "TurnEnded").count()
}

#[tokio::test(start_paused = true)]
async fn shards_are_shared_taken_over_and_given_back() {
    let town = Town::new(ECHO);
    let one = town.node("one").await;
    assert_eq!(driven(&one), 16);
    let two = town.node("two").await;
    settled(&[&one, &two], &[8, 8]).await;
    let three = town.node("three").await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut shares = [driven(&one), driven(&two), driven(&three)];
    shares.sort_unstable();
    assert_eq!(shares, [5, 5, 6]);
    three.engine.drain().await;
    settled(&[&one, &two], &[8, 8]).await;
    town.kill("two");
    let began = town.clock.uptime();
    settled(&[&one], &[16]).await;
    let took = town.clock.uptime() - began;
    assert!(took <= LEASE + Duration::from_secs(2), "{took:?} by the virtual clock");
}

#[tokio::test(start_paused = true)]
async fn any_node_takes_commands_and_shows_a_session_as_its_driver_does() {
    let town = Town::new(ECHO);
    let (one, two) = (town.node("one").await, town.node("two").await);
    settled(&[&one, &two], &[8, 8]).await;
    for (here, there) in [(&one, &two), (&two, &one)] {
        let (session, mut live) = here.begin(Spec::plain("m"), "one two three").await;
        let mut other = there.engine.follow(&there.caller, session, From::Start).await.unwrap();
        let seen = until_end(&mut live).await;
        assert_eq!(until_end(&mut other).await, seen);
        assert_eq!(shown(&seen), "one two three");
        // The next turn is asked for at the other node, and followed there from its own events on.
        let carried = town.net.carried();
        let accept = Accept { input: input("four five", Delivery::Steer), spec: None, head: None, answers: Vec::new() };
        let command = Command::Accept(Box::new(accept));
        let (_, mut follow) = there.engine.submit_and_follow(&there.caller, session, command, None).await.unwrap();
        let said = until_end(&mut follow).await;
        assert_eq!((shown(&said), &*names(&said)[0]), ("four five".to_owned(), "InputAccepted"));
        assert_eq!(until_end(&mut live).await, said);
        assert!(town.net.carried() > carried, "the node that was asked does not drive the session");
    }
}

#[tokio::test(start_paused = true)]
async fn who_follows_from_now_on_at_another_node_misses_nothing() {
    let town = Town::new(ECHO);
    let (one, two) = (town.node("one").await, town.node("two").await);
    settled(&[&one, &two], &[8, 8]).await;
    let (session, mut live) = one.begin(Spec::plain("m"), "first").await;
    until_end(&mut live).await;
    // The connection between the nodes is made anew each time, and kept the second time.
    for (pause, text) in [(0, "a"), (60, "b"), (1, "c")] {
        tokio::time::sleep(Duration::from_secs(pause)).await;
        let mut follow = two.engine.follow(&two.caller, session, From::Now).await.unwrap();
        one.say(session, text, Delivery::Queue).await;
        assert_eq!(shown(&until_end(&mut follow).await), text);
        until_end(&mut live).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_outlives_the_node_that_wrote_it() {
    let town = Town::new(ECHO);
    let (one, two) = (town.node("one").await, town.node("two").await);
    settled(&[&one, &two], &[8, 8]).await;
    let (session, _) = two.begin(Spec::plain("m"), "a b c d e f g h").await;
    let mut follow = one.engine.follow(&one.caller, session, From::Start).await.unwrap();
    let mut seen = Vec::new();
    while !shown(&seen).ends_with("c ") {
        seen.extend(follow.next().await.unwrap().unwrap());
    }
    town.kill("two");
    // Commands wait for the successor.
    one.say(session, "more", Delivery::Queue).await;
    while ends(&seen) < 2 {
        seen.extend(follow.next().await.unwrap().unwrap());
    }
    let interrupted = names(&seen).iter().filter(|name| *name == "ItemInterrupted").count();
    assert_eq!(interrupted, 1, "{:?}", names(&seen));
    assert!(shown(&seen).ends_with("a b c d e f g hmore"), "{}", shown(&seen));
    assert_eq!(whole(&one, session, 2).await, seen, "what was followed is what the journal holds");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_hands_over_without_a_dropped_turn() {
    let town = Town::new(ECHO);
    let (one, two) = (town.node("one").await, town.node("two").await);
    settled(&[&one, &two], &[8, 8]).await;
    let mut sessions = Vec::new();
    for number in 0..20 {
        let (session, follow) = two.begin(Spec::plain("m"), &format!("text {number} of some words")).await;
        sessions.push((session, follow));
    }
    let rest: Vec<SessionId> = sessions.iter().map(|(session, _)| *session).collect();
    let talk = async {
        for session in &rest {
            one.say(*session, "and on", Delivery::Queue).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::join!(two.engine.drain(), talk);
    settled(&[&one], &[16]).await;
    for (number, session) in rest.into_iter().enumerate() {
        let all = whole(&one, session, 2).await;
        assert_eq!(shown(&all), format!("text {number} of some wordsand on"), "nothing was cut off");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_at_another_node_finds_what_the_first_began() {
    let town = Town::new(ECHO);
    let (one, two) = (town.node("one").await, town.node("two").await);
    settled(&[&one, &two], &[8, 8]).await;
    for number in 0..12 {
        let name = format!("key {number}");
        let at = |house: &House| house.engine.session_id(&house.caller, Some(&key(&name)), None);
        assert_eq!(at(&one), at(&two));
        // Every second answer is lost on its way back.
        town.net.lose_answers(number % 2);
        let first = one.engine.submit(&one.caller, at(&one), create("hello"), Some(key(&name))).await.unwrap();
        town.net.lose_answers(0);
        let again = two.engine.submit(&two.caller, at(&two), create("hello"), Some(key(&name))).await.unwrap();
        assert_eq!((again.session, again.first, again.replayed), (first.session, first.first, true));
        assert_eq!(shown(&whole(&two, first.session, 1).await), "hello");
        let Err(Error::IdempotencyMismatch) = two
            .engine
            .submit(&two.caller, at(&two), create("x"), Some(Idempotent { request: Vec::new(), ..key(&name) }))
            .await
        else {
            panic!("another request under the same key is refused");
        };
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_key_a_lost_answer_is_said_and_nothing_is_done_twice() {
    let town = Town::new(ECHO);
    let (one, two) = (town.node("one").await, town.node("two").await);
    settled(&[&one, &two], &[8, 8]).await;
    let (session, mut live) = two.begin(Spec::plain("m"), "first").await;
    until_end(&mut live).await;
    town.net.lose_answers(1);
    let accept = Accept { input: input("second", Delivery::Queue), spec: None, head: None, answers: Vec::new() };
    let sent = one.engine.submit(&one.caller, session, Command::Accept(Box::new(accept)), None).await;
    assert!(matches!(sent, Err(Error::Unavailable(_))), "{sent:?}");
    assert_eq!(shown(&until_end(&mut live).await), "second");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let state = one.engine.state(&one.caller, session).await.unwrap();
    assert!(state.turn.is_none());
    let all = one.engine.read(&one.caller, session, mainstay_vocabulary::Sequence(0), 1_000).await.unwrap();
    let inputs = all.iter().filter(|recorded| matches!(*recorded.event, Event::InputAccepted(_))).count();
    assert_eq!(inputs, 2);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_come_while_turns_run_cut_none_off() {
    let town = Town::new(ECHO);
    let one = town.node("one").await;
    let mut follows = Vec::new();
    for number in 0..30 {
        let (session, follow) = one.begin(Spec::plain("m"), &format!("turn {number} of words that take a while")).await;
        follows.push((session, follow));
    }
    let two = town.node("two").await;
    for (number, (session, follow)) in follows.iter_mut().enumerate() {
        let text = format!("turn {number} of words that take a while");
        let live = until_end(follow).await;
        assert_eq!(shown(&live), text);
        assert!(!names(&live).contains(&"ItemInterrupted".to_owned()));
        two.say(*session, "next", Delivery::Queue).await;
        assert_eq!(shown(&until_end(follow).await), "next", "the follower goes with its session");
    }
    settled(&[&one, &two], &[8, 8]).await;
}

#[tokio::test(start_paused = true)]
async fn lists_and_agents_are_the_same_at_every_node() {
    let town = Town::new(ECHO);
    let (one, two) = (town.node("one").await, town.node("two").await);
    settled(&[&one, &two], &[8, 8]).await;
    let mut begun = Vec::new();
    for number in 0..6 {
        let house = [&one, &two][number % 2];
        let (session, mut follow) = house.begin(Spec::plain("m"), "x").await;
        until_end(&mut follow).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
        begun.push(session);
    }
    for house in [&one, &two] {
        let listing = mainstay_runtime::Listing {
            kind: mainstay_session::event::Kind::Agent,
            after: Some(begun[1]),
            direction: mainstay_runtime::Direction::Ascending,
            limit: 3,
        };
        let found = house.engine.list(&house.caller, listing).await.unwrap();
        assert_eq!(found.iter().map(|state| state.session).collect::<Vec<_>>(), begun[2..5]);
        let (registry, _) = house.engine.registry(&house.caller).await.unwrap();
        assert_eq!(registry, one.engine.registry_id(&one.caller.tenant));
    }
}

#[tokio::test(start_paused = true)]
async fn strangers_are_refused() {
    let town = Town::new(ECHO);
    let one = town.node("one").await;
    for header in ["", "1.2.3", "1800000000000.00.00"] {
        let refused = one.engine.take_errand(header, b"{}").await;
        assert!(matches!(refused, Err(Refused::Stranger(_))), "{refused:?}");
        assert!(matches!(one.engine.let_follow(header, b"{}").map(drop), Err(Refused::Stranger(_))));
    }
    let alone = House::new(ECHO).await;
    assert!(matches!(alone.engine.take_errand("1.2.3", b"{}").await, Err(Refused::Stranger(_))));
    assert_eq!(alone.engine.standing(), None);
}
