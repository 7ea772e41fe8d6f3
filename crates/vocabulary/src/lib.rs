//! The nouns every other crate shares: ids, items, usage, money, places, inference requests.
//! Nothing here behaves: no I/O, no clock, no randomness, no rule of the domain.
//! Start with `id` (who is who), then `item` (what a conversation is made of).

pub mod id;
pub mod inference;
pub mod item;
pub mod money;
pub mod place;
pub mod time;
pub mod tool;
pub mod usage;

pub use id::{AgentId, CallId, Epoch, ItemId, OpId, Principal, Sequence, SessionId, Shard, Tenant, TurnId};
pub use item::{Content, Item, ItemKind, Role};
pub use money::PicoUsd;
pub use time::Timestamp;
pub use usage::Usage;

/// A JSON object whose keys keep their order.
pub type Object = serde_json::Map<String, serde_json::Value>;
