//! The format and the chain, on whole, torn, mutated and invented bytes.

use std::sync::Arc;

use super::*;
use crate::{
    Entropy,
    testing::{Seeded, header, sealer, tenant},
};

const GENESIS: Hash = [0x11; 32];

fn journal(length: u64) -> Vec<Arc<[u8]>> {
    let (sealer, entropy) = (sealer(1, 1), Seeded::new(1));
    let mut previous = GENESIS;
    let mut seal = |sequence| {
        let (bytes, hash) = sealer.seal_event(&header(sequence), &previous, b"event", &entropy);
        previous = hash;
        bytes
    };
    (1..=length).map(&mut seal).collect()
}

fn verify(journal: &[Arc<[u8]>]) -> Result<Hash, Error> {
    verify_chain(Sequence(1), GENESIS, journal.iter().map(AsRef::as_ref))
}

fn broken_at(journal: &[Arc<[u8]>]) -> u64 {
    match verify(journal) {
        Err(Error::Broken { sequence, .. }) => sequence.0,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_header_is_read_without_the_key() {
    let (sealer, entropy) = (sealer(1, 1), Seeded::new(1));
    for sequence in [1, 300, u64::MAX] {
        let header = Header {
            kind: u16::MAX,
            version: u8::MAX,
            labels: u32::MAX,
            at: Timestamp(u64::MAX),
            tenant: tenant("Zürich"),
            principal: Principal("".into()),
            ..header(sequence)
        };
        let (bytes, hash) = sealer.seal_event(&header, &GENESIS, b"secret", &entropy);
        let expected = Inspected { header, key: sealer.key_id(), previous: GENESIS, hash };
        assert_eq!(inspect(&bytes).unwrap(), expected);
        assert!(!bytes.windows(6).any(|window| window == b"secret"));
    }
}

#[test]
fn an_ordinary_event_costs_few_bytes_beside_its_plaintext() {
    let (bytes, _) = sealer(1, 1).seal_event(&header(10_000), &GENESIS, &[0; 300], &Seeded::new(1));
    assert_eq!(bytes.len() - 300, 103);
}

#[test]
fn a_chain_verifies_and_gives_its_last_hash() {
    let journal = journal(20);
    assert_eq!(verify(&journal).unwrap(), inspect(&journal[19]).unwrap().hash);
    assert_eq!(verify(&[]).unwrap(), GENESIS);
    let rest = journal[5..].iter().map(AsRef::as_ref);
    let middle = inspect(&journal[4]).unwrap().hash;
    assert_eq!(verify_chain(Sequence(6), middle, rest).unwrap(), verify(&journal).unwrap());
}

#[test]
fn a_chain_breaks_where_an_envelope_is_missing_moved_or_another() {
    let whole = journal(9);
    let (mut missing, mut swapped, mut another) = (whole.clone(), whole.clone(), whole.clone());
    missing.remove(3);
    assert_eq!(broken_at(&missing), 4);
    swapped.swap(3, 4);
    assert_eq!(broken_at(&swapped), 4);
    let sealer = sealer(1, 1);
    another[3] = sealer.seal_event(&header(4), &GENESIS, b"event", &Seeded::new(2)).0;
    assert_eq!(broken_at(&another), 4);
    let previous = inspect(&whole[2]).unwrap().hash;
    another[3] = sealer.seal_event(&header(4), &previous, b"other", &Seeded::new(2)).0;
    assert_eq!(broken_at(&another), 5);
    assert_eq!(broken_at(&whole[1..]), 1);
}

#[test]
fn any_flipped_bit_breaks_the_chain_or_changes_its_last_hash() {
    let whole = journal(3);
    let last = verify(&whole).unwrap();
    for index in 0..3 {
        for bit in 0..whole[index].len() * 8 {
            let mut flipped = whole.clone();
            Arc::make_mut(&mut flipped[index])[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(verify(&flipped).ok(), Some(last), "envelope {index} bit {bit}");
        }
    }
}

#[test]
fn the_sequence_after_the_last_one_is_no_sequence() {
    let (sealer, entropy) = (sealer(1, 1), Seeded::new(1));
    let (end, hash) = sealer.seal_event(&header(u64::MAX), &GENESIS, b"", &entropy);
    let (again, _) = sealer.seal_event(&header(u64::MAX), &hash, b"", &entropy);
    let verify = |chain: &[&[u8]]| verify_chain(Sequence(u64::MAX), GENESIS, chain.iter().copied());
    assert_eq!(verify(&[&end]).unwrap(), hash);
    assert!(matches!(verify(&[&end, &again]), Err(Error::Broken { .. })));
}

fn mutate(bytes: &mut Vec<u8>, entropy: &Seeded) {
    let place = entropy.below(bytes.len() + 1);
    match entropy.below(4) {
        0 => bytes.insert(place, entropy.number() as u8),
        1 => bytes.truncate(place),
        _ if place < bytes.len() => bytes[place] = entropy.number() as u8,
        _ => {}
    }
}

#[test]
fn parsing_is_total_over_invented_and_mutated_bytes() {
    let (sealer, entropy) = (sealer(1, 1), Seeded::new(3));
    let (whole, _) = sealer.seal_event(&header(77), &GENESIS, b"event", &entropy);
    for round in 0..50_000 {
        let mut bytes = whole.to_vec();
        if round % 2 == 0 {
            bytes.resize(1 + entropy.below(160), 0);
            entropy.fill(&mut bytes[1..]);
        }
        for _ in 0..=entropy.below(3) {
            mutate(&mut bytes, &entropy);
        }
        let _ = inspect(&bytes);
        assert!(bytes[..] == whole[..] || sealer.open_event(&bytes).is_err());
        assert!(sealer.open(b"", &bytes).is_err());
    }
}

#[test]
fn what_is_read_is_what_would_be_written_again() {
    let (whole, _) = sealer(1, 1).seal_event(&header(77), &GENESIS, b"event", &Seeded::new(4));
    let mut readable = 0;
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let Ok(parts) = Parts::read(&flipped) else { continue };
        let mut again = Authenticated::new(&crate::testing::session(1));
        again.push_head(&parts.header(), parts.key, &parts.previous());
        assert_eq!(again.after_session(), parts.head, "bit {bit}");
        readable += 1;
    }
    assert!(readable > 500, "{readable}");
}
