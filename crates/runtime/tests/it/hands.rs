//! Calls that the runtime runs, from end to end over a toolbox that counts: intent before effect, approvals, and what a
//! restart makes of each class.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use mainstay_runtime::{
    Error, From,
    hands::{Configured, Hands},
};
use mainstay_session::{
    Command, Event, Refusal, Spec,
    command::{ResolveCall, Respond},
    effect::{Answer, Resolution, Stage},
    event::CallOutcome,
};
use mainstay_testkit::store::memory::Memory;
use mainstay_tools::{Call, CallStream, Failure, FailureKind, ListedTool, Listing, Reply, Returned, Step, Toolbox};
use mainstay_vocabulary::{
    Content, Object, Sequence, SessionId,
    tool::{ApprovalRule, EffectClass, ToolHints, ToolSource, Toolset},
};

use crate::house::{House, names, shown, until, until_end};

const SCRIPT: &str = "[[reply]]\nwhen = { after_tool = true }\nsteps = [{ text = \"done\" }]\n\
     [[reply]]\nrepeat = true\nsteps = [{ tool_call = { name = \"pay\", arguments = { amount = 7 } } }]";

/// Counts what it was asked to do, by idempotency key.
#[derive(Default)]
struct Till {
    paid: Mutex<BTreeMap<String, usize>>,
    asked: AtomicUsize,
    /// How long a call takes.
    takes: Duration,
    fails: Mutex<Vec<FailureKind>>,
}

impl Toolbox for Till {
    fn list(&self) -> Reply<Result<Listing, Failure>> {
        let tool = ListedTool {
            name: "pay".to_owned(),
            description: Some("Pays.".to_owned()),
            parameters: Object::new(),
            hints: ToolHints::default(),
            digest: "pay-1".to_owned(),
        };
        Box::pin(std::future::ready(Ok(Listing { tools: vec![tool], server: None })))
    }

    fn call(&self, call: Call) -> CallStream {
        self.asked.fetch_add(1, Ordering::SeqCst);
        *self.paid.lock().unwrap().entry(call.idempotency_key).or_default() += 1;
        let (takes, failed) = (self.takes, self.fails.lock().unwrap().pop());
        let result = failed.map_or_else(
            || Ok(Returned { content: vec![Content::Text("paid".to_owned())], ..Returned::default() }),
            |kind| Err(Failure::new(kind, "it broke")),
        );
        let ended = async move {
            tokio::time::sleep(takes).await;
            Step::Ended(result)
        };
        futures_util::stream::once(ended).boxed()
    }
}

fn hands(till: &Arc<Till>, class: EffectClass) -> Hands {
    let toolbox: Arc<dyn Toolbox> = till.clone();
    let configured = Configured { toolbox, classes: BTreeMap::from([("pay".to_owned(), class)]) };
    Hands { configured: BTreeMap::from([("till".to_owned(), configured)]), ..Hands::default() }
}

fn spec(approval: ApprovalRule) -> Spec {
    let source = ToolSource::Mcp { server: "mainstay:till".to_owned(), headers: BTreeMap::new(), secret: None };
    let toolset = Toolset {
        label: "till".to_owned(),
        source,
        allowed: None,
        only_read_only: false,
        approval,
        rules: BTreeMap::new(),
        required: false,
        echo: Object::new(),
    };
    Spec { toolsets: Arc::from([toolset]), ..Spec::plain("m") }
}

async fn house(till: &Arc<Till>, class: EffectClass) -> House {
    House::with_hands(Arc::new(Memory::default()), SCRIPT, hands(till, class)).await
}

