//! Tests of the Responses wire, without a server: reading requests, and projecting what a real session journals.

mod passing;
mod project;
mod prompt;
mod read;
mod run;
