//! The tools that agents may use, out of the configuration: MCP servers by name, and how others are reached by address.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use mainstay_runtime::hands::{Configured, Dial, Hands, Target};
use mainstay_tools::{
    Failure, Toolbox,
    egress::{Guard, Rules, SystemNames},
    mcp::{Server, Settings, Transport},
    seam::Secret,
};

use crate::config::{Config, McpServer};

/// Most servers whose connections are kept for the next call.
const MAX_DIALED: usize = 256;
/// How long a connection, with its greeting, may take.
const CONNECT: Duration = Duration::from_secs(30);

/// Where tools are found.
pub(crate) fn of(config: &Config) -> Result<Hands> {
    let mut hands = Hands::default();
    for server in &config.file.mcp {
        let configured = configured(config, server).with_context(|| format!("MCP server {:?}", server.name))?;
        if hands.configured.insert(server.name.clone(), configured).is_some() {
            bail!("two MCP servers are named {:?}", server.name);
        }
    }
    let egress = &config.file.egress;
    let private = egress.private.iter().map(|network| network.parse().map_err(|why: String| anyhow!(why)));
    let private = private.collect::<Result<_>>().context("egress.private")?;
    if egress.any_server {
        let guard = Guard::new(Rules { hosts: egress.hosts.clone(), private }, Arc::new(SystemNames));
        hands.dial = Some(Arc::new(Dialer { guard, dialed: Mutex::default() }));
    }
    Ok(hands)
}

fn configured(config: &Config, server: &McpServer) -> Result<Configured> {
    let transport = match (&server.url, &server.command) {
        (Some(url), None) => {
            let bearer = server.bearer.as_ref().map(|bearer| bearer.read(&config.environment)).transpose()?;
            // Whoever writes the configuration chooses the address.
            let everywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|network| network.parse().ok()).collect();
            Transport::Http {
                url: url.clone(),
                headers: server.headers.clone(),
                secret: bearer.map(Secret::new),
                guard: Guard::new(Rules { hosts: Vec::new(), private: everywhere }, Arc::new(SystemNames)),
            }
        }
        (None, Some(command)) => {
            let Some((program, arguments)) = command.split_first() else { bail!("command is empty") };
            Transport::Stdio {
                program: PathBuf::from(program),
                arguments: arguments.to_vec(),
                environment: server.environment.clone(),
            }
        }
        _ => bail!("give it either a url or a command"),
    };
    let settings = Settings { name: server.name.clone(), transport, connect: CONNECT };
    let toolbox = Server::new(settings).map_err(|failure| anyhow!(failure.message))?;
    Ok(Configured { toolbox: Arc::new(toolbox), classes: server.classes.clone() })
}

/// Reaches servers by their address, and keeps the connections of those used last.
struct Dialer {
    guard: Guard,
    dialed: Mutex<Vec<(Target, Arc<dyn Toolbox>)>>,
}

impl Dial for Dialer {
    fn dial(&self, target: Target) -> Result<Arc<dyn Toolbox>, Failure> {
        let mut dialed = self.dialed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = dialed.iter().position(|(known, _)| *known == target) {
            let found = dialed.remove(index);
            let toolbox = Arc::clone(&found.1);
            dialed.push(found);
            return Ok(toolbox);
        }
        let Target { url, headers, secret, .. } = target.clone();
        let transport = Transport::Http { url: url.clone(), headers, secret, guard: self.guard.clone() };
        let toolbox: Arc<dyn Toolbox> = Arc::new(Server::new(Settings { name: url, transport, connect: CONNECT })?);
        if dialed.len() >= MAX_DIALED {
            dialed.remove(0);
        }
        dialed.push((target, Arc::clone(&toolbox)));
        Ok(toolbox)
    }
}
