//! Wires the parts together and serves until told to stop.

use std::{
    io::{IsTerminal, Write},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use mainstay_providers::{Secret, Settings, Timeouts};
use mainstay_runtime::{
    Caller, Engine, Keys, Parts, clock, entropy,
    route::{Deployment, Deployments, Price},
    task::{Stage, Tasks},
};
use mainstay_seal::{Entropy, Keyring};
use mainstay_store::sqlite;
use mainstay_vocabulary::{Principal, Tenant};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    config::{self, Config},
    faults, key,
};

/// Pico-USD per token of one USD per million tokens, and the decimals of that.
const PICO_DECIMALS: usize = 6;

/// How long open requests may go on after the engine has come to its last commit, milliseconds.
const GRACE_MS: u64 = 2_000;

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(config: Config) -> Result<()> {
    log();
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

fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MAINSTAY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,mainstay=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

async fn serve(config: Config) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let first_key = key::ensure(&config.data_dir)?;
    let parts = parts(&config, &first_key)?;
    let tasks = parts.tasks.clone();
    let mut stage = tasks.stage();
    let mut is_lost = false;
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!("listening on {}: is another program there? --listen takes another address", config.listen)
    })?;
    let engine = Engine::start(parts).await.context("starting the engine")?;
    let settings = mainstay_api::Settings {
        body_limit: config.file.server.body_limit,
        connections: config.file.server.connections,
        grace_ms: GRACE_MS,
        ..mainstay_api::Settings::default()
    };
    let router = mainstay_api::router(Arc::clone(&engine), settings.clone());
    greet(&config, &listener)?;
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
    if is_lost {
        bail!("another process has taken over the data directory");
    }
    Ok(())
}

/// Says where it listens, on standard output: scripts read the first line.
fn greet(config: &Config, listener: &TcpListener) -> Result<()> {
    let address = listener.local_addr()?;
    let mut out = std::io::stdout();
    writeln!(out, "listening on http://{address}")?;
    if out.is_terminal() {
        writeln!(out, "\n  data    {}", config.data_dir.display())?;
        writeln!(out, "  key     mainstay key --data {}", config.data_dir.display())?;
        writeln!(out, "  SDKs    OPENAI_BASE_URL=http://{address}/v1")?;
        if config.file.deployment.is_empty() {
            writeln!(out, "  models  echo (no deployment is configured: a built-in script repeats what it is told)")?;
        }
    }
    out.flush()?;
    Ok(())
}

fn parts(config: &Config, first_key: &str) -> Result<Parts> {
    let most_bytes = Some(config.file.store.most_bytes).filter(|bytes| *bytes > 0);
    let store = sqlite::open(sqlite::Options { dir: config.data_dir.clone(), most_bytes })
        .with_context(|| format!("opening the store in {}", config.data_dir.display()))?;
    let entropy: Arc<dyn Entropy> = Arc::new(entropy::System::default());
    let keyring = Keyring::open(&config.data_dir.join("keys"), &*entropy).context("opening the keys")?;
    Ok(Parts {
        store,
        keyring: Arc::new(keyring),
        entropy,
        clock: Arc::new(clock::System),
        tasks: Tasks::default(),
        deployments: deployments(config)?,
        keys: keys(config, first_key)?,
        limits: config.file.limits,
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
        keys.add(&key.key.read()?, caller(&key.tenant, &key.principal));
    }
    Ok(keys)
}

fn deployments(config: &Config) -> Result<Deployments> {
    let mut deployments = Deployments::default();
    for deployment in &config.file.deployment {
        let name = &deployment.provider;
        let Some(provider) = config.file.provider.iter().find(|provider| provider.name == *name) else {
            bail!("deployment of {:?}: there is no provider named {name:?}", deployment.model);
        };
        deployments.add(&deployment.model, build(deployment, provider)?);
    }
    if config.file.deployment.is_empty() {
        let provider = config::Provider {
            name: "echo".to_owned(),
            kind: "scripted".to_owned(),
            base_url: None,
            api_key: None,
            dialect: None,
            script: None,
        };
        let deployment = config::Deployment {
            model: "echo".to_owned(),
            provider: "echo".to_owned(),
            upstream_model: None,
            max_output_tokens: None,
            price: None,
            place: mainstay_vocabulary::place::Place::default(),
        };
        deployments.add("echo", build(&deployment, &provider)?);
    }
    Ok(deployments)
}

fn build(deployment: &config::Deployment, provider: &config::Provider) -> Result<Deployment> {
    let settings = Settings {
        name: provider.name.clone(),
        base_url: provider.base_url.clone(),
        api_key: provider.api_key.as_ref().map(config::Secret::read).transpose()?.map(Secret::new),
        script: provider.script.clone(),
        timeouts: Timeouts::default(),
        dialect: provider.dialect.as_deref().map(str::parse).transpose()?,
    };
    let upstream_model = deployment.upstream_model.clone().unwrap_or_else(|| deployment.model.clone());
    let kind = provider.kind.parse().with_context(|| format!("provider {:?}", provider.name))?;
    let built = mainstay_providers::build(kind, settings).with_context(|| format!("provider {:?}", provider.name))?;
    Ok(Deployment {
        name: format!("{}/{upstream_model}", provider.name),
        provider_name: provider.name.clone(),
        provider: built,
        upstream_model,
        place: deployment.place.clone(),
        price: deployment.price.as_ref().map(price).transpose()?,
        max_output_tokens: deployment.max_output_tokens,
    })
}

fn price(price: &config::Price) -> Result<Price> {
    let input = pico(&price.input)?;
    Ok(Price {
        input,
        cached_input: price.cached_input.as_deref().map_or(Ok(input), pico)?,
        cache_write: price.cache_write.as_deref().map_or(Ok(input), pico)?,
        output: pico(&price.output)?,
    })
}

/// Pico-USD per token from USD per million tokens: the decimal point moves by six, exactly.
fn pico(text: &str) -> Result<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(decimals) || decimals.len() > PICO_DECIMALS {
        bail!("price {text:?}: USD per million tokens as decimal text, at most {PICO_DECIMALS} decimals");
    }
    format!("{whole}{decimals:0<PICO_DECIMALS$}").parse().with_context(|| format!("price {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::pico;

    #[test]
    fn prices_are_exact() {
        assert_eq!(pico("2.00").unwrap(), 2_000_000);
        assert_eq!(pico("0.2").unwrap(), 200_000);
        assert_eq!(pico("10").unwrap(), 10_000_000);
        assert_eq!(pico("0.000001").unwrap(), 1);
        for text in ["", ".5", "-1", "1.2345678", "1e3", "1.2.3", "99999999999999999999"] {
            assert!(pico(text).is_err(), "{text}");
        }
    }
}
