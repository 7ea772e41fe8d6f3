//! OpenAI's Responses, and the servers that speak it (Open Responses, vLLM, Ollama, gateways). `wire` is their JSON;
//! `encode` with `input`, and `assembly` with `output`, are pure; `client` alone touches the network.
//! Nothing is left with the upstream: `store` is always false, reasoning comes and goes encrypted.

mod assembly;
pub(crate) mod client;
pub mod encode;
mod input;
mod opaque;
mod output;
mod outputs;
mod part;
mod wire;

pub use assembly::{decoder, framed_decoder};
