//! An engine of its own for each test, and the few commands that tests send.

use std::{fs, sync::Arc};

use mainstay_providers::{Kind as ProviderKind, Settings, Timeouts, build};
use mainstay_runtime::{
    Caller, Cluster, Engine, Follow, Keys, Parts, clock, entropy,
    hands::{Hands, StandardJudge},
    route::{Deployment, Deployments},
    task::Tasks,
    webhook::Outlets,
};
use mainstay_seal::Keyring;
use mainstay_session::{
    Event, Spec,
    command::{Accept, Command, Create},
    event::{Created, Delivery, Input, Kind, TurnOptions},
    feed::{Moment, What},
};
use mainstay_store::Store;
use mainstay_testkit::store::memory::Memory;
use mainstay_vocabulary::{Content, Item, Object, Principal, Role, SessionId, Tenant, Timestamp, place::Place};

/// One engine with its store.
pub(crate) struct House {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) caller: Caller,
    script: &'static str,
    hands: Hands,
}

impl House {
    /// An engine over an empty store whose only model, `m`, plays `script`.
    pub(crate) async fn new(script: &'static str) -> Self {
        Self::over(Arc::new(Memory::default()), script).await
    }

    /// The same, with tools.
    pub(crate) async fn with_hands(store: Arc<dyn Store>, script: &'static str, hands: Hands) -> Self {
        Self::equipped(store, script, (Outlets::default(), None), (start_of_time(), hands)).await
    }

    /// The same, with somewhere to send events.
    pub(crate) async fn telling(store: Arc<dyn Store>, script: &'static str, outlets: Outlets) -> Self {
        Self::made(store, script, (outlets, None), start_of_time()).await
    }

    /// One of several engines over a store, and with one clock.
    pub(crate) async fn node(
        store: Arc<dyn Store>,
        script: &'static str,
        cluster: Cluster,
        clock: Arc<dyn clock::Clock>,
    ) -> Self {
        Self::made(store, script, (Outlets::default(), Some(cluster)), clock).await
    }

    /// Another engine over the same store; the old one is stopped without a word.
    pub(crate) async fn restarted(self) -> Self {
        self.engine.tasks().advance(mainstay_runtime::task::Stage::Stopped);
        Self::with_hands(self.store, self.script, self.hands).await
    }

    pub(crate) async fn over(store: Arc<dyn Store>, script: &'static str) -> Self {
        Self::made(store, script, (Outlets::default(), None), start_of_time()).await
    }

    async fn made(
        store: Arc<dyn Store>,
        script: &'static str,
        (outlets, cluster): (Outlets, Option<Cluster>),
        clock: Arc<dyn clock::Clock>,
    ) -> Self {
        Self::equipped(store, script, (outlets, cluster), (clock, Hands::default())).await
    }

    async fn equipped(
        store: Arc<dyn Store>,
        script: &'static str,
        (outlets, cluster): (Outlets, Option<Cluster>),
        (clock, hands): (Arc<dyn clock::Clock>, Hands),
    ) -> Self {
        let mut deployments = Deployments::default();
        deployments.add("m", deployment(script));
        let parts = Parts {
            store: Arc::clone(&store),
            keyring: Arc::new(Keyring::ephemeral([1; 32])),
            entropy: Arc::new(entropy::System::default()),
            clock,
            tasks: Tasks::default(),
            deployments,
            hands: hands.clone(),
            judge: Arc::new(StandardJudge),
            keys: Keys::default(),
            limits: mainstay_session::spec::Limits::default(),
            outlets,
            cluster,
            faults: mainstay_runtime::fault::Faults::default(),
        };
        let engine = Engine::start(parts).await.unwrap();
        let caller = Caller { tenant: Tenant(Arc::from("t")), principal: Principal(Arc::from("p")) };
        Self { store, engine, caller, script, hands }
    }

