//! What an inference is booked as: reported by the provider, or estimated and labelled so.

use mainstay_session::{assembly::Assembly, event::Receipt};
use mainstay_vocabulary::{Object, Usage, inference::Finished, usage::Booking};

use crate::route::Deployment;

/// Bytes of text that are counted as one token where nobody reports usage.
const BYTES_PER_TOKEN: u64 = 4;

/// The receipt of an inference that ended. `prompt_bytes` is the size of what was sent, for an estimate.
pub(crate) fn receipt(
    deployment: Option<&Deployment>,
    finished: Option<&Finished>,
    prompt_bytes: u64,
    shown: &Assembly,
) -> Receipt {
    let reported = finished.and_then(|finished| finished.usage);
    let usage = reported.unwrap_or_else(|| estimate(prompt_bytes, shown));
    Receipt {
        usage,
        booking: if reported.is_some() { Booking::Reported } else { Booking::Estimated },
        cost: deployment.and_then(|deployment| deployment.price).map(|price| price.cost(&usage)),
        model: finished.and_then(|finished| finished.model.clone()),
        reported: finished.map_or_else(Object::new, |finished| finished.reported.clone()),
    }
}

/// The receipt of an attempt that surely sent nothing.
pub(crate) fn nothing() -> Receipt {
    Receipt { usage: Usage::default(), booking: Booking::Estimated, cost: None, model: None, reported: Object::new() }
}

fn estimate(prompt_bytes: u64, shown: &Assembly) -> Usage {
    let fresh = |piece: &mainstay_session::assembly::Piece| piece.text.len() as u64 - u64::from(piece.resumed_at);
    let written: u64 = shown.pieces.iter().map(fresh).sum();
    Usage {
        input: prompt_bytes.div_ceil(BYTES_PER_TOKEN),
        output: written.div_ceil(BYTES_PER_TOKEN),
        ..Usage::default()
    }
}
