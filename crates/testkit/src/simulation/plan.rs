//! What one seed does: how many steps, which faults and how often. Each seed has its own subset of the faults.

use mainstay_runtime::fault::Bug;

use crate::store::random::Random;

/// Fewest steps of a seed: client actions, faults, crashes, waits.
const STEPS: u64 = 200;
/// Of a hundred seeds, those that have a given fault at all.
const HAS_FAULT: u64 = 40;

/// When the faults end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Faults to the last step, then a crash: what stands in the journal then must be safe.
    Safety,
    /// Faults end after two thirds of the steps: the process that runs then must bring everything to rest.
    Liveness,
}

/// What one seed does. Chances are in percent.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The planted bug.
    pub bug: Option<Bug>,
    /// When the faults end.
    pub mode: Mode,
    /// How many steps.
    pub steps: u64,
    /// Most sessions.
    pub sessions: usize,
    /// Most nodes at once; 1: the store is one process's at a time.
    pub nodes: usize,
    /// A node is cut off from the store for a while, per step; clusters only.
    pub cut: u64,
    /// A letter between nodes or its answer is lost, per letter; clusters only.
    pub lost_letter: u64,
    /// Whether the provider can continue a prefix.
    pub continues_prefix: bool,
    /// How often steps follow each other without time passing.
    pub hurry: u64,
    /// The process dies, per step.
    pub crash: u64,
    /// Another process takes the shard and this one does not know, per step.
    pub takeover: u64,
    /// The process is stopped in order, per step.
    pub drain: u64,
    /// The disk is full for a while, per step.
    pub full: u64,
    /// The store cannot be written to for a while, per step.
    pub outage: u64,
    /// Whether it cannot be read either.
    pub blind: bool,
    /// A write takes time, per write.
    pub slow_write: u64,
    /// A write is applied, and nobody is told, per write.
    pub lost_acknowledgement: u64,
    /// A write is not applied, and nobody is told, per write.
    pub lost_write: u64,
    /// An inference fails, per inference.
    pub failure: u64,
    /// An inference hangs until it is cancelled, per inference.
    pub hang: u64,
    /// A client does not wait for its answer, per command.
    pub impatience: u64,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = Random::new(seed ^ 0x5eed_0000_0000_0000);
        let random = &mut random;
        let mut chance = |most: u64| if random.percent(HAS_FAULT) { 1 + random.below(most) } else { 0 };
        let (crash, takeover, drain) = (chance(4), chance(2), chance(1));
        let (full, outage, slow_write) = (chance(4), chance(4), chance(60));
        let (lost_acknowledgement, lost_write) = (chance(15), chance(15));
        let (failure, hang, impatience) = (chance(40), chance(5), chance(20));
        Self {
            seed,
            bug,
            mode: if random.percent(50) { Mode::Safety } else { Mode::Liveness },
            steps: STEPS + random.below(60),
            sessions: 2 + random.below(4) as usize,
            nodes: 1,
            cut: 0,
            lost_letter: 0,
            continues_prefix: random.percent(50),
            hurry: 10 + random.below(60),
            crash,
            takeover,
            drain,
            full,
            outage,
            blind: random.percent(30),
            slow_write,
            lost_acknowledgement,
            lost_write,
            failure,
            hang,
            impatience,
        }
    }

    /// The plan of a seed with several nodes: nodes die, leave, come, lose the store, each other, and answers.
    pub fn of_cluster(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = Random::new(seed ^ 0xc105_7e50_0000_0000);
        let mut chance = |most: u64| if random.percent(HAS_FAULT) { 1 + random.below(most) } else { 0 };
        let (crash, drain, cut, lost_letter) = (chance(3), chance(3), chance(4), chance(20));
        let nodes = 2 + random.below(2) as usize;
        let sessions = 4 + random.below(6) as usize;
        let mode = Mode::Liveness;
        Self { mode, nodes, sessions, crash, drain, cut, lost_letter, takeover: 0, ..Self::of(seed, bug) }
    }

    /// How many steps have faults.
    pub const fn faulty_steps(&self) -> u64 {
        match self.mode {
            Mode::Safety => self.steps,
            Mode::Liveness => self.steps * 2 / 3,
        }
    }
}
