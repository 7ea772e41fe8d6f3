//! Turns from end to end: plain, with tools, cancelled, taken over by another incarnation.

use std::{sync::Arc, time::Duration};

use mainstay_runtime::From;
use mainstay_session::{
    Command, Event, Spec,
    event::{Delivery, Shortfall, TurnStatus},
    feed::What,
    spec::{Interruption, Retention},
};
use mainstay_vocabulary::{Item, Sequence, item::ToolOutput, tool::FunctionTool};

use crate::house::{House, names, shown, until, until_end};

#[tokio::test(start_paused = true)]
async fn a_turn_is_shown_live_as_it_replays() {
    let house = House::new("[[reply]]\nrepeat = true\nsteps = [{ echo = true, delay_ms = 3 }]").await;
    let (session, mut follow) = house.begin(Spec::plain("m"), "one two three").await;
    let live = until_end(&mut follow).await;
    assert_eq!(shown(&live), "one two three");
    let expected = [
        "SessionCreated",
        "InputAccepted",
        "TurnStarted",
        "InputIncorporated",
        "InferenceIntended",
        "ItemCompleted",
        "InferenceEnded",
        "TurnEnded",
    ];
    assert_eq!(names(&live), expected);
    let mut again = house.engine.follow(&house.caller, session, From::Start).await.unwrap();
    assert_eq!(until_end(&mut again).await, live);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_the_client_and_the_turn_goes_on() {
    let house = House::new(
        "[[reply]]\nwhen = { after_tool = true }\nsteps = [{ text = \"sunny\" }]\n\
         [[reply]]\nrepeat = true\nsteps = [{ tool_call = { name = \"weather\", arguments = { city = \"Bern\" } } }]",
    )
    .await;
    let tool = FunctionTool {
        name: "weather".to_owned(),
        description: None,
        parameters: None,
        strict: None,
        rest: Default::default(),
    };
    let spec = Spec { tools: Arc::from([tool]), ..Spec::plain("m") };
    let (session, mut follow) = house.begin(spec, "weather?").await;
    until(&mut follow, |event| matches!(event, Event::CallOpened(_))).await;
    let state = house.engine.state(&house.caller, session).await.unwrap();
    let call_id = state.calls[0].call_id.clone();
    let result = Item::ToolResult { call_id, output: ToolOutput::Text("sun".to_owned()), error: None };
    let command = Command::ReturnCall { turn: None, result: Arc::new(result) };
    house.engine.submit(&house.caller, session, command, None).await.unwrap();
    assert_eq!(shown(&until_end(&mut follow).await), "sunny");
}

#[tokio::test(start_paused = true)]
async fn a_new_incarnation_goes_on_and_keeps_what_was_shown() {
    let house = House::new(
        "[[reply]]\nrepeat = true\nsteps = [{ text = \"one two \", delay_ms = 10 }, { delay_ms = 60000 }, { text = \"three\" }]",
    )
    .await;
    let (session, mut follow) = house.begin(Spec::plain("m"), "count").await;
    let mut seen = Vec::new();
    while shown(&seen) != "one two " {
        seen.extend(follow.next().await.unwrap().unwrap());
    }
    let house = house.restarted().await;
    let mut again = house.engine.follow(&house.caller, session, From::Start).await.unwrap();
    let all = until_end(&mut again).await;
    assert_eq!(all[..seen.len()], seen[..], "what was shown stays as it was shown");
    assert_eq!(shown(&all), "one two one two three", "an interrupted text is written anew as another item");
    let interrupted = names(&all).iter().filter(|name| *name == "ItemInterrupted").count();
    assert_eq!(interrupted, 1);
    let state = house.engine.state(&house.caller, session).await.unwrap();
    assert_eq!(state.last_turn.as_ref().unwrap().status, TurnStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_turn_ends_and_the_next_input_is_taken() {
    let house = House::new(
        "[[reply]]\nwhen = { contains = \"slow\" }\nrepeat = true\nsteps = [{ text = \"a b c\", delay_ms = 1000 }, { hang = true }]\n\
         [[reply]]\nrepeat = true\nsteps = [{ echo = true }]",
    )
    .await;
    let (session, mut follow) = house.begin(Spec::plain("m"), "slow").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    house.engine.submit(&house.caller, session, Command::Cancel { turn: None }, None).await.unwrap();
    let ended = until_end(&mut follow).await;
    assert!(matches!(&ended.last().unwrap().what,
        What::Event(event, _) if matches!(&**event, Event::TurnEnded(end) if end.status == TurnStatus::Cancelled)));
    house.say(session, "quick", Delivery::Steer).await;
    assert_eq!(shown(&until_end(&mut follow).await), "quick");
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_kept_is_answered_and_not_at_rest() {
    let house = House::new("[[reply]]\nrepeat = true\nsteps = [{ echo = true }]").await;
    let spec = Spec { retention: Retention::ReceiptOnly, ..Spec::plain("m") };
    let (session, mut follow) = house.begin(spec, "a secret word").await;
    assert_eq!(shown(&until_end(&mut follow).await), "a secret word");
    let house = house.restarted().await;
    let kept = house.engine.read(&house.caller, session, Sequence(0), 100).await.unwrap();
    assert!(kept.iter().any(|recorded| matches!(*recorded.event, Event::InferenceEnded(_))), "the receipt is kept");
    assert!(!format!("{kept:?}").contains("secret"), "{kept:?}");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_does_not_stop_is_stopped() {
    let line = format!("{{ text = \"{}\" }}", "x".repeat(1 << 20));
    let script = format!("[[reply]]\nrepeat = true\nsteps = [{}]", [line.as_str(); 5].join(", "));
    let house = House::new(Box::leak(script.into_boxed_str())).await;
    let spec = Spec { interruption: Interruption::End, ..Spec::plain("m") };
    let (_, mut follow) = house.begin(spec, "go").await;
    let moments = until_end(&mut follow).await;
    assert_eq!(shown(&moments).len(), 4 << 20);
    let What::Event(event, _) = &moments.last().unwrap().what else { panic!("not the end") };
    let Event::TurnEnded(end) = &**event else { panic!("{event:?}") };
    assert_eq!(end.status, TurnStatus::Incomplete(Shortfall::Interrupted));
}
