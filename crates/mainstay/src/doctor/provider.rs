//! The providers that are configured or offered: whether they can be built, and whether they answer. Those elsewhere
//! are asked only where that was asked for.

use std::{net::SocketAddr, time::Duration};

use mainstay_providers::{Kind, reach::reach};
use mainstay_runtime::clock::{Clock, System};
use tokio::{net::TcpStream, time::timeout};

use super::{World, clock::Heard, finding::Finding};
use crate::{config::Provider, deployments};

/// Most providers that are asked: one after the other, each may take a while.
const MOST: usize = 64;

/// How long a program on this machine may take to accept a connection.
const PATIENCE: Duration = Duration::from_millis(500);

/// A finding for each, and what each said of the time.
pub(super) async fn examine(world: &World) -> (Vec<Finding>, Vec<Heard>) {
    let mut providers: Vec<&Provider> = world.config.file.provider.iter().collect();
    let offered = world.offers.iter().flat_map(|offers| &offers.offered);
    providers.extend(offered.map(|offer| &offer.provider));
    let mut findings = Vec::new();
    let mut dates = Vec::new();
    for provider in providers.into_iter().take(MOST) {
        let subject = format!("provider {}", provider.name);
        let finding = match built(world, provider) {
            Ok((kind, settings)) if world.online && settings.base_url.is_some() => {
                asked(subject, (kind, &settings), &mut dates).await
            }
            Ok((_, settings)) => near(subject, settings.base_url.as_deref()).await,
            Err(error) => Finding::fail(subject, format!("{error:#}"), "correct its [[provider]] table or its key"),
        };
        findings.push(finding);
    }
    (findings, dates)
}

fn built(world: &World, provider: &Provider) -> anyhow::Result<(Kind, mainstay_providers::Settings)> {
    let kind: Kind = provider.kind.parse()?;
    let settings = deployments::settings(&world.config, world.offers.as_ref(), provider)?;
    mainstay_providers::build(kind, settings.clone())?;
    Ok((kind, settings))
}

/// Without leaving this machine.
async fn near(subject: String, base_url: Option<&str>) -> Finding {
    let Some(base_url) = base_url else { return Finding::ok(subject, "it is part of this program") };
    let Some(address) = loopback(base_url) else {
        return Finding::ok(subject, format!("{base_url}, not asked (--online does)"));
    };
    match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Finding::ok(subject, format!("{base_url} accepts connections")),
        Ok(Err(error)) => Finding::fail(subject, format!("{base_url}: {error}"), "start it, or correct base_url"),
        Err(_) => Finding::fail(subject, format!("{base_url} does not accept a connection"), "is it stuck?"),
    }
}

async fn asked(
    subject: String,
    (kind, settings): (Kind, &mainstay_providers::Settings),
    dates: &mut Vec<Heard>,
) -> Finding {
    let base_url = settings.base_url.as_deref().unwrap_or_default();
    let reached = match reach(kind, settings).await {
        Ok(reached) => reached,
        Err(error) => {
            let advice = "look at the network, the proxy, base_url and the system's certificates";
            return Finding::fail(subject, format!("{base_url}: {error}"), advice);
        }
    };
    let heard = |date| Heard { provider: settings.name.clone(), date, at_ms: System.now().0 };
    dates.extend(reached.date.map(heard));
    let found = format!("{base_url} answers {}", reached.status);
    match reached.status {
        200..=299 => Finding::ok(subject, format!("{base_url} lists its models")),
        401 | 403 => Finding::fail(subject, format!("{found}: it does not take the key"), "correct api_key"),
        404 | 405 => Finding::ok(subject, format!("{found}: it has no list of models")),
        429 => Finding::warn(subject, format!("{found}: too many requests"), "wait, or raise the account's limits"),
        _ => Finding::warn(subject, found, "correct base_url, or wait until it is well"),
    }
}

/// The address of a server on this machine.
fn loopback(base_url: &str) -> Option<SocketAddr> {
    let (scheme, rest) = base_url.split_once("://")?;
    let host = rest.split(['/', '?']).next()?;
    let host = host.replacen("localhost", "127.0.0.1", 1);
    let port = if scheme == "https" { 443 } else { 80 };
    let address: SocketAddr = host.parse().or_else(|_| format!("{host}:{port}").parse()).ok()?;
    address.ip().is_loopback().then_some(address)
}

#[cfg(test)]
mod tests {
    use super::loopback;

    #[test]
    fn only_this_machine_is_near() {
        for (base_url, expected) in [
            ("http://127.0.0.1:8000/v1", Some("127.0.0.1:8000")),
            ("http://localhost:8000/v1", Some("127.0.0.1:8000")),
            ("https://localhost/v1?a=b", Some("127.0.0.1:443")),
            ("http://[::1]:8000", Some("[::1]:8000")),
            ("http://localhost.example:8000/v1", None),
            ("http://10.0.0.1:8000/v1", None),
            ("https://api.example/v1", None),
        ] {
            assert_eq!(loopback(base_url), expected.map(|text| text.parse().unwrap()), "{base_url}");
        }
    }
}
