//! Tests of this wire.

mod command;
mod project;
