//! Inferences without a session: nothing is sent before its intent is on disk, each attempt is booked once.

use std::sync::Arc;

use futures_util::StreamExt;
use mainstay_runtime::{
    Direction, Listing,
    gateway::{Answer, Ask, Refused},
};
use mainstay_session::{
    Event, State,
    event::{InferenceOutcome, Kind},
};
use mainstay_vocabulary::{
    Content, Item, Role, Sequence,
    inference::{Chunk, Delta, FailureKind, Format, Reasoning, Request, Sampling, Stop, TextFormat},
    tool::ToolChoice,
    usage::Booking,
};

use crate::house::House;

const ECHO: &str = "[[reply]]\nrepeat = true\nsteps = [{ echo = true }, { usage = { input = 7, output = 3 } }]";

const FAILS_ONCE: &str = "[[reply]]\nsteps = [{ fail = { kind = \"upstream\", message = \"secret\" } }]\n\
    [[reply]]\nrepeat = true\nsteps = [{ echo = true }]";

fn ask(model: &str, text: &str) -> Ask {
    let content = vec![Content::Text(text.to_owned())];
    let request = Request {
        upstream_model: String::new(),
        deployment: String::new(),
        instructions: None,
        input: vec![Arc::new(Item::Message { role: Role::User, content, phase: None })],
        prefix: None,
        tools: Arc::from([]),
        tool_choice: ToolChoice::Auto,
        parallel_tool_calls: None,
        sampling: Sampling::default(),
        reasoning: Reasoning::default(),
        text: TextFormat::Text,
        idempotency_key: "k".to_owned(),
        service_tier: None,
        extra: None,
        verbatim: None,
    };
    Ask { model: model.to_owned(), request, needs: None, body: Arc::from(text.as_bytes()) }
}

async fn text_of(mut answer: Answer) -> String {
    let mut text = String::new();
    while let Some(chunk) = answer.chunks.next().await {
        if let Chunk::Delta(Delta::Text { text: more, .. }) = chunk.unwrap() {
            text.push_str(&more);
        }
    }
    text
}

