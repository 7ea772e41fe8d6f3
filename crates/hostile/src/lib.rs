//! What must hold whatever bytes come: of each provider's codec, of each wire's parsers, and
//! of what stands around them: messages of a WebSocket, forms, query strings. Fuzzers bring the bytes
//! (`fuzz/`); `tests/replay.rs` brings those that were found once, and every golden stream. A check panics where what
//! it claims does not hold. Start with `TARGETS`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod anthropic;
pub mod codec;
mod encoded;
pub mod form;
pub mod openai;
pub mod query;
mod random;
mod rules;
mod shown;
pub mod socket;

/// One thing to feed with bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What its folder of inputs and its fuzzer are called.
    pub name: &'static str,
    /// Panics where something does not hold.
    pub check: fn(&[u8]),
    /// Golden files that it takes as they are, under `crates/providers/tests/golden`, if any.
    pub golden: Option<&'static str>,
}

/// Every target.
pub const TARGETS: [Target; 8] = [
    Target { name: "decode_chat", check: codec::chat, golden: Some("openai_chat/decode") },
    Target { name: "decode_responses", check: codec::responses, golden: Some("openai_responses/decode") },
    Target { name: "decode_anthropic", check: codec::anthropic, golden: Some("anthropic/decode") },
    Target { name: "wire_openai", check: openai::check, golden: None },
    Target { name: "wire_anthropic", check: anthropic::check, golden: None },
    Target { name: "socket", check: socket::check, golden: None },
    Target { name: "form", check: form::check, golden: None },
    Target { name: "query", check: query::check, golden: None },
];
