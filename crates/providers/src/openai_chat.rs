//! OpenAI's Chat Completions, and the many servers that speak it (vLLM, llama.cpp, Ollama, gateways).
//! `dialect` is the table of their differences, `wire` their JSON; `encode` and `decode` are pure;
//! `client` says what is sent where.

mod assembly;
pub(crate) mod client;
mod conversation;
pub mod decode;
pub mod dialect;
pub mod encode;
mod tool_call;
mod wire;
