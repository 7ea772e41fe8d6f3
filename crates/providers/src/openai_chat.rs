//! OpenAI's Chat Completions, and the many servers that speak it (vLLM, llama.cpp, Ollama, gateways).
//! `dialect` is the table of their differences, `wire` their JSON; `encode` and `decode` are pure;
//! `client` alone touches the network.

mod assembly;
pub(crate) mod client;
mod conversation;
pub mod decode;
pub mod dialect;
pub mod encode;
mod failure;
mod tool_call;
mod wire;
