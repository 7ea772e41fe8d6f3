//! The server that runs on the data directory, if any: asked over HTTP like any client asks it.

use std::net::SocketAddr;

use super::{World, finding::Finding};
use crate::loopback;

const SUBJECT: &str = "server";

pub(super) async fn examine(world: &World) -> Finding {
    let Some(running) = &world.running else {
        return Finding::ok(SUBJECT, "none runs on this data directory");
    };
    let found = format!("process {} at {}", running.pid, running.url);
    let Some(address) = address(&running.url) else {
        return Finding::ok(SUBJECT, format!("{found}; it does not listen on loopback and was not asked"));
    };
    match loopback::get(address, "/readyz", None).await {
        Ok(answer) if answer.status == 200 => Finding::ok(SUBJECT, format!("{found}; it is ready")),
        Ok(answer) => {
            Finding::warn(SUBJECT, format!("{found}; it answers {}", answer.status), "wait: it is starting or stopping")
        }
        Err(error) => {
            let advice =
                format!("look at its log; if process {} is another program's, start the server anew", running.pid);
            Finding::fail(SUBJECT, format!("{found}; {error:#}"), advice)
        }
    }
}

/// Where to ask; `None` where that is not on loopback.
fn address(url: &str) -> Option<SocketAddr> {
    let address: SocketAddr = url.strip_prefix("http://")?.parse().ok()?;
    address.ip().is_loopback().then_some(address)
}
