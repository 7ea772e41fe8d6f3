//! Bytes that no honest server sends: the decoder never panics, keeps the rules of `Delta`, and stays in bounds.

use std::fs;

use mainstay_providers::{
    http::decode::{Decoder, MAX_BYTES, MAX_ITEMS, MAX_LINE_BYTES},
    openai_chat,
};
use mainstay_vocabulary::inference::{Chunk, Delta, FailureKind};

use crate::{CODECS, decode::decode, golden};

const SEED: u64 = 0x5eed_0001;
const ROUNDS: usize = 20_000;

/// Xorshift: all a test needs, and it replays.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Started once, in order; text never empty and only while open; done once; all closed before the end.
pub(crate) fn check(chunks: &[Chunk], is_whole: bool) {
    let mut open: Vec<bool> = Vec::new();
    for (place, chunk) in chunks.iter().enumerate() {
        match chunk {
            Chunk::Delta(Delta::Started { index, .. }) => {
                assert_eq!(*index as usize, open.len());
                open.push(true);
            }
            Chunk::Delta(Delta::Text { index, text }) => assert!(open[*index as usize] && !text.is_empty()),
            Chunk::Delta(Delta::Done { index, .. }) => {
                assert!(open[*index as usize]);
                open[*index as usize] = false;
            }
            Chunk::Frame(frame) => panic!("{frame} for a request that is not verbatim"),
            Chunk::Delta(Delta::Logprobs { index, .. }) => assert!(open[*index as usize]),
            Chunk::Finished(_) => {
                assert_eq!(place, chunks.len() - 1);
                assert!(open.iter().all(|open| !open));
            }
        }
    }
    assert!(open.len() <= MAX_ITEMS as usize);
    assert_eq!(is_whole, matches!(chunks.last(), Some(Chunk::Finished(_))));
}

fn check_pieces(decoder: Decoder, bytes: &[u8], piece: usize) {
    let (chunks, failure) = decode(decoder, bytes.chunks(piece.max(1)));
    check(&chunks, failure.is_none());
}

#[test]
fn golden_streams_keep_the_rules() {
    for codec in &CODECS {
        for path in golden(codec.streams, "sse") {
            check_pieces((codec.decoder)(), &fs::read(path).unwrap(), 16);
        }
    }
}

#[test]
fn random_bytes_are_survived() {
    let mut random = Random(SEED);
    let words: [&[u8]; 8] = [b"data: ", b"{\"choices\":[", b"\n\n", b"\r\n", b"[DONE]", b"error: ", b"null", b"}]}"];
    for _ in 0..ROUNDS {
        let mut bytes = Vec::new();
        for _ in 0..random.below(30) {
            match random.below(3) {
                0 => bytes.push(random.next() as u8),
                _ => bytes.extend_from_slice(words[random.below(words.len())]),
            }
        }
        let piece = random.below(20);
        CODECS.iter().for_each(|codec| check_pieces((codec.decoder)(), &bytes, piece));
    }
}

#[test]
fn mutated_streams_are_survived() {
    let mut random = Random(SEED);
    for codec in &CODECS {
        let streams: Vec<Vec<u8>> = golden(codec.streams, "sse").iter().map(|path| fs::read(path).unwrap()).collect();
        for _ in 0..ROUNDS {
            let mut bytes = streams[random.below(streams.len())].clone();
            for _ in 0..=random.below(4) {
                mutate(&mut bytes, &mut random, &streams);
            }
            let piece = random.below(bytes.len());
            check_pieces((codec.decoder)(), &bytes, piece);
        }
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random, streams: &[Vec<u8>]) {
    let from = random.below(bytes.len());
    let to = (from + random.below(40)).min(bytes.len());
    match random.below(5) {
        0 => bytes.truncate(from),
        1 => drop(bytes.drain(from..to)),
        2 => bytes.extend_from_within(from..to),
        3 if !bytes.is_empty() => bytes[from] = random.next() as u8,
        _ => {
            let other = &streams[random.below(streams.len())];
            let line = other.split(|&byte| byte == b'\n').nth(random.below(6)).unwrap_or_default();
            let at = bytes[..from].iter().rposition(|&byte| byte == b'\n').map_or(0, |place| place + 1);
            let line: Vec<u8> = line.iter().copied().chain(*b"\n\n").collect();
            bytes.splice(at..at, line);
        }
    }
}

/// Feeds one piece over and over; gives the kind of failure and the bytes that were taken before it.
fn flood(first: &[u8], piece: &[u8]) -> (FailureKind, usize) {
    let (mut decoder, mut out, mut taken) = (openai_chat::decode::decoder(), Vec::new(), first.len());
    decoder.push(first, &mut out).unwrap();
    loop {
        if let Err(failure) = decoder.push(piece, &mut out) {
            check(&out, false);
            return (failure.kind, taken);
        }
        taken += piece.len();
        out.clear();
        assert!(taken <= MAX_BYTES, "no bound");
    }
}

#[test]
fn what_has_no_end_is_cut_off() {
    let piece = vec![b'a'; 1 << 20];
    for first in [&b"data: "[..], b": ", b"{"] {
        let (kind, taken) = flood(first, &piece);
        assert_eq!(kind, FailureKind::Protocol);
        assert!(taken <= MAX_LINE_BYTES);
    }
    let comments = b": wait\n".repeat(1 << 16);
    assert_eq!(flood(b": go\n", &comments).0, FailureKind::Protocol);
    let lines_of_one_event = [b"data: ".to_vec(), vec![b' '; 1 << 20], b"\n".to_vec()].concat();
    let (kind, taken) = flood(b"data: {\n", &lines_of_one_event);
    assert_eq!(kind, FailureKind::Protocol);
    assert!(taken <= MAX_LINE_BYTES + lines_of_one_event.len());
}

#[test]
fn items_without_end_are_cut_off() {
    let mut calls = String::new();
    for index in 0..=MAX_ITEMS {
        calls.push_str(&format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{{\"index\":{index},\"function\":{{\"name\":\"f\"}}}}]}}}}]}}\n\n"
        ));
    }
    let (chunks, failure) = decode(openai_chat::decode::decoder(), [calls.as_bytes()]);
    assert_eq!(failure.unwrap().kind, FailureKind::Protocol);
    assert_eq!(chunks.len(), MAX_ITEMS as usize);

    let turns = "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"a\",\"content\":\"b\"}}]}\n\n".repeat(200);
    let (chunks, failure) = decode(openai_chat::decode::decoder(), [turns.as_bytes()]);
    assert_eq!(failure.unwrap().kind, FailureKind::Protocol);
    check(&chunks, false);
}

#[test]
fn deep_nesting_is_refused() {
    let deep = format!("data: {{\"error\":{}\n\n", "[".repeat(100_000));
    for codec in &CODECS {
        assert_eq!(decode((codec.decoder)(), [deep.as_bytes()]).1.unwrap().kind, FailureKind::Protocol);
    }
}
