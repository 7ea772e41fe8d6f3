//! Anthropic's Messages, and the servers that speak it. `model` says what each generation of models takes, `wire`
//! and `frame` are their JSON; `encode` and `decode` are pure; `client` says what is sent where.

mod assembly;
mod attachment;
mod block;
mod cache;
pub(crate) mod client;
mod conversation;
pub mod decode;
pub mod encode;
mod frame;
mod model;
mod thinking;
mod wire;
