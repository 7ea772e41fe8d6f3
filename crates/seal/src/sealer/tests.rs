//! Sealed events and pieces open where they belong, and nowhere else.

use super::*;
use crate::{
    Keyring,
    testing::{Seeded, header, sealer, session, tenant},
};
use data_encoding::HEXLOWER;

const PREVIOUS: Hash = [0x22; 32];
/// Made by the first version of this crate. Never change these.
const GOLDEN_EVENT: &str = "01ac020701fbbcd9f29e34000764656661756c740e6b65795f303132333435363738399392c4497b621de722\
    2222222222222222222222222222222222222222222222222222222222222219c710a50b7d6409931995bb6aa9170152\
    e3a4b170ad194afc009eca9653152f334cc1729a2919b2842599b59209c2248866202278deca6b";
const GOLDEN_PIECE: &str = "819392c4497b621de7bde4f9359ab3d09015b59048e0f4b7028102711e3509c00c2309abfbd98c274aac256c36";
const GOLDEN_HASH: &str = "4354cd2b0fde73c126b5e0a4b678584e080c4ee600e50ef9f52fc6a42e20c635";

#[test]
fn an_event_opens_as_it_was_sealed() {
    let (sealer, entropy) = (sealer(1, 1), Seeded::new(1));
    for length in [0, 1, 15, 16, 300, 100_000] {
        let plaintext = vec![0x5a; length];
        let (bytes, hash) = sealer.seal_event(&header(9), &PREVIOUS, &plaintext, &entropy);
        let expected = Opened { header: header(9), previous: PREVIOUS, hash, plaintext };
        assert_eq!(sealer.open_event(&bytes).unwrap(), expected);
    }
}

#[test]
fn names_of_any_length_are_sealed() {
    let (sealer, entropy) = (sealer(1, 1), Seeded::new(1));
    for length in [0, 127, 128, 400, 401, 402, 430, 512, 70_000] {
        let header = Header { tenant: tenant(&"t".repeat(length)), ..header(1) };
        let (bytes, _) = sealer.seal_event(&header, &PREVIOUS, b"event", &entropy);
        assert_eq!(sealer.open_event(&bytes).unwrap().header, header);
    }
}

#[test]
fn every_truncation_flipped_bit_and_added_byte_of_an_event_is_refused() {
    let sealer = sealer(1, 1);
    let (whole, _) = sealer.seal_event(&header(300), &PREVIOUS, b"an event", &Seeded::new(1));
    for length in 0..whole.len() {
        assert!(sealer.open_event(&whole[..length]).is_err(), "{length} bytes");
    }
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(sealer.open_event(&flipped).is_err(), "bit {bit}");
    }
    let longer = [&whole[..], &[0]].concat();
    assert!(matches!(sealer.open_event(&longer), Err(Error::Damaged)));
}

#[test]
fn every_truncation_flipped_bit_and_other_context_of_a_piece_is_refused() {
    let sealer = sealer(1, 1);
    let whole = sealer.seal(b"slice 4", b"a piece", &Seeded::new(1));
    assert_eq!(sealer.open(b"slice 4", &whole).unwrap(), b"a piece");
    assert_eq!(whole.len(), 7 + 37);
    for length in 0..whole.len() {
        assert!(sealer.open(b"slice 4", &whole[..length]).is_err(), "{length} bytes");
    }
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(sealer.open(b"slice 4", &flipped).is_err(), "bit {bit}");
    }
    for context in [&b""[..], b"slice 5", b"slice 44", &[0; 1_000]] {
        assert!(matches!(sealer.open(context, &whole), Err(Error::Damaged)));
    }
    let long = [7; 1_000];
    assert_eq!(sealer.open(&long, &sealer.seal(&long, b"", &Seeded::new(2))).unwrap(), b"");
}

#[test]
fn what_one_session_sealed_does_not_open_in_another() {
    let (mine, other, entropy) = (sealer(1, 1), sealer(1, 2), Seeded::new(1));
    let (event, _) = mine.seal_event(&header(1), &PREVIOUS, b"mine", &entropy);
    assert!(matches!(other.open_event(&event), Err(Error::Damaged)));
    let piece = mine.seal(b"", b"mine", &entropy);
    assert!(matches!(other.open(b"", &piece), Err(Error::Damaged)));
}

#[test]
fn another_key_is_named_and_refused() {
    let (mine, other, entropy) = (sealer(1, 1), sealer(2, 1), Seeded::new(1));
    let (event, _) = mine.seal_event(&header(1), &PREVIOUS, b"mine", &entropy);
    let piece = mine.seal(b"", b"mine", &entropy);
    for refused in [other.open_event(&event).unwrap_err(), other.open(b"", &piece).unwrap_err()] {
        let Error::WrongKey { found, held } = refused else { panic!("{refused}") };
        assert_eq!((found, held), (mine.key_id(), other.key_id()));
        assert_eq!(found.to_string(), "0101010101010101");
    }
}

#[test]
fn an_event_is_no_piece_and_equal_plaintexts_look_different() {
    let (sealer, entropy) = (sealer(1, 1), Seeded::new(1));
    let (first, hash) = sealer.seal_event(&header(1), &PREVIOUS, b"same", &entropy);
    let (second, other) = sealer.seal_event(&header(1), &PREVIOUS, b"same", &entropy);
    assert!(first != second && hash != other);
    assert!(matches!(sealer.open(b"", &first), Err(Error::Damaged)));
    let piece = sealer.seal(b"", b"same", &entropy);
    assert!(matches!(sealer.open_event(&piece), Err(Error::Damaged)));
}

#[test]
#[should_panic(expected = "bytes to seal")]
fn more_than_may_be_sealed_at_once_is_a_bug_of_the_caller() {
    sealer(1, 1).seal(b"", &vec![0; MAX_PLAINTEXT + 1], &Seeded::new(1));
}

#[test]
fn what_the_first_version_sealed_opens_for_ever() {
    let ring = Keyring::ephemeral([42; 32]);
    let event = HEXLOWER.decode(GOLDEN_EVENT.as_bytes()).unwrap();
    let piece = HEXLOWER.decode(GOLDEN_PIECE.as_bytes()).unwrap();
    let inspected = crate::inspect(&event).unwrap();
    let sealer = ring.opener(inspected.key, session(3)).unwrap();
    let opened = sealer.open_event(&event).unwrap();
    assert_eq!(opened.header, header(300));
    assert_eq!(opened.previous, PREVIOUS);
    assert_eq!(opened.plaintext, b"the first version wrote this");
    assert_eq!(HEXLOWER.encode(&opened.hash), GOLDEN_HASH);
    assert_eq!(inspected.hash, opened.hash);
    assert_eq!(sealer.open(b"context", &piece).unwrap(), b"and this");
    let again = ring.sealer(&tenant("default"), "subject", session(3), &Seeded::new(0)).unwrap();
    let (bytes, _) = again.seal_event(&opened.header, &PREVIOUS, &opened.plaintext, &Seeded::new(5));
    assert_eq!(HEXLOWER.encode(&bytes), GOLDEN_EVENT);
}
