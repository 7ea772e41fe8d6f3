//! Webhooks under a virtual clock: each is posted under one id until it is taken, also across a stop, and given up in
//! the end.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mainstay_providers::post::{Letter, Post, Posted};
use mainstay_runtime::webhook::{Announcement, Endpoint, Outlets, Told, Webhooks};
use mainstay_session::{Event, Spec};
use mainstay_store::{
    Store,
    seam::{Direction, IndexQuery, Shards},
};
use mainstay_testkit::store::memory::Memory;
use mainstay_vocabulary::{Shard, Tenant};

use crate::house::{House, until_end};

const SCRIPT: &str = "[[reply]]\nrepeat = true\nsteps = [{ text = \"Yes.\" }]\n";

/// A receiver that refuses the first so many letters.
#[derive(Default)]
struct Receiver {
    got: Mutex<Vec<Letter>>,
    refuses: usize,
    hangs: bool,
}

impl Post for Receiver {
    fn post(&self, letter: Letter) -> Posted<'_> {
        let mut got = self.got.lock().unwrap();
        got.push(letter);
        let status = if got.len() <= self.refuses { 503 } else { 204 };
        let hangs = self.hangs;
        Box::pin(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            Ok(status)
        })
    }
}

impl Receiver {
    /// The ids of what came, in order.
    fn ids(&self) -> Vec<String> {
        let got = self.got.lock().unwrap();
        got.iter().map(|letter| letter.headers[0].1.clone()).collect()
    }

    async fn until(&self, count: usize) -> Vec<String> {
        while self.ids().len() < count {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.ids()
    }
}

/// Tells of each turn that ends.
fn announce(told: &Told<'_>) -> Vec<Announcement> {
    let ended = |event: &&Arc<Event>| matches!(***event, Event::TurnEnded(_));
    let id = format!("evt_{}_{}", told.after.session, told.after.sequence.0);
    let tell = |_| Announcement { body: format!("{{\"id\":\"{id}\"}}"), id: id.clone(), kind: "ended" };
    told.events.iter().filter(ended).map(tell).collect()
}

fn outlets(post: &Arc<Receiver>, events: &[&str]) -> Outlets {
    let endpoint = Endpoint {
        name: "e".to_owned(),
        url: "http://127.0.0.1/hook".to_owned(),
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap(),
        events: events.iter().map(|event| (*event).to_owned()).collect(),
        tenant: Tenant(Arc::from("t")),
    };
    let post = Arc::clone(post) as Arc<dyn Post>;
    Outlets { announce, webhooks: Some(Webhooks { endpoints: vec![endpoint], post }), ..Outlets::default() }
}

async fn waiting(store: &Arc<dyn Store>) -> usize {
    let query = IndexQuery {
        shards: Shards::One(Shard(0)),
        tenant: Tenant(Arc::from("t")),
        kind: "webhook",
        prefix: Vec::new(),
        after: None,
        direction: Direction::Ascending,
        limit: 100,
    };
    store.list(query).await.unwrap().len()
}

async fn until_empty(store: &Arc<dyn Store>) {
    while waiting(store).await > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn turn(house: &House) {
    let (_, mut follow) = house.begin(Spec::plain("m"), "Is it?").await;
    until_end(&mut follow).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_posted_again_under_its_id_with_a_signature_of_its_own() {
    let receiver = Arc::new(Receiver { refuses: 3, ..Receiver::default() });
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    let house = House::telling(Arc::clone(&store), SCRIPT, outlets(&receiver, &["ended"])).await;
    turn(&house).await;
    let ids = receiver.until(4).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    until_empty(&store).await;
    let got = receiver.got.lock().unwrap();
    let stamps: Vec<u64> = got.iter().map(|letter| letter.headers[1].1.parse().unwrap()).collect();
    let waits: Vec<u64> = stamps.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits, [1, 2, 4], "it waits longer each time");
    assert!(got.windows(2).all(|pair| pair[0].headers[2] != pair[1].headers[2] && pair[0].body == pair[1].body));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_taken_before_a_stop_is_posted_by_the_next_start() {
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    let deaf = Arc::new(Receiver { hangs: true, ..Receiver::default() });
    let house = House::telling(Arc::clone(&store), SCRIPT, outlets(&deaf, &["ended"])).await;
    turn(&house).await;
    let first = deaf.until(1).await;
    assert_eq!(waiting(&store).await, 1);
    drop(house.restarted().await);
    let receiver = Arc::new(Receiver::default());
    let _house = House::telling(Arc::clone(&store), SCRIPT, outlets(&receiver, &["ended"])).await;
    assert_eq!(receiver.until(1).await, first);
    until_empty(&store).await;
    assert_eq!(receiver.ids(), first, "what is taken is not posted again");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_is_given_up_after_three_days() {
    let receiver = Arc::new(Receiver { refuses: usize::MAX, ..Receiver::default() });
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    let house = House::telling(Arc::clone(&store), SCRIPT, outlets(&receiver, &["ended"])).await;
    turn(&house).await;
    tokio::time::sleep(Duration::from_secs(71 * 3_600)).await;
    assert_eq!(waiting(&store).await, 1);
    tokio::time::sleep(Duration::from_secs(2 * 3_600)).await;
    assert_eq!(waiting(&store).await, 0);
    let attempts = receiver.ids().len();
    assert!((70..100).contains(&attempts), "{attempts}: each second at first, each hour in the end");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_told_only_what_it_wants() {
    let receiver = Arc::new(Receiver::default());
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    let house = House::telling(Arc::clone(&store), SCRIPT, outlets(&receiver, &["something else"])).await;
    turn(&house).await;
    assert_eq!(waiting(&store).await, 0);
}
