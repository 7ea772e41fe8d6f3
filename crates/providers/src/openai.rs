//! What OpenAI's two formats share: lenient JSON, the names of calls, which tools are offered, parameters that only one
//! of them knows, log probabilities, embeddings. Knows neither format's requests nor frames.

pub(crate) mod call;
pub mod embedding;
pub mod encoded;
pub(crate) mod extra;
pub(crate) mod header;
pub(crate) mod lenient;
pub(crate) mod logprob;
pub(crate) mod reasoning;
pub(crate) mod tool;
