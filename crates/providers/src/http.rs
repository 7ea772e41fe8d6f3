//! What every provider behind HTTP shares, whatever its format: the account and its pooled connections, one call as
//! a stream of chunks with a timeout for each phase, the frames of an event stream, and what errors mean.
//! A format brings its addresses, its encoder, and an [`decode::Assemble`].

pub(crate) mod account;
pub(crate) mod answer;
pub(crate) mod call;
pub mod decode;
pub(crate) mod dropped;
pub(crate) mod failure;
