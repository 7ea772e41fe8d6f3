//! OpenAI Chat Completions, stateless: `request` reads what is asked, `reply` writes what comes back, whole or as a
//! stream. A request goes verbatim to a deployment of the same format, so that no field is lost.

mod content;
mod reply;
mod request;
#[cfg(test)]
mod tests;
mod tool;

pub use reply::{Reply, object, stream_end};
pub use request::{Options, read};
