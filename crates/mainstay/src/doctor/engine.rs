//! The embedded engine: whether this binary has it, and whether there is a model for it.

use super::finding::Finding;
use crate::{config::Config, models};

const SUBJECT: &str = "embedded engine";

pub(super) fn examine(config: &Config) -> Finding {
    let installed: Vec<_> =
        models::Library::open(&config.data_dir).list().into_iter().map(|model| model.name).collect();
    match (cfg!(feature = "local"), installed.is_empty()) {
        (true, false) => Finding::ok(SUBJECT, format!("compiled in; installed: {}", installed.join(", "))),
        (true, true) => {
            let advice = format!("mainstay pull {}", models::DEFAULT);
            Finding::warn(SUBJECT, "compiled in; no model is installed", advice)
        }
        (false, true) => Finding::ok(SUBJECT, "not compiled in; no model is installed"),
        (false, false) => {
            let found = format!("not compiled in; installed for it: {}", installed.join(", "));
            Finding::warn(SUBJECT, found, "build with --features local")
        }
    }
}
