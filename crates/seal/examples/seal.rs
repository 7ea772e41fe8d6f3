//! How long sealing, opening, verifying and digesting take, one thread. Run it with `--release`.
#![allow(clippy::unwrap_used, reason = "an example that stops at the first error")]
#![allow(clippy::disallowed_methods, reason = "it measures time, and has no runtime that would hand it entropy")]

use std::{hint::black_box, time::Instant};

use mainstay_seal::{Entropy, Header, Keyring, inspect, verify_chain};
use mainstay_vocabulary::{Principal, Sequence, SessionId, Shard, Tenant, Timestamp};
use ring::rand::{SecureRandom, SystemRandom};

const ROUNDS: usize = 200_000;
const PASSES: usize = 5;

struct System(SystemRandom);

impl Entropy for System {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.fill(bytes).unwrap();
    }
}

/// Costs next to nothing, to show the sealing itself; never for anything else.
struct Zeroes;

impl Entropy for Zeroes {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

/// Best of some passes, in nanoseconds a round.
fn measure(what: &str, mut round: impl FnMut()) {
    let pass = |_| {
        let started = Instant::now();
        (0..ROUNDS).for_each(|_| round());
        started.elapsed().as_nanos() / ROUNDS as u128
    };
    let best = (0..PASSES).map(pass).min().unwrap();
    println!("{what:<44} {best:>6} ns");
}

fn main() {
    let ring = Keyring::ephemeral([1; 32]);
    let tenant = Tenant("default".into());
    let session = SessionId::new(Shard(0), [1; 16]);
    let system = System(SystemRandom::new());
    let sealer = ring.sealer(&tenant, "subject", session, &system).unwrap();
    let header = Header {
        sequence: Sequence(1_000),
        kind: 7,
        version: 1,
        at: Timestamp(1_795_000_000_123),
        tenant: tenant.clone(),
        principal: Principal("key_0123456789".into()),
        labels: 0,
    };
    let plaintext = [0x5a; 300];
    let (event, _) = sealer.seal_event(&header, &[0; 32], &plaintext, &system);
    let piece = sealer.seal(b"slice", &plaintext, &system);
    println!("overhead of an event: {} bytes", event.len() - plaintext.len());
    measure("seal_event, 300 bytes", || drop(black_box(sealer.seal_event(&header, &[0; 32], &plaintext, &Zeroes))));
    measure("seal_event, 300 bytes, system's entropy", || {
        drop(black_box(sealer.seal_event(&header, &[0; 32], &plaintext, &system)));
    });
    measure("open_event", || drop(black_box(sealer.open_event(&event))));
    measure("inspect", || drop(black_box(inspect(&event))));
    measure("verify_chain, one envelope", || {
        let _ = black_box(verify_chain(header.sequence, [0; 32], [&event[..]].into_iter()));
    });
    measure("seal, 300 bytes", || drop(black_box(sealer.seal(b"slice", &plaintext, &Zeroes))));
    measure("open", || drop(black_box(sealer.open(b"slice", &piece))));
    measure("sealer of a known subject", || drop(black_box(ring.sealer(&tenant, "subject", session, &system))));
    measure("digest, two parts", || {
        black_box(ring.digest(&tenant, "request", &[b"key", &plaintext]));
    });
}
