//! Sessions over a store that fails: nothing hangs, nothing is missed, nothing is refused longer than it must be.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use mainstay_runtime::{Error, Follow, From};
use mainstay_session::{
    Command, Event, Spec,
    event::Delivery,
    feed::Moment,
    spec::{CallMode, Retention},
};
use mainstay_vocabulary::{Object, tool::FunctionTool};

use crate::{
    faulty::{Fate, Faulty},
    house::{House, names, shown, until, until_end},
};

const ECHO: &str = "[[reply]]\nrepeat = true\nsteps = [{ echo = true, delay_ms = 3 }]";
/// Far longer than any retry, far shorter than a turn's deadline; virtual.
const PATIENCE: Duration = Duration::from_secs(60);

async fn house(script: &'static str) -> (Arc<Faulty>, House) {
    let store = Arc::new(Faulty::default());
    let house = House::over(Arc::clone(&store) as _, script).await;
    (store, house)
}

async fn end_of(follow: &mut Follow) -> Vec<Moment> {
    tokio::time::timeout(PATIENCE, until_end(follow)).await.expect("the turn hangs")
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_unknown_outcome_holds_up_no_turn_and_hides_nothing_from_followers() {
    // The commit of the intent, then that of the outcome, takes place without an answer while the shard cannot be taken.
    for doubtful in 1..3 {
        let (store, house) = house(ECHO).await;
        store.fates.lock().unwrap().extend((0..doubtful).map(|_| Fate::Done).chain([Fate::LostAnswer]));
        store.refusals.store(1, Ordering::SeqCst);
        let (session, mut follow) = house.begin(Spec::plain("m"), "one two three").await;
        let live = end_of(&mut follow).await;
        let mut again = house.engine.follow(&house.caller, session, From::Start).await.unwrap();
        assert_eq!(until_end(&mut again).await, live, "commit {doubtful}");
        assert!(store.fates.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_this_process_takes_anew_does_not_stop_it() {
    let (store, house) = house(ECHO).await;
    let (session, mut follow) = house.begin(Spec::plain("m"), "one").await;
    end_of(&mut follow).await;
    store.fates.lock().unwrap().push_back(Fate::LostWrite);
    store.slow_acquire_ms.store(50, Ordering::SeqCst);
    let doubtful = house.say(session, "two", Delivery::Steer);
    // Fenced by the new lease while nobody here knows of it yet.
    let other = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        house.begin(Spec::plain("m"), "three").await.1
    };
    let ((), mut other) = tokio::join!(doubtful, other);
    assert_eq!(shown(&end_of(&mut other).await), "three");
    assert_eq!(shown(&end_of(&mut follow).await), "two");
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_reads_up_misses_no_delta_beside_a_steering_input() {
    for steer_after_ms in [10, 40, 70, 100] {
        let (store, house) = house(ECHO).await;
        let text = "a b c d e f g h i j k l m n o p q r s t u v w x y z";
        let (session, mut follow) = house.begin(Spec { calls: CallMode::Wait, ..Spec::plain("m") }, text).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        store.slow_frames_ms.store(50, Ordering::SeqCst);
        let mut late = house.engine.follow(&house.caller, session, From::Start).await.unwrap();
        let steer = async {
            tokio::time::sleep(Duration::from_millis(steer_after_ms)).await;
            house.say(session, "more", Delivery::Steer).await;
        };
        let (late, ()) = tokio::join!(end_of(&mut late), steer);
        assert_eq!(late, end_of(&mut follow).await, "steered after {steer_after_ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_disk_is_full_commands_are_refused_by_name_and_reads_answered() {
    let (store, house) = house("[[reply]]\nrepeat = true\nsteps = [{ delay_ms = 100 }, { text = \"said\" }]").await;
    let (session, mut follow) = house.begin(Spec::plain("m"), "one").await;
    store.is_full.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let command = Command::ChangeMetadata(Object::from_iter([("a".to_owned(), "b".into())]));
    let refused = house.engine.submit(&house.caller, session, command, None);
    let refused = tokio::time::timeout(PATIENCE, refused).await.expect("the command hangs");
    assert_eq!(refused.unwrap_err(), Error::Full);
    let state = house.engine.state(&house.caller, session);
    tokio::time::timeout(PATIENCE, state).await.expect("the read hangs").unwrap();
    store.is_full.store(false, Ordering::SeqCst);
    assert_eq!(shown(&end_of(&mut follow).await), "said");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_shut_itself_is_taken_anew_though_no_session_is_in_memory() {
    let (store, house) = house(ECHO).await;
    let (session, mut follow) = house.begin(Spec::plain("m"), "one").await;
    end_of(&mut follow).await;
    tokio::time::sleep(PATIENCE).await;
    store.is_shut.store(true, Ordering::SeqCst);
    tokio::time::sleep(PATIENCE).await;
    house.say(session, "two", Delivery::Steer).await;
    assert_eq!(shown(&end_of(&mut follow).await), "two");
}

#[tokio::test(start_paused = true)]
async fn a_failed_command_takes_nothing_from_a_session_that_is_not_kept() {
    let (store, house) = house(
        "[[reply]]\nrepeat = true\nsteps = [{ delay_ms = 1000 }, { tool_call = { name = \"weather\", arguments = {} } }]",
    )
    .await;
    let tool = FunctionTool {
        name: "weather".to_owned(),
        description: None,
        parameters: None,
        strict: None,
        rest: Object::default(),
    };
    let spec = Spec { retention: Retention::ReceiptOnly, tools: Arc::from([tool]), ..Spec::plain("m") };
    let (session, mut follow) = house.begin(spec, "weather?").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    store.fates.lock().unwrap().push_back(Fate::Away);
    let command = Command::ChangeMetadata(Object::from_iter([("a".to_owned(), "b".into())]));
    house.engine.submit(&house.caller, session, command, None).await.unwrap_err();
    let ended = |event: &Event| matches!(event, Event::InferenceEnded(_) | Event::TurnEnded(_));
    let moments = tokio::time::timeout(PATIENCE, until(&mut follow, ended)).await.expect("the turn hangs");
    assert!(names(&moments).contains(&"CallOpened".to_owned()), "{:?}", names(&moments));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_used_now_and_then_is_snapshotted_too() {
    let (store, house) = house(ECHO).await;
    let (session, mut follow) = house.begin(Spec::plain("m"), "one").await;
    for _ in 0..50 {
        end_of(&mut follow).await;
        tokio::time::sleep(PATIENCE).await;
        house.say(session, "more", Delivery::Steer).await;
    }
    end_of(&mut follow).await;
    let head = mainstay_store::Store::head(&*store, session).await.unwrap().unwrap();
    assert!(head.snapshot.is_some(), "{} events", head.sequence.0);
}
