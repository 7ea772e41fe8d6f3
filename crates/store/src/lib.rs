//! Durable homes for journals behind one seam. Must not know sessions, providers or tools: entries are bytes.
//! Start with `seam`.

pub mod error;
pub mod seam;

pub use error::Error;
pub use seam::Store;
