//! Tests of deciding, by subject. `script` applies decisions as the runtime does and checks what must always hold.

mod accept;
mod approval;
mod automation;
mod begin;
mod call;
mod cancel;
mod compaction;
mod create;
mod deadline;
mod edit;
mod effect;
mod file;
mod gateway;
mod inference;
mod interruption;
mod recover;
mod registry;
pub(crate) mod script;
pub(crate) mod walk;
