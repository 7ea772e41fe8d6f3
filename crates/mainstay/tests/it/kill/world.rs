//! One data directory, the clients that work on it and the processes that are killed under them.

use std::{
    collections::BTreeMap, fmt, os::unix::process::ExitStatusExt, process::ExitStatus, sync::Arc, time::Duration,
};

use mainstay_runtime::fault::{Bug, Point};
use tokio::{task::JoinSet, time::timeout};

use super::{
    agents,
    client::{Broken, Shared},
    responses,
};
use crate::{
    random::Random,
    server::{Home, Server},
};

/// What the model says. Slowly, so that there is something to interrupt.
pub(super) const ASIDE: &str = "Let me look into that with care. ";
pub(super) const ANSWER: &str = "The tools say that all is as it should be, and so do I.";
pub(super) const BREAKING: &str = "This goes on for a while, then breaks off, and goes on to its end.";
pub(super) const COUNTED: &str = " user messages are in this conversation, no more and no less, by my own count.";
pub(super) const BYE: &str = "So long.";
/// Most messages that it counts.
pub(super) const MOST_COUNTED: usize = 12;

/// Clients of each wire.
const CLIENTS: usize = 3;
/// Between two looks at a process that is to die.
const LOOK: Duration = Duration::from_millis(5);
/// How long a kill point may stay unreached; then the process is killed from outside and the point tried again.
const REACH_LOOKS: usize = 300;
/// How often.
const REACH_TRIES: usize = 8;
/// The longest time before a kill at a random moment, milliseconds.
const MOMENT_MS: usize = 500;
/// SIGKILL.
const KILLED: i32 = 9;
/// How long a client may take to come to an end once nothing is killed any more.
const CALM: Duration = Duration::from_secs(150);

/// A kill.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kill {
    /// At a commit point.
    At(Point),
    /// At a random moment.
    Anytime,
}

/// What happens to one data directory.
pub(super) struct Plan {
    pub(super) kills: Vec<Kill>,
    pub(super) bug: Option<Bug>,
    pub(super) patience: usize,
}

/// Kills by commit point, and what was checked after them.
#[derive(Default)]
pub(super) struct Tally {
    kills: BTreeMap<String, usize>,
    checked: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn count(&mut self, point: &str) {
        *self.kills.entry(point.to_owned()).or_default() += 1;
    }

    pub(super) fn kills_at(&self, point: Point) -> usize {
        self.kills.get(&format!("{point:?}")).copied().unwrap_or(0)
    }

    /// Adds to what was checked.
    pub(super) fn check(&mut self, what: &'static str, count: usize) {
        *self.checked.entry(what).or_default() += count;
    }

    /// How much of it was checked.
    pub(super) fn checked(&self, what: &str) -> usize {
        self.checked.get(what).copied().unwrap_or(0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kills:")?;
        for (point, count) in &self.kills {
            writeln!(f, "  {point:20} {count}")?;
        }
        writeln!(f, "  {:20} {}\nchecked after them:", "all", self.kills.values().sum::<usize>())?;
        for (what, count) in &self.checked {
            writeln!(f, "  {what:20} {count}")?;
        }
        Ok(())
    }
}

/// Runs a plan; what was found to be wrong.
pub(super) fn run(plan: &Plan, random: &mut Random, tally: &mut Tally) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut home = Home::new("kill", &script(), "");
    assert!(home.command("key").output().unwrap().status.success());
    let shared = Arc::new(Shared::new(home.key(), plan.patience));
    let broken = runtime.block_on(World { home: &home, plan, shared: Arc::clone(&shared) }.run(random, tally)).is_err();
    let mut findings = shared.findings();
    if broken && findings.is_empty() {
        findings.push("a client gave up".to_owned());
    }
    if !findings.is_empty() && plan.bug.is_none() {
        home.keep();
    }
    findings
}

fn script() -> String {
    let mut script = format!(
        r#"
continues_prefix = true
[[reply]]
when = {{ contains = "tools", after_tool = false }}
steps = [
  {{ reasoning = "I should ask.", delay_ms = 2 }},
  {{ text = "{ASIDE}", delay_ms = 3 }},
  {{ tool_call = {{ name = "lookup", arguments = {{ place = 1 }} }} }},
  {{ tool_call = {{ name = "lookup", arguments = {{ place = 2 }} }}, split = 4, delay_ms = 2 }},
]
[[reply]]
when = {{ contains = "tools", after_tool = true }}
steps = [{{ text = "{ANSWER}", delay_ms = 4 }}]
[[reply]]
when = {{ contains = "breaking" }}
steps = [{{ text = "{}", delay_ms = 4 }}, {{ break = true }}, {{ text = "{}", delay_ms = 4 }}]
[[reply]]
when = {{ contains = "farewell" }}
steps = [{{ text = "{BYE}" }}]
"#,
        &BREAKING[..40],
        &BREAKING[40..],
    );
    for turn in 1..=MOST_COUNTED {
        script.push_str(&format!(
            "[[reply]]\nwhen = {{ contains = \"count\", turn = {turn} }}\nsteps = [{{ text = \"{turn}{COUNTED}\", delay_ms = 4 }}]\n"
        ));
    }
    script + "[[reply]]\nrepeat = true\nsteps = [{ text = \"You said: \" }, { echo = true, delay_ms = 5 }]\n"
}

