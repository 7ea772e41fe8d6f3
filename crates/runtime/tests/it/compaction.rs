//! Compaction from end to end: what a model is shown after it, on any incarnation, and what a reading costs.

use std::sync::Arc;

use mainstay_runtime::{Error, From};
use mainstay_session::{
    Command, Event, Refusal, Spec,
    command::Create,
    event::{Created, Delivery, TurnStatus},
    feed::{Moment, What},
    spec::{Compaction, Retention, Truncation},
};
use mainstay_vocabulary::{Content, Item, SessionId};

use crate::house::{House, created, names, shown, until, until_end};

/// Echoes, and writes the same digest each time.
const SCRIPT: &str = "[[reply]]\nwhen = { contains = \"Write a digest\" }\nrepeat = true\nsteps = [{ text = \"They counted.\" }]\n\
                      [[reply]]\nrepeat = true\nsteps = [{ echo = true }]";

fn over(threshold_tokens: u64) -> Spec {
    Spec { compaction: Some(Compaction { threshold_tokens: Some(threshold_tokens) }), ..Spec::plain("m") }
}

/// What a model would be shown now, one line an item.
async fn told(house: &House, session: SessionId) -> Vec<String> {
    let line = |item: &Arc<Item>| match &**item {
        Item::Message { content, .. } => match &content[..] {
            [Content::Text(text)] => text.chars().take(9).collect(),
            other => format!("{other:?}"),
        },
        Item::Compaction { text } => text.rsplit('\n').next().unwrap_or_default().to_owned(),
        other => format!("{other:?}"),
    };
    house.engine.prompt(&house.caller, session, None).await.unwrap().iter().map(line).collect()
}

fn replaced(moments: &[Moment]) -> usize {
    let is_it = |moment: &&Moment| matches!(&moment.what, What::Event(event, _) if matches!(**event, Event::ContextReplaced(_)));
    moments.iter().filter(is_it).count()
}

#[tokio::test(start_paused = true)]
async fn a_digest_replaces_what_was_and_nobody_sees_it_written() {
    let house = House::new(SCRIPT).await;
    let long = "x".repeat(2_000);
    let (session, mut follow) = house.begin(over(1_000), &format!("one {long}")).await;
    until_end(&mut follow).await;
    house.say(session, "two", Delivery::Steer).await;
    let moments = until_end(&mut follow).await;
    assert_eq!((replaced(&moments), shown(&moments).as_str()), (1, "two"));
    assert_eq!(told(&house, session).await, ["They counted.", "two", "two"]);
    let house = house.restarted().await;
    let mut again = house.engine.follow(&house.caller, session, From::Now).await.unwrap();
    house.say(session, "three", Delivery::Steer).await;
    assert_eq!(shown(&until_end(&mut again).await), "three");
    assert_eq!(told(&house, session).await, ["They counted.", "two", "two", "three", "three"]);
    let people = house.engine.context(&house.caller, session).await.unwrap();
    assert_eq!(people.len(), 7, "all that was said, and the digest");
}

#[tokio::test(start_paused = true)]
async fn a_restart_while_a_digest_is_written_asks_for_it_again() {
    let house = House::new(
        "[[reply]]\nwhen = { contains = \"Write a digest\" }\nrepeat = 1\nsteps = [{ text = \"half \" }, { hang = true }]\n\
         [[reply]]\nrepeat = true\nsteps = [{ echo = true }]",
    )
    .await;
    let (session, mut follow) = house.begin(Spec::plain("m"), "one").await;
    until_end(&mut follow).await;
    house.engine.submit(&house.caller, session, Command::Compact, None).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let house = house.restarted().await;
    // The script is used up by then only where its uses are counted anew: the second attempt hangs as the first did.
    house.engine.submit(&house.caller, session, Command::Cancel { turn: None }, None).await.unwrap();
    let mut again = house.engine.follow(&house.caller, session, From::Start).await.unwrap();
    let is_cancelled = |event: &Event| matches!(event, Event::TurnEnded(end) if end.status == TurnStatus::Cancelled);
    let moments = until(&mut again, is_cancelled).await;
    let intents = names(&moments).iter().filter(|name| *name == "InferenceIntended").count();
    assert_eq!((intents, replaced(&moments), shown(&moments).as_str()), (3, 0, "one"), "asked again, and never shown");
    assert_eq!(told(&house, session).await, ["one", "one"]);
}

#[tokio::test(start_paused = true)]
async fn a_fork_begins_where_its_parent_began_anew_before_it() {
    let house = House::new(SCRIPT).await;
    let (session, mut follow) = house.begin(Spec::plain("m"), "one").await;
    until_end(&mut follow).await;
    let first = house.engine.state(&house.caller, session).await.unwrap().last_turn.as_ref().unwrap().ended;
    house.engine.submit(&house.caller, session, Command::Compact, None).await.unwrap();
    until_end(&mut follow).await;
    house.say(session, "two", Delivery::Steer).await;
    until_end(&mut follow).await;
    let last = house.engine.state(&house.caller, session).await.unwrap().last_turn.as_ref().unwrap().ended;
    for (at, expected) in [(first, vec!["one", "one"]), (last, vec!["one", "They counted.", "two", "two"])] {
        let create = Create { created: Created { ..created(Spec::plain("m")) }, items: Vec::new(), input: None };
        let create = house.engine.fork(&house.caller, session, at, create).await.unwrap();
        let fork = house.engine.session_id(&house.caller, None, None);
        house.engine.submit(&house.caller, fork, Command::Create(Box::new(create)), None).await.unwrap();
        assert_eq!(told(&house, fork).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_prompt_that_does_not_fit_loses_its_oldest_items() {
    let house = House::new(
        "[[reply]]\nwhen = { contains = \"three\" }\nrepeat = 1\nsteps = [{ fail = { kind = \"context_length\", message = \"too long\" } }]\n\
         [[reply]]\nrepeat = true\nsteps = [{ echo = true }]",
    )
    .await;
    let spec = Spec { truncation: Truncation::Auto, ..Spec::plain("m") };
    let (session, mut follow) = house.begin(spec, "one one one one").await;
    until_end(&mut follow).await;
    house.say(session, "three", Delivery::Steer).await;
    let moments = until_end(&mut follow).await;
    assert_eq!((replaced(&moments), shown(&moments).as_str()), (1, "three"));
    let state = house.engine.state(&house.caller, session).await.unwrap();
    assert_eq!(state.last_turn.as_ref().unwrap().status, TurnStatus::Completed);
    assert_eq!(told(&house, session).await, ["three", "three"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_kept_is_not_gone_on_with() {
    let house = House::new(SCRIPT).await;
    let spec = Spec { retention: Retention::ReceiptOnly, ..over(1) };
    let (session, mut follow) = house.begin(spec, "a secret").await;
    until_end(&mut follow).await;
    house.say(session, "go on", Delivery::Steer).await;
    let moments = until_end(&mut follow).await;
    assert_eq!((replaced(&moments), shown(&moments).as_str()), (1, "go on"), "in memory it is there");
    let house = house.restarted().await;
    let accept = Command::Compact;
    let refused = house.engine.submit(&house.caller, session, accept, None).await.map(|_| ());
    assert!(matches!(refused, Err(Error::Refused(Refusal::NotKept))), "{refused:?}");
}
