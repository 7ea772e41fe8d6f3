//! A server that is a process: started with a cleared environment in a process group of its own, spoken to over its
//! standard input and output, killed with its group.

use std::{io, path::Path, process::Stdio, time::Duration};

use rmcp::{
    RoleClient,
    model::{ClientRequest, GetExtensions as _, JsonRpcMessage},
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::{Transport, async_rw::AsyncRwTransport},
};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::{
    settings::{Reach, Secret},
    wire::Travelling,
};
use crate::Error;

/// Between the end of its input and its death.
const GRACE: Duration = Duration::from_secs(2);
/// Bytes of one line: as one answer over HTTP.
const MAX_LINE_BYTES: usize = super::wire::MAX_JSON_BYTES;

/// A process and all that it starts; gone when this is dropped.
struct Group {
    child: Child,
    group: Option<Pid>,
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.start_kill();
    }
}

/// The transport to such a process.
pub(super) struct Process {
    lines: AsyncRwTransport<RoleClient, ChildStdout, ChildStdin>,
    group: Group,
}

/// Starts the process.
pub(super) fn start(reach: &Reach) -> Result<Process, Error> {
    let Reach::Stdio { launcher, program, arguments, environment, directory } = reach else {
        return Err(Error::Refused("no process is configured".to_owned()));
    };
    if !program.is_absolute() {
        return Err(Error::Refused(format!("program {} is no absolute path", program.display())));
    }
    let mut words = launcher.iter().map(|word| Path::new(word).as_os_str());
    let first = words.next();
    if let Some(first) = first
        && !Path::new(first).is_absolute()
    {
        return Err(Error::Refused(format!("launcher {} is no absolute path", first.display())));
    }
    let mut command = Command::new(first.unwrap_or(program.as_os_str()));
    command.args(words);
    if first.is_some() {
        command.arg(program);
    }
    command.args(arguments).env_clear().envs(environment.iter().map(|(name, value)| (name, Secret::expose(value))));
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0).kill_on_drop(true);
    let unavailable = |why: &dyn std::fmt::Display| Error::Unavailable(format!("{}: {why}", program.display()));
    let mut child = command.spawn().map_err(|why| unavailable(&why))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(unavailable(&"it has no standard input and output"));
    };
    let lines = AsyncRwTransport::new_client(output, input).with_max_line_length(MAX_LINE_BYTES);
    Ok(Process { lines, group: Group { child, group } })
}

impl Transport<RoleClient> for Process {
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        if let JsonRpcMessage::Request(request) = &item
            && let ClientRequest::CallToolRequest(call) = &request.request
            && let Some(travelling) = call.extensions().get::<Travelling>()
        {
            travelling.left.set();
        }
        let sent = self.lines.send(item);
        async move { sent.await.map_err(io::Error::other) }
    }

    fn receive(&mut self) -> impl Future<Output = Option<RxJsonRpcMessage<RoleClient>>> + Send {
        self.lines.receive()
    }

    /// Closes its standard input and lets it end by itself for a moment.
    async fn close(&mut self) -> Result<(), Self::Error> {
        let closed = self.lines.close().await.map_err(io::Error::other);
        let _ = timeout(GRACE, self.group.child.wait()).await;
        closed
    }
}
