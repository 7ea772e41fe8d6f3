//! What one tool call costs this process in CPU time, over HTTP (`cost http://…`) or stdio (`cost /program argument…`)
//! against a server that answers `{"name":"echo"}` at once. Prints microseconds; asserts nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use mainstay_tools::{
    Call, Step, Toolbox as _,
    egress::{Guard, NoLedger, Otherwise, Rules, SystemNames},
    mcp::{McpServer, Protocol, Reach, Settings, Timeouts},
};
use mainstay_vocabulary::Object;

/// Calls that are measured, after as many that warm up.
const CALLS: u32 = 5_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut words = std::env::args().skip(1);
    let first = words.next().expect("an address or a program");
    let reach = if first.starts_with("http") {
        let rules = Rules::new(Otherwise::Allow).allow_private(["127.0.0.0/8"]).unwrap();
        let guard = Guard::new(rules, Arc::new(SystemNames), Arc::new(NoLedger)).unwrap();
        Reach::Http { url: first, headers: Vec::new(), guard, oauth: None }
    } else {
        Reach::Stdio {
            launcher: Vec::new(),
            program: PathBuf::from(first),
            arguments: words.collect(),
            environment: Vec::new(),
            directory: None,
        }
    };
    let settings =
        Settings { name: "cost".to_owned(), reach, protocol: Protocol::V2025_11_25, timeouts: Timeouts::default() };
    let server = McpServer::new(settings).unwrap();
    calls(&server).await;
    let before = ticks();
    calls(&server).await;
    // The kernel counts hundredths of a second.
    println!("{} µs of CPU for each of {CALLS} calls", (ticks() - before) * 10_000 / u64::from(CALLS));
}

async fn calls(server: &McpServer) {
    for number in 0..CALLS {
        let call = Call {
            tool: "echo".to_owned(),
            arguments: Object::new(),
            idempotency_key: format!("key-{number}"),
            timeout: Duration::from_secs(10),
            meta: Object::new(),
        };
        let steps: Vec<Step> = server.call(call).collect().await;
        assert!(matches!(steps.last(), Some(Step::Ended(Ok(_)))), "{steps:?}");
    }
}

/// User and system time of this process.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
