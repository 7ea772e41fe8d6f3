//! Wires the parts together and serves until told to stop.

use std::{
    io::{IsTerminal, Write},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use mainstay_runtime::{
    Caller, Engine, Keys, Parts, clock, entropy,
    task::{Stage, Tasks},
};
use mainstay_seal::{Entropy, Keyring};
use mainstay_store::Store;
use mainstay_vocabulary::{Principal, Tenant};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    config::Config,
    deployments::deployments,
    faults, hands, key, keyring,
    offer::{self, Offers, Reach},
    policies, server_file, stores,
};

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(config: Config) -> Result<()> {
    log(&config)?;
    allow_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting threads")?;
    runtime.block_on(serve(config))
}

/// Raises the soft limit on open files, commonly 1,024, to the hard one: each client connection is one.
fn allow_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit on open files could not be raised");
    }
}

fn log(config: &Config) -> Result<()> {
    let levels = &config.file.server.log;
    let refused = || format!("{}: server.log: {levels:?} names no levels", config.origins.of("server.log"));
    let filter = tracing_subscriber::EnvFilter::try_new(levels).with_context(refused)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}

async fn serve(config: Config) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let entropy: Arc<dyn Entropy> = Arc::new(entropy::System::default());
    // The store first: its refusals say most, and where it is refused no keys are made.
    let store = stores::open(&config)?;
    let keyring = keyring::open(&config, &*entropy).await?;
    let first_key = key::first(&config, &keyring)?;
    config.strangers().iter().for_each(|name| tracing::warn!("the variable {name} names no setting"));
    let offers = offer::look(&config).await;
    let parts = parts(&config, (store, keyring, entropy), (&first_key, offers.as_ref()))?;
    let tasks = parts.tasks.clone();
    let mut stage = tasks.stage();
    let mut is_lost = false;
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!("listening on {}: is another program there? --listen takes another address", config.listen)
    })?;
    let engine = Engine::start(parts).await.context("starting the engine")?;
    let settings = settings(&config);
    let router = mainstay_api::router(Arc::clone(&engine), settings.clone());
    let note = server_file::write(&config.data_dir, listener.local_addr()?)?;
    greet(&config, &listener, offers.as_ref())?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = stage.wait_for(|stage| *stage == Stage::Stopped) => is_lost = true,
        }
        tracing::info!("stopping: what is under way comes to a commit");
        engine.drain().await;
    };
    mainstay_api::serve(listener, mainstay_api::Served { router, settings, tasks }, stop).await;
    drop(note);
    if is_lost {
        bail!("another process has taken over the data directory");
    }
    Ok(())
}

fn settings(config: &Config) -> mainstay_api::Settings {
    let server = &config.file.server;
    mainstay_api::Settings {
        body_limit: server.body_limit,
        bodies_limit: server.bodies_limit,
        header_ms: server.header_ms,
        body_idle_ms: server.body_idle_ms,
        body_ms: server.body_ms,
        connections: server.connections,
        keep_alive_ms: server.keep_alive_ms,
        grace_ms: server.grace_ms,
        ..mainstay_api::Settings::default()
    }
}

/// Says where it listens, on standard output: scripts read the first line. What is offered without having been
/// configured is said on a terminal, and in the log where there is none.
fn greet(config: &Config, listener: &TcpListener, offers: Option<&Offers>) -> Result<()> {
    let address = listener.local_addr()?;
    let mut out = std::io::stdout();
    writeln!(out, "listening on http://{address}")?;
    if out.is_terminal() {
        writeln!(out, "\n  data    {}", config.data_dir.display())?;
        writeln!(out, "  key     mainstay key --data {}", config.data_dir.display())?;
        writeln!(out, "  SDKs    OPENAI_BASE_URL=http://{address}/v1")?;
        if let Some(path) = &config.path {
            writeln!(out, "  config  {}", path.display())?;
        }
        if let Some(offers) = offers {
            writeln!(out, "\nNo deployment is configured; offered instead:\n{}", offers.text())?;
            writeln!(out, "mainstay init writes this into a file, to be kept and changed.")?;
        }
    } else {
        offers.into_iter().for_each(log_offers);
    }
    out.flush()?;
    Ok(())
}

fn log_offers(offers: &Offers) {
    for offer in &offers.offered {
        let models = offer.models().collect::<Vec<_>>().join(", ");
        let (because, where_to) = (&offer.because, offer.destination());
        match offer.reach {
            Reach::Here => tracing::info!("offered: {models} ({because}; {where_to})"),
            Reach::Away => tracing::warn!("offered: {models} ({because}; {where_to})"),
        }
    }
    offers.passed_over.iter().for_each(|reason| tracing::info!("not offered: {reason}"));
}

fn parts(
    config: &Config,
    (store, keyring, entropy): (Arc<dyn Store>, Arc<Keyring>, Arc<dyn Entropy>),
    (first_key, offers): (&str, Option<&Offers>),
) -> Result<Parts> {
    Ok(Parts {
        store,
        keyring,
        entropy,
        clock: Arc::new(clock::System),
        tasks: Tasks::default(),
        deployments: deployments(config, offers)?,
        hands: hands::of(config)?,
        judge: policies::judge(config)?,
        keys: keys(config, first_key)?,
        limits: config.file.limits,
        outlets: crate::webhooks::outlets(config)?,
        cluster: stores::cluster(config)?,
        faults: faults::from_environment()?,
    })
}

fn keys(config: &Config, first_key: &str) -> Result<Keys> {
    let caller = |tenant: &str, principal: &str| Caller {
        tenant: Tenant(Arc::from(tenant)),
        principal: Principal(Arc::from(principal)),
    };
    let mut keys = Keys::default();
    keys.add(first_key, caller("default", "owner"));
    for key in &config.file.key {
        keys.add(&key.key.read(&config.environment)?, caller(&key.tenant, &key.principal));
    }
    Ok(keys)
}
