//! What a provider sends, read by each codec: as a stream or a whole body, at once or torn, with and without frames.

use mainstay_providers::{
    anthropic as messages, http::decode::Decoder, openai::embedding, openai_chat::decode as chat_decode,
    openai_responses,
};
use mainstay_vocabulary::{
    Object,
    inference::{Chunk, Failure},
};

use crate::{random::Random, rules, shown};

/// Most vectors that the body of embeddings is read for.
const EMBEDDED: usize = 3;
/// Longest piece of a torn stream, bytes.
const MAX_PIECE: usize = 64;

/// One format's two readings.
struct Codec {
    plain: fn() -> Decoder,
    framed: fn() -> Decoder,
}

/// Chat Completions, and embeddings, which come from the same servers.
pub fn chat(bytes: &[u8]) {
    check(&Codec { plain: chat_decode::decoder, framed: chat_decode::framed_decoder }, bytes);
    if let Ok(embeddings) = embedding::decode(bytes, EMBEDDED) {
        assert_eq!(embeddings.vectors.len(), EMBEDDED, "more or fewer vectors than were asked for");
    }
}

/// Responses.
pub fn responses(bytes: &[u8]) {
    check(&Codec { plain: openai_responses::decoder, framed: openai_responses::framed_decoder }, bytes);
}

/// Anthropic's Messages.
pub fn anthropic(bytes: &[u8]) {
    let plain = || messages::decode::decoder(false, Object::new());
    let framed = || messages::decode::decoder(true, Object::new());
    check(&Codec { plain, framed }, bytes);
}

/// The rules hold, cuts do not matter, frames change nothing, and every wire can show it.
fn check(codec: &Codec, bytes: &[u8]) {
    let (chunks, failure) = read((codec.plain)(), [bytes]);
    rules::check(&chunks, failure.is_none());

    let torn = read((codec.plain)(), torn(bytes));
    assert_eq!((&chunks, &failure), (&torn.0, &torn.1), "a torn stream says something else");

    let (mut framed, framed_failure) = read((codec.framed)(), [bytes]);
    framed.retain(|chunk| !matches!(chunk, Chunk::Frame(_)));
    assert_eq!((&chunks, &failure), (&framed, &framed_failure), "frames change what is read");

    shown::check(&chunks);
}

/// Reads pieces as a client does: stops at a failure or when the stream says so.
fn read<'a>(mut decoder: Decoder, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Chunk>, Option<Failure>) {
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

/// The bytes in pieces of all sizes, empty ones among them.
fn torn(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut random, mut rest, mut pieces) = (Random::of(bytes), bytes, Vec::new());
    let longest = 1 + random.below(MAX_PIECE);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(random.below(longest + 1).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
