//! Crashes: what reaches the disk is recorded, every state that a crash can leave of it is opened by the code that
//! recovers, and every call is made to fail. Start with `crash_states`, `crash_faults`; `disk` is the model of a disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod check;
mod choice;
mod content;
mod crash_faults;
mod crash_keyring;
mod crash_planted;
mod crash_states;
mod disk;
mod history;
mod image;
mod life;
