//! Vectors without a model: the same text gives the same vector of length 1 in every process, other texts other ones.

use mainstay_vocabulary::Usage;
use mainstay_vocabulary::inference::{EmbeddingInput, EmbeddingRequest, Embeddings, Failure, FailureKind};

use crate::openai::embedding::MAX_DIMENSIONS;

/// Length of a vector where the request does not say: enough to tell texts apart, short enough to read.
const DIMENSIONS: u64 = 8;

/// Bytes of a token of text, as in `play`.
const BYTES_PER_TOKEN: u64 = 4;

/// The vectors of a request.
pub(super) fn embed(request: &EmbeddingRequest) -> Result<Embeddings, Failure> {
    let dimensions = request.dimensions.unwrap_or(DIMENSIONS);
    let length = usize::try_from(dimensions).ok().filter(|length| (1..=MAX_DIMENSIONS).contains(length));
    let length = length.ok_or_else(|| Failure {
        kind: FailureKind::InvalidRequest,
        message: format!("a vector has 1 to {MAX_DIMENSIONS} dimensions, not {dimensions}"),
        retry_after_ms: None,
    })?;
    let vectors = request.input.iter().map(|input| vector(seed(input), length)).collect();
    let input = request.input.iter().map(tokens).fold(0, u64::saturating_add);
    let usage = Some(Usage { input, ..Usage::default() });
    Ok(Embeddings { vectors, usage, model: Some(request.upstream_model.clone()) })
}

fn tokens(input: &EmbeddingInput) -> u64 {
    match input {
        EmbeddingInput::Text(text) => (text.len() as u64).div_ceil(BYTES_PER_TOKEN),
        EmbeddingInput::Tokens(tokens) => tokens.len() as u64,
    }
}

/// FNV-1a, 64 bits.
fn seed(input: &EmbeddingInput) -> u64 {
    let add = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let start = 0xcbf2_9ce4_8422_2325;
    match input {
        EmbeddingInput::Text(text) => text.bytes().fold(start, add),
        EmbeddingInput::Tokens(tokens) => tokens.iter().flat_map(|token| token.to_le_bytes()).fold(start, add),
    }
}

/// Numbers by splitmix64, scaled to length 1.
fn vector(seed: u64, length: usize) -> Vec<f32> {
    let mut state = seed;
    let mut numbers: Vec<f64> = (0..length).map(|_| number(&mut state)).collect();
    let norm = numbers.iter().map(|number| number * number).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    numbers.iter_mut().for_each(|number| *number /= norm);
    #[allow(clippy::cast_possible_truncation, reason = "vectors are of single precision")]
    numbers.into_iter().map(|number| number as f32).collect()
}

/// Between -1 and 1, never 0.
fn number(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let bits = ((mixed ^ (mixed >> 31)) >> 32) as u32;
    (f64::from(bits) + 0.5) / f64::from(u32::MAX) * 2.0 - 1.0
}
