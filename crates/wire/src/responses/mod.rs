//! OpenAI Responses and Open Responses. A Response is the closed range of a session from `TurnStarted` to `TurnEnded`:
//! `command` reads a request, `project` folds the range into events and the object. Start with `project::View`.

pub mod command;
pub mod envelope;
pub mod input;
pub mod item;
pub mod object;
mod output;
pub mod page;
pub mod passing;
pub mod project;
pub mod prompt;
pub mod served;
mod stream;
#[cfg(test)]
mod tests;
pub mod tool;

pub use command::CreateResponse;
pub use object::Head;
pub use project::{Frame, View};

use mainstay_vocabulary::TurnId;

/// The text of a Response's id.
pub fn response_id(turn: TurnId) -> String {
    format!("resp_{turn}")
}
