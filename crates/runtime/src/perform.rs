//! Effects: the only code that reaches outside, each only after its intent is committed. One file per effect.

pub(crate) mod call;
pub(crate) mod infer;
