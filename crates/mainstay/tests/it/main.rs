//! Tests of the binary itself, from outside: it is started, talked to over HTTP by raw sockets, killed and started
//! again. Start with `server` and `http`; each other file is one subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a test has no runtime whose tasks and clock it could use")]

mod bare;
mod cli;
mod doctor;
mod error_page;
mod full;
mod hostile;
mod http;
mod init;
#[cfg(feature = "faults")]
mod kill;
mod models;
mod openapi;
mod operate;
mod process;
#[cfg(feature = "faults")]
mod random;
mod server;
mod streams;
