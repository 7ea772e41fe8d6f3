//! A request's body as bytes, with what did not fit into it: the receipt names both.

use std::collections::BTreeSet;

use mainstay_vocabulary::{
    Object,
    inference::{Failure, FailureKind},
};
use serde::Serialize;
use serde_json::json;

use crate::http::{answer::Answer, dropped::Dropped};

/// A body, ready to be sent.
#[derive(Debug)]
pub struct Encoded {
    /// JSON.
    pub body: Vec<u8>,
    /// `dropped`: items that were left out, in part or whole, with the reason; `left_out`: parameters that this server
    /// has no name for. Empty where everything fitted.
    pub lost: Object,
}

impl Encoded {
    /// Writes a body. Fails only where it holds a number that JSON cannot express.
    pub(crate) fn new(
        body: &impl Serialize,
        dropped: Dropped,
        left_out: &BTreeSet<&'static str>,
    ) -> Result<Self, Failure> {
        let mut lost = Object::new();
        if let Some(dropped) = dropped.into_value() {
            lost.insert("dropped".to_owned(), dropped);
        }
        if !left_out.is_empty() {
            lost.insert("left_out".to_owned(), json!(left_out));
        }
        Ok(Self { body: bytes(body)?, lost })
    }

    /// A body into which everything fitted.
    pub(crate) fn whole(body: &impl Serialize) -> Result<Self, Failure> {
        Ok(Self { body: bytes(body)?, lost: Object::new() })
    }

    /// Tells the receipt what was lost; gives the bytes.
    pub(crate) fn report(self, answer: &mut Answer) -> Vec<u8> {
        for (name, value) in self.lost {
            answer.report_json(&name, value);
        }
        self.body
    }
}

/// A body's JSON.
pub(crate) fn bytes(body: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(body).map_err(|error| Failure {
        kind: FailureKind::InvalidRequest,
        message: format!("the request cannot be written as JSON: {error}"),
        retry_after_ms: None,
    })
}
