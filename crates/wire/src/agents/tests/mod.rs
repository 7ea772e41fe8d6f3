//! Commands by table, projections by playing real decisions.

mod command;
mod play;
mod project;
