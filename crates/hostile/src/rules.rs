//! The rules of a stream of deltas, as `inference::Delta` states them.

use mainstay_providers::http::decode::MAX_ITEMS;
use mainstay_vocabulary::inference::{Chunk, Delta, Finished};

/// Started once, in order; text never empty and only while open; log probabilities right before their text; done once;
/// all closed before the end, which comes last and only where nothing failed.
pub(crate) fn check(chunks: &[Chunk], is_whole: bool) {
    let mut open: Vec<bool> = Vec::new();
    let mut awaits_text: Option<u32> = None;
    for (place, chunk) in chunks.iter().enumerate() {
        if let Some(of) = awaits_text.take() {
            let is_its_text = matches!(chunk, Chunk::Delta(Delta::Text { index, .. }) if *index == of);
            assert!(is_its_text, "log probabilities without their text");
        }
        match chunk {
            Chunk::Delta(Delta::Started { index, .. }) => {
                assert_eq!(*index as usize, open.len(), "an item out of order");
                open.push(true);
            }
            Chunk::Delta(Delta::Text { index, text }) => {
                assert!(open[*index as usize], "text of a closed item");
                assert!(!text.is_empty(), "an empty text");
            }
            Chunk::Delta(Delta::Logprobs { index, logprobs }) => {
                assert!(open[*index as usize] && logprobs.is_array(), "log probabilities of nothing");
                awaits_text = Some(*index);
            }
            Chunk::Delta(Delta::Done { index, .. }) => {
                assert!(open[*index as usize], "done twice");
                open[*index as usize] = false;
            }
            Chunk::Frame(_) => unreachable!("a frame for a request that is not verbatim"),
            Chunk::Finished(_) => {
                assert_eq!(place, chunks.len() - 1, "something after the end");
                assert!(open.iter().all(|open| !open), "an item is open at the end");
            }
        }
    }
    assert!(open.len() <= MAX_ITEMS as usize, "too many items");
    assert_eq!(is_whole, finished(chunks).is_some(), "neither an end nor a failure, or both");
}

/// How it ended, where it did.
pub(crate) fn finished(chunks: &[Chunk]) -> Option<&Finished> {
    match chunks.last() {
        Some(Chunk::Finished(finished)) => Some(finished),
        _ => None,
    }
}