    /// Begins a session with an input and follows it from its first event.
    pub(crate) async fn begin(&self, spec: Spec, text: &str) -> (SessionId, Follow) {
        let session = self.engine.session_id(&self.caller, None, None);
        let command = Command::Create(Box::new(Create {
            created: created(spec),
            items: Vec::new(),
            input: Some(input(text, Delivery::Steer)),
        }));
        let (_, follow) = self.engine.submit_and_follow(&self.caller, session, command, None).await.unwrap();
        (session, follow)
    }

    /// Sends another input.
    pub(crate) async fn say(&self, session: SessionId, text: &str, delivery: Delivery) {
        let accept = Accept { input: input(text, delivery), spec: None, head: None, answers: Vec::new() };
        self.engine.submit(&self.caller, session, Command::Accept(Box::new(accept)), None).await.unwrap();
    }
}

/// A clock that begins now.
pub(crate) fn start_of_time() -> Arc<dyn clock::Clock> {
    Arc::new(clock::Virtual::starting_at(Timestamp(1_800_000_000_000)))
}

fn deployment(script: &str) -> Deployment {
    let file = std::env::temp_dir().join(format!("mainstay-script-{:016x}.toml", fnv(script)));
    // Other tests may read the same script just now.
    let mine = file.with_extension(std::process::id().to_string());
    fs::write(&mine, script).unwrap();
    fs::rename(&mine, &file).unwrap();
    let settings = Settings {
        name: "script".to_owned(),
        base_url: None,
        api_key: None,
        script: Some(file.clone()),
        timeouts: Timeouts::default(),
        dialect: None,
        models: Vec::new(),
        local: mainstay_providers::LocalOptions::default(),
    };
    let provider = build(ProviderKind::Scripted, settings).unwrap();
    Deployment {
        name: "script/m".to_owned(),
        provider_name: "script".to_owned(),
        provider,
        upstream_model: "m".to_owned(),
        place: Place::default(),
        price: None,
        max_output_tokens: None,
    }
}

fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// An agent session without a saved agent.
pub(crate) fn created(spec: Spec) -> Created {
    Created {
        kind: Kind::Agent,
        spec: Arc::new(spec),
        parent: None,
        metadata: Object::new(),
        agent: None,
        echo: Object::new(),
        unanswered: Vec::new(),
    }
}

pub(crate) fn input(text: &str, delivery: Delivery) -> Input {
    let content = vec![Content::Text(text.to_owned())];
    let item = Item::Message { role: Role::User, content, phase: None };
    Input { items: vec![Arc::new(item)], delivery, options: TurnOptions::default() }
}

/// Everything up to the end of the turn.
pub(crate) async fn until_end(follow: &mut Follow) -> Vec<Moment> {
    until(follow, |event| matches!(event, Event::TurnEnded(_))).await
}

/// Everything up to an event.
pub(crate) async fn until(follow: &mut Follow, is_last: impl Fn(&Event) -> bool) -> Vec<Moment> {
    let mut moments = Vec::new();
    loop {
        moments.extend(follow.next().await.unwrap().unwrap());
        let last = |moment: &Moment| matches!(&moment.what, What::Event(event, _) if is_last(event));
        if moments.iter().any(last) {
            return moments;
        }
    }
}

/// The text that was shown, in order.
pub(crate) fn shown(moments: &[Moment]) -> String {
    use mainstay_vocabulary::inference::Delta;
    let text = moments.iter().filter_map(|moment| match &moment.what {
        What::Shown(shown) => match &shown.delta {
            Delta::Text { text, .. } => Some(text.as_str()),
            Delta::Started { .. } | Delta::Logprobs { .. } | Delta::Done { .. } => None,
        },
        What::Event(..) => None,
    });
    text.collect()
}

/// Names of the events, in order.
pub(crate) fn names(moments: &[Moment]) -> Vec<String> {
    let name = |moment: &Moment| match &moment.what {
        What::Event(event, _) => {
            let text = format!("{event:?}");
            Some(text.split(['(', ' ', '{']).next().unwrap().to_owned())
        }
        What::Shown(_) => None,
    };
    moments.iter().filter_map(name).collect()
}
