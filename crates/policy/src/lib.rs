//! Policies: who may call which tool, reach which host, ask which model; `Allow`, `Deny` or `Ask`. Hides the Cedar
//! engine. Pure: no clock, no I/O, no randomness; what a rule may look at is in the `Question`. The same policies and
//! the same question give the same verdict anywhere. Start with `Policies`, then `decide.rs` for how verdicts combine.

mod annotation;
mod argument;
mod decide;
mod error;
mod fact;
mod field;
mod load;
mod policies;
mod question;
mod quick;
mod rule;
mod slice;
mod source;
mod verdict;
mod version;

#[cfg(test)]
mod tests;

pub use error::{Error, Fault, Faults, MAX_FAULTS};
pub use policies::{MAX_NAMED, Policies};
pub use question::{Act, AddressClass, EffectClass, Egress, History, Inference, Question, Runner, ToolCall};
pub use source::Source;
pub use verdict::{Ask, Explanation, Matched, Need, Says, Verdict, VerdictKind};