struct World<'a> {
    home: &'a Home,
    plan: &'a Plan,
    shared: Arc<Shared>,
}

impl World<'_> {
    async fn run(&self, random: &mut Random, tally: &mut Tally) -> Result<(), Broken> {
        let mut agents = JoinSet::new();
        let mut responses = JoinSet::new();
        for client in 0..CLIENTS {
            agents.spawn(agents::work(Arc::clone(&self.shared), random.split(), format!("a{client}")));
            responses.spawn(responses::work(Arc::clone(&self.shared), random.split(), format!("r{client}")));
        }
        for kill in &self.plan.kills {
            self.kill(*kill, random, tally).await?;
            self.shared.sound()?;
        }
        let mut server =
            self.start(None).map_err(|status| self.shared.find(format!("no start after kills: {status}")))?;
        self.shared.address.send_replace(Some(server.address));
        self.shared.calm.send_replace(true);
        while let Some(sessions) = self.finished(&mut agents).await? {
            for session in sessions {
                session.check(&self.shared, random, tally).await?;
            }
        }
        while let Some(chains) = self.finished(&mut responses).await? {
            for response in chains {
                response.check(&self.shared, random, tally).await?;
            }
        }
        let status = server.terminate().await;
        if !status.success() || self.home.log().contains("panicked") {
            return Err(self.shared.find(format!("the server ended with {status}\n{}", self.home.log())));
        }
        Ok(())
    }

    /// What the next client that comes to an end did.
    async fn finished<T: 'static>(
        &self,
        clients: &mut JoinSet<Result<Vec<T>, Broken>>,
    ) -> Result<Option<Vec<T>>, Broken> {
        let next = timeout(CALM, clients.join_next()).await;
        let next = next.map_err(|_| self.shared.find("a client does not come to an end".to_owned()))?;
        next.map(|work| work.map_err(|error| self.shared.find(error.to_string()))?).transpose()
    }

    /// Starts a process, waits until it is dead and counts the kill.
    async fn kill(&self, kill: Kill, random: &mut Random, tally: &mut Tally) -> Result<(), Broken> {
        let Kill::At(point) = kill else {
            let mut server = self.start(None).map_err(|status| self.shared.find(format!("no start: {status}")))?;
            self.shared.address.send_replace(Some(server.address));
            tokio::time::sleep(Duration::from_millis(random.below(MOMENT_MS) as u64)).await;
            self.shared.address.send_replace(None);
            server.kill();
            tally.count("a random moment");
            return Ok(());
        };
        for attempt in 0..REACH_TRIES {
            let passages = if attempt == 0 { 1 + random.below(usual_passages(point)) } else { 1 };
            match self.start(Some((point, passages))) {
                Ok(mut server) => {
                    self.shared.address.send_replace(Some(server.address));
                    let died = self.wait(&mut server).await?;
                    self.shared.address.send_replace(None);
                    server.kill();
                    let Some(status) = died else {
                        tally.count("a point in vain");
                        continue;
                    };
                    self.check_death(status)?;
                }
                Err(status) => self.check_death(status)?,
            }
            tally.count(&format!("{point:?}"));
            return Ok(());
        }
        Ok(())
    }

    /// Starts a process; its exit status if it died before it listened.
    fn start(&self, kill: Option<(Point, usize)>) -> Result<Server, ExitStatus> {
        let mut environment = Vec::new();
        if let Some((point, passages)) = kill {
            environment.push(("MAINSTAY_FAULT_KILL", format!("{point:?}:{passages}")));
        }
        if let Some(bug) = self.plan.bug {
            environment.push(("MAINSTAY_FAULT_BUG", format!("{bug:?}")));
        }
        self.home.start_with(&environment)
    }

    /// Waits until the process is dead; `None` if it goes on living.
    async fn wait(&self, server: &mut Server) -> Result<Option<ExitStatus>, Broken> {
        for _ in 0..REACH_LOOKS {
            if let Some(status) = server.ended() {
                return Ok(Some(status));
            }
            self.shared.sound()?;
            tokio::time::sleep(LOOK).await;
        }
        Ok(None)
    }

    fn check_death(&self, status: ExitStatus) -> Result<(), Broken> {
        if status.signal() == Some(KILLED) {
            return Ok(());
        }
        Err(self.shared.find(format!("the server ended by itself: {status}\n{}", self.home.log())))
    }
}

/// How often a point is passed in a short while.
const fn usual_passages(point: Point) -> usize {
    match point {
        Point::CommandDecided | Point::CommandCommitted => 12,
        Point::IntentDecided | Point::IntentCommitted | Point::OutcomeDecided | Point::OutcomeCommitted => 8,
        Point::FrameReady | Point::FrameCommitted => 60,
        Point::RecoveryDecided | Point::RecoveryCommitted => 2,
    }
}
