//! What an inference is booked as: reported by the provider, or estimated and labelled so.

use mainstay_session::{assembly::Assembly, event::Receipt};
use mainstay_vocabulary::{Object, Usage, inference::Finished, usage::Booking};

use crate::route::Deployment;

/// Bytes of text that are counted as one token where nobody reports usage.
const BYTES_PER_TOKEN: u64 = 4;

/// What an estimate goes by, bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Of what was sent.
    pub(crate) prompt: u64,
    /// Of what came back.
    pub(crate) written: u64,
}

/// Bytes that an attempt has written, without what an earlier one had.
pub(crate) fn written(shown: &Assembly) -> u64 {
    let fresh = |piece: &mainstay_session::assembly::Piece| piece.text.len() as u64 - u64::from(piece.resumed_at);
    shown.pieces.iter().map(fresh).sum()
}

/// The receipt of an inference that ended.
pub(crate) fn receipt(deployment: Option<&Deployment>, finished: Option<&Finished>, size: Size) -> Receipt {
    let reported = finished.and_then(|finished| finished.usage);
    let usage = reported.unwrap_or_else(|| estimate(size));
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

fn estimate(size: Size) -> Usage {
    Usage {
        input: size.prompt.div_ceil(BYTES_PER_TOKEN),
        output: size.written.div_ceil(BYTES_PER_TOKEN),
        ..Usage::default()
    }
}
