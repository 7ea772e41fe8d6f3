//! Each `golden/decode/*.sse` gives the chunks of its `.jsonl`, however the bytes are cut.

use std::fs;

use mainstay_providers::openai_chat::decode::Decoder;
use mainstay_vocabulary::inference::{Chunk, Failure};

use crate::{golden, lines};

/// Decodes pieces as a client does: stops at a failure or when the stream says so.
pub(crate) fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Chunk>, Option<Failure>) {
    let (mut decoder, mut out) = (Decoder::default(), Vec::new());
    for piece in pieces {
        if let Err(failure) = decoder.push(piece, &mut out) {
            return (out, Some(failure));
        }
        if decoder.is_done() {
            break;
        }
    }
    let failure = decoder.finish(&mut out).err();
    (out, failure)
}

fn decoded<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let (chunks, failure) = decode(pieces);
    lines(&chunks, failure.as_ref())
}

#[test]
fn streams_give_their_golden_chunks() {
    let mut wrong = Vec::new();
    for path in golden("decode", "sse") {
        let bytes = fs::read(&path).unwrap();
        let actual = decoded([&*bytes]);
        let expected = fs::read_to_string(path.with_extension("jsonl")).unwrap_or_default();
        if actual != expected {
            wrong.push(format!("{}\n{actual}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "these streams gave something else:\n{}", wrong.join("\n"));
}

#[test]
fn cuts_do_not_matter() {
    for path in golden("decode", "sse") {
        let bytes = fs::read(&path).unwrap();
        let expected = decoded([&*bytes]);
        for cut in 0..=bytes.len() {
            let (before, after) = bytes.split_at(cut);
            assert_eq!(decoded([before, after]), expected, "{} cut at {cut}", path.display());
        }
        assert_eq!(decoded(bytes.chunks(1)), expected, "{} byte by byte", path.display());
    }
}

#[test]
fn every_golden_expectation_has_its_stream() {
    for path in golden("decode", "jsonl") {
        assert!(path.with_extension("sse").exists(), "{}", path.display());
    }
}
