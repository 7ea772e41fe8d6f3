//! Anthropic Messages, stateless: `request` reads what is asked, `reply` writes what comes back, whole or as a stream.
//! A request goes verbatim to a deployment of the same format, so that no field is lost.

mod content;
mod reply;
mod request;
#[cfg(test)]
mod tests;
mod tool;

pub use reply::{Reply, object};
pub use request::{Purpose, read};