async fn asked(house: &House, session: SessionId) -> (Sequence, Sequence) {
    let state = house.engine.state(&house.caller, session).await.unwrap();
    let (call, effect) = state.effects.iter().next().unwrap();
    (*call, effect.approval().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_call_is_made_once_after_its_intent_and_the_turn_goes_on() {
    let till = Arc::new(Till::default());
    let house = house(&till, EffectClass::Once).await;
    let (session, mut follow) = house.begin(spec(ApprovalRule::Never), "pay").await;
    let live = until_end(&mut follow).await;
    assert!(shown(&live).ends_with("done"));
    let expected = [
        "ToolsListed",
        "InferenceIntended",
        "ItemCompleted",
        "InferenceEnded",
        "CallOpened",
        "CallIntended",
        "CallClosed",
        "InferenceIntended",
        "ItemCompleted",
        "InferenceEnded",
        "TurnEnded",
    ];
    let names = names(&live);
    assert_eq!(names[names.len() - expected.len()..], expected);
    assert_eq!(till.asked.load(Ordering::SeqCst), 1);
    let mut again = house.engine.follow(&house.caller, session, From::Start).await.unwrap();
    assert_eq!(until_end(&mut again).await, live);
}

#[tokio::test(start_paused = true)]
async fn many_answers_to_one_question_make_one_call() {
    let till = Arc::new(Till::default());
    let house = house(&till, EffectClass::Once).await;
    let (session, mut follow) = house.begin(spec(ApprovalRule::Always), "pay").await;
    until(&mut follow, |event| matches!(event, Event::ApprovalAsked(_))).await;
    assert_eq!(till.asked.load(Ordering::SeqCst), 0);
    let (_, approval) = asked(&house, session).await;
    let respond = || {
        let respond = Respond { session: None, approval, answer: Answer::Approve { arguments: None }, reason: None };
        house.engine.submit(&house.caller, session, Command::Respond(respond), None)
    };
    let answers = futures_util::future::join_all((0..32).map(|_| respond())).await;
    let granted = answers.iter().filter(|answer| answer.is_ok()).count();
    let refused = answers.iter().filter(|answer| matches!(answer, Err(Error::Refused(Refusal::ApprovalNotOpen(_)))));
    assert_eq!((granted, refused.count()), (1, 31));
    until_end(&mut follow).await;
    assert_eq!(*till.paid.lock().unwrap().values().next().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_question_survives_a_restart_and_is_spent_once() {
    let till = Arc::new(Till::default());
    let house = house(&till, EffectClass::Once).await;
    let (session, mut follow) = house.begin(spec(ApprovalRule::Always), "pay").await;
    until(&mut follow, |event| matches!(event, Event::ApprovalAsked(_))).await;
    let (_, approval) = asked(&house, session).await;
    let house = house.restarted().await;
    let respond = Respond { session: None, approval, answer: Answer::Approve { arguments: None }, reason: None };
    house.engine.submit(&house.caller, session, Command::Respond(respond), None).await.unwrap();
    let mut follow = house.engine.follow(&house.caller, session, From::Start).await.unwrap();
    until_end(&mut follow).await;
    assert_eq!(till.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_repeats_under_the_same_key_or_owns_up() {
    for class in [EffectClass::ReadOnly, EffectClass::Idempotent, EffectClass::Once] {
        let till = Arc::new(Till { takes: Duration::from_secs(60), ..Till::default() });
        let house = house(&till, class).await;
        let (session, mut follow) = house.begin(spec(ApprovalRule::Never), "pay").await;
        until(&mut follow, |event| matches!(event, Event::CallIntended(_))).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let house = house.restarted().await;
        let mut follow = house.engine.follow(&house.caller, session, From::Start).await.unwrap();
        if class == EffectClass::Once {
            until(&mut follow, |event| matches!(event, Event::CallLost(_))).await;
            let state = house.engine.state(&house.caller, session).await.unwrap();
            let (call, effect) = state.effects.iter().next().unwrap();
            assert!(matches!(effect.stage, Stage::Unknown { .. }));
            assert_eq!(till.asked.load(Ordering::SeqCst), 1, "never again without somebody's word");
            let resolve = ResolveCall { call: *call, resolution: Resolution::Again, reason: None };
            let command = Command::ResolveCall(Box::new(resolve));
            house.engine.submit(&house.caller, session, command, None).await.unwrap();
        }
        until_end(&mut follow).await;
        let paid = till.paid.lock().unwrap();
        assert_eq!(paid.values().collect::<Vec<_>>(), [&2], "{class:?}: both under one key");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_tried_again_and_what_was_lost_is_not() {
    let till = Arc::new(Till::default());
    *till.fails.lock().unwrap() = vec![FailureKind::Unknown, FailureKind::NotSent];
    let house = house(&till, EffectClass::Once).await;
    let (session, mut follow) = house.begin(spec(ApprovalRule::Never), "pay").await;
    let lost =
        |event: &Event| matches!(event, Event::CallLost(lost) if lost.fate == mainstay_session::effect::Lost::Unknown);
    until(&mut follow, lost).await;
    assert_eq!(till.asked.load(Ordering::SeqCst), 2);
    let (_, approval) = asked(&house, session).await;
    let respond = Respond { session: None, approval, answer: Answer::Deny, reason: None };
    house.engine.submit(&house.caller, session, Command::Respond(respond), None).await.unwrap();
    let rest = until_end(&mut follow).await;
    assert!(rest.iter().any(|moment| matches!(&moment.what,
        mainstay_session::feed::What::Event(event, _)
            if matches!(&**event, Event::CallClosed { outcome: CallOutcome::Unknown(_), .. }))));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_nobody_configured_fails_clearly() {
    let house = House::new(SCRIPT).await;
    let (_, mut follow) = house.begin(spec(ApprovalRule::Never), "pay").await;
    let live = until_end(&mut follow).await;
    let listed = live.iter().find_map(|moment| match &moment.what {
        mainstay_session::feed::What::Event(event, _) => match &**event {
            Event::ToolsListed(listed) => listed.error.clone(),
            _ => None,
        },
        mainstay_session::feed::What::Shown(_) => None,
    });
    assert!(listed.unwrap().contains("till"));
}
