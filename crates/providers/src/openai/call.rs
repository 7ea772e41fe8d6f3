//! Calls of earlier turns as an upstream wants them back: each with a name of its own, and with arguments that parse.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use mainstay_vocabulary::CallId;
use serde::de::IgnoredAny;
use serde_json::json;

/// How each call is named upstream in one request.
#[derive(Debug, Default)]
pub(crate) struct CallNames<'a> {
    names: HashMap<&'a CallId, &'a str>,
    /// Names given so far; a provider that reuses its ids must not blur two calls.
    taken: HashSet<&'a str>,
}

impl<'a> CallNames<'a> {
    /// Names a call: as the provider did where that is still free, else as we do.
    pub(crate) fn give(&mut self, call: &'a CallId, provider_call_id: Option<&'a str>) -> &'a str {
        let given = provider_call_id.filter(|id| !id.is_empty() && !self.taken.contains(id));
        let name = given.unwrap_or(&call.0);
        self.taken.insert(name);
        self.names.insert(call, name);
        name
    }

    /// The name that a call was given.
    pub(crate) fn of(&self, call: &'a CallId) -> &'a str {
        self.names.get(call).copied().unwrap_or(&call.0)
    }
}

/// Arguments that every server can parse: a model may have written none, or broken JSON, and many servers refuse a
/// whole conversation for one such call.
pub(crate) fn sound_arguments(arguments: &str) -> Cow<'_, str> {
    if arguments.trim().is_empty() {
        Cow::Borrowed("{}")
    } else if serde_json::from_str::<IgnoredAny>(arguments).is_ok() {
        Cow::Borrowed(arguments)
    } else {
        Cow::Owned(json!({ "malformed_arguments": arguments }).to_string())
    }
}
