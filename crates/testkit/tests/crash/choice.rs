//! Which crashes of a recording are looked at: of each moment the death of the process, the loss of all that was not
//! synced, and some of the ways in which a part of it may be left. The same seed gives the same choice.

use std::ops::RangeInclusive;

use mainstay_interposer::Op;
use mainstay_testkit::store::random::Random;

use crate::{
    disk::{Disk, Fate, Remains},
    life::Mark,
};

/// How far calls have come at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) made: usize,
    pub(crate) answered: usize,
}

impl Progress {
    /// Takes a mark into account.
    pub(crate) fn see(&mut self, op: &Op) {
        if let Op::Mark(number) = op {
            match Mark::read(*number) {
                Mark::Made { call } => self.made = self.made.max(call + 1),
                Mark::Answered { call, .. } => self.answered = self.answered.max(call + 1),
            }
        }
    }

    /// How many calls may have been applied.
    pub(crate) const fn calls(&self) -> RangeInclusive<usize> {
        self.answered..=self.made
    }
}

/// Walks through a recording; `look` is called after each change (and each answer) with the disk as it is then.
pub(crate) fn walk(
    (mut disk, mut progress): (Disk, Progress),
    ops: &[Op],
    mut look: impl FnMut(usize, &Disk, Progress),
) {
    for (at, op) in ops.iter().enumerate() {
        let changed = disk.apply(op);
        let answered = progress.answered;
        progress.see(op);
        if changed || progress.answered > answered {
            look(at, &disk, progress);
        }
    }
}

/// How a crash came about, for a message, and what it left.
pub(crate) type Crash = (String, Remains);

/// The death of the process, the loss of everything unsynced, and `some` ways in between.
pub(crate) fn crashes(disk: &Disk, some: usize, seed: u64) -> impl Iterator<Item = Crash> {
    let count = disk.unsynced();
    let killed = std::iter::once_with(|| ("killed".to_owned(), disk.killed()));
    let lost =
        std::iter::once_with(move || ("all unsynced lost".to_owned(), disk.lost_power(&vec![Fate::Dropped; count])));
    let some = if count == 0 { 0 } else { some };
    let between = (0..some).map(move |number| {
        let fates = fates(count, &mut Random::new(seed.wrapping_mul(1_000_003).wrapping_add(number as u64)));
        (format!("{fates:?}"), disk.lost_power(&fates))
    });
    killed.chain(lost).chain(between)
}

/// One way in which `count` unsynced changes may be left.
fn fates(count: usize, random: &mut Random) -> Vec<Fate> {
    let mut fates = vec![Fate::Dropped; count];
    let one = random.below(count as u64) as usize;
    match random.below(8) {
        0 => fates[one] = Fate::Kept,
        1 => {
            fates.fill(Fate::Kept);
            fates[one] = Fate::Dropped;
        }
        2 => fates.fill_with(|| if random.percent(50) { Fate::Kept } else { Fate::Dropped }),
        3 => {
            fates[..one].fill(Fate::Kept);
            fates[one] = Fate::Begun(random.number());
        }
        4 => {
            fates[..one].fill(Fate::Kept);
            fates[one..].fill_with(|| if random.percent(30) { Fate::Kept } else { Fate::Dropped });
        }
        5 => {
            fates.fill(Fate::Kept);
            fates[one] = Fate::Torn(random.number());
        }
        6 => fates.fill_with(|| match random.below(5) {
            0 => Fate::Dropped,
            1 => Fate::Torn(random.number()),
            2 => Fate::Begun(random.number()),
            3 => Fate::Zeroed,
            _ => Fate::Kept,
        }),
        _ => {
            fates.fill(Fate::Kept);
            fates[one] = Fate::Zeroed;
        }
    }
    fates
}