/// The gateway's journal once nothing is under way in it.
async fn journal(house: &House) -> (Arc<State>, Vec<Event>) {
    let listing = Listing { kind: Kind::Gateway, after: None, direction: Direction::Ascending, limit: 10 };
    loop {
        let states = house.engine.list(&house.caller, listing).await.unwrap();
        assert!(states.len() < 2, "one journal for all");
        if let Some(state) = states.first().filter(|state| state.outgoing.is_empty() && state.sequence.0 > 1) {
            let recorded = house.engine.read(&house.caller, state.session, Sequence(0), 1_000).await.unwrap();
            return (Arc::clone(state), recorded.iter().map(|recorded| (*recorded.event).clone()).collect());
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

fn outcomes(events: &[Event]) -> Vec<InferenceOutcome> {
    let booked = events.iter().filter_map(|event| match event {
        Event::GatewayBooked(booked) => Some(booked.settled.iter().map(|settled| settled.outcome.clone())),
        _ => None,
    });
    booked.flatten().collect()
}

#[tokio::test(start_paused = true)]
async fn an_inference_is_intended_before_it_is_sent_and_booked_once() {
    let house = House::new(ECHO).await;
    for text in ["one two", "three"] {
        let answer = house.engine.infer(&house.caller, ask("m", text)).await.unwrap();
        assert_eq!(answer.route.upstream_model, "m");
        assert_eq!(text_of(answer).await, text);
    }
    let (state, events) = journal(&house).await;
    assert_eq!((state.usage.input, state.usage.output), (14, 6));
    let Event::GatewayBooked(first) = &events[1] else { panic!("{events:?}") };
    assert_eq!((first.intended.len(), first.settled.len()), (1, 0), "the intent comes alone and first");
    assert_eq!(first.intended[0].principal, house.caller.principal);
    assert_eq!(first.intended[0].prompt.len(), 32);
    assert_eq!(outcomes(&events), [const { InferenceOutcome::Finished(Stop::End) }; 2]);
    let at_rest = serde_json::to_string(&events).unwrap();
    assert!(!at_rest.contains("one two") && !at_rest.contains("three"), "no content is at rest");
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_first_chunk_is_tried_again_and_both_are_booked() {
    let house = House::new(FAILS_ONCE).await;
    assert_eq!(text_of(house.engine.infer(&house.caller, ask("m", "hi")).await.unwrap()).await, "hi");
    let (_, events) = journal(&house).await;
    let outcomes = outcomes(&events);
    assert!(
        matches!(&outcomes[..], [InferenceOutcome::Failed(first), InferenceOutcome::Finished(Stop::End)]
        if first.kind == FailureKind::Upstream && first.message.is_empty()),
        "{outcomes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_helped_is_told_at_once() {
    let bad = "[[reply]]\nrepeat = true\nsteps = [{ fail = { kind = \"invalid_request\", message = \"no\" } }]";
    let house = House::new(bad).await;
    let failed = house.engine.infer(&house.caller, ask("m", "hi")).await.err().unwrap();
    assert!(matches!(failed, Refused::Failed(failure) if failure.message == "no"));
    let unknown = house.engine.infer(&house.caller, ask("other", "hi")).await.err().unwrap();
    assert_eq!(unknown, Refused::UnknownModel("other".to_owned()));
    let needing = Ask { needs: Some(Format::AnthropicMessages), ..ask("m", "hi") };
    let unfit = house.engine.infer(&house.caller, needing).await.err().unwrap();
    assert_eq!(unfit, Refused::NeedsFormat { model: "m".to_owned() });
    assert_eq!(outcomes(&journal(&house).await.1).len(), 1, "only what was sent is booked");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_pays_for_what_was_read() {
    let slow = "[[reply]]\nrepeat = true\nsteps = [{ text = \"one two three\", delay_ms = 50 }, { hang = true }]";
    let house = House::new(slow).await;
    let mut answer = house.engine.infer(&house.caller, ask("m", "hi")).await.unwrap();
    for _ in 0..3 {
        answer.chunks.next().await.unwrap().unwrap();
    }
    drop(answer);
    let (state, events) = journal(&house).await;
    assert_eq!(outcomes(&events), [InferenceOutcome::Cancelled]);
    let Some(Event::GatewayBooked(booked)) = events.last() else { panic!("{events:?}") };
    assert_eq!(booked.settled[0].receipt.booking, Booking::Estimated);
    assert!(state.usage.output > 0 && state.usage.output < 4, "{:?}", state.usage);
}

#[tokio::test(start_paused = true)]
async fn an_intent_whose_process_died_is_booked_by_the_next() {
    let house = House::new("[[reply]]\nrepeat = true\nsteps = [{ text = \"one\" }, { hang = true }]").await;
    let mut answer = house.engine.infer(&house.caller, ask("m", "hi there")).await.unwrap();
    answer.chunks.next().await.unwrap().unwrap();
    let house = house.restarted().await;
    let (state, events) = journal(&house).await;
    assert_eq!(outcomes(&events), [InferenceOutcome::Interrupted]);
    assert_eq!((state.usage.input, state.usage.output), (2, 0), "by its estimate");
    drop(answer);
}

#[tokio::test(start_paused = true)]
async fn many_at_once_share_commits() {
    let house = House::new(ECHO).await;
    let asks = (0..200).map(|number| {
        let text = format!("number {number}");
        let (engine, caller) = (Arc::clone(&house.engine), house.caller.clone());
        async move { text_of(engine.infer(&caller, ask("m", &text)).await.unwrap()).await == text }
    });
    assert!(futures_util::future::join_all(asks).await.into_iter().all(|is_right| is_right));
    let (state, events) = journal(&house).await;
    assert_eq!(outcomes(&events).len(), 200);
    assert!(state.sequence.0 < 100, "{} events for 200 inferences", state.sequence.0);
}
