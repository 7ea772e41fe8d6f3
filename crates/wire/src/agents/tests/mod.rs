//! Commands by table, projections by playing real decisions.

mod command;
pub(crate) mod play;
mod project;
