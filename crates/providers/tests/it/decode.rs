//! Each golden stream (`*.sse`) gives the chunks of its `.jsonl`, however the bytes are cut.

use std::fs;

use mainstay_providers::{http::decode::Decoder, openai_chat, openai_responses};
use mainstay_vocabulary::inference::{Chunk, Failure};

use crate::{CODECS, Codec, golden, lines};

/// Decodes pieces as a client does: stops at a failure or when the stream says so.
pub(crate) fn decode<'a>(
    mut decoder: Decoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Chunk>, Option<Failure>) {
    let mut out = Vec::new();
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

impl Codec {
    fn decoded<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
        let (chunks, failure) = decode((self.decoder)(), pieces);
        lines(&chunks, failure.as_ref())
    }
}

#[test]
fn streams_give_their_golden_chunks() {
    let mut wrong = Vec::new();
    for codec in &CODECS {
        for path in golden(codec.streams, "sse") {
            let bytes = fs::read(&path).unwrap();
            let actual = codec.decoded([&*bytes]);
            let expected = fs::read_to_string(path.with_extension("jsonl")).unwrap_or_default();
            if actual != expected {
                wrong.push(format!("{}\n{actual}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "these streams gave something else:\n{}", wrong.join("\n"));
}

/// A test for each codec, so that they run side by side: this is the slowest thing here.
fn cuts_do_not_matter_to(codec: &Codec) {
    for path in golden(codec.streams, "sse") {
        let bytes = fs::read(&path).unwrap();
        let expected = codec.decoded([&*bytes]);
        for cut in 0..=bytes.len() {
            let (before, after) = bytes.split_at(cut);
            assert_eq!(codec.decoded([before, after]), expected, "{} cut at {cut}", path.display());
        }
        assert_eq!(codec.decoded(bytes.chunks(1)), expected, "{} byte by byte", path.display());
    }
}

#[test]
fn cuts_do_not_matter_to_the_first_codec() {
    cuts_do_not_matter_to(&CODECS[0]);
}

#[test]
fn cuts_do_not_matter_to_the_second_codec() {
    cuts_do_not_matter_to(&CODECS[1]);
}

#[test]
fn cuts_do_not_matter_to_the_third_codec() {
    cuts_do_not_matter_to(&CODECS[2]);
}

/// With frames kept, the same chunks come, and nothing is read before its frame.
#[test]
fn frames_do_not_change_what_is_read() {
    type Readers = [fn() -> Decoder; 2];
    let formats: [(&str, Readers); 2] = [
        ("openai_chat/decode", [openai_chat::decode::decoder, openai_chat::decode::framed_decoder]),
        ("openai_responses/decode", [openai_responses::decoder, openai_responses::framed_decoder]),
    ];
    for (folder, [plain, framed]) in formats {
        for path in golden(folder, "sse") {
            let bytes = fs::read(&path).unwrap();
            let expected = decode(plain(), [&*bytes]);
            let (mut chunks, failure) = decode(framed(), [&*bytes]);
            if matches!(chunks.first(), Some(Chunk::Delta(_))) {
                // Only a frame that is a failure itself comes without its frame.
                assert!(failure.is_some(), "{}", path.display());
            }
            chunks.retain(|chunk| !matches!(chunk, Chunk::Frame(_)));
            assert_eq!((chunks, failure), expected, "{}", path.display());
        }
    }
}

#[test]
fn every_golden_expectation_has_its_stream() {
    for codec in &CODECS {
        for path in golden(codec.streams, "jsonl") {
            assert!(path.with_extension("sse").exists(), "{}", path.display());
        }
    }
}
