//! Toolsets as clients declare them, read in one way for all wires: MCP servers by address, or by the name under which the
//! operator configured one.

use mainstay_vocabulary::{
    Object,
    tool::{ApprovalRule, ToolSource, Toolset},
};
use serde_json::Value;

use crate::fields::{Fields, Invalid};

/// Longest label, bytes: it is part of names that models see.
const MAX_LABEL: usize = 64;
/// Most names in one list of tools.
const MAX_NAMES: usize = 512;
/// Most headers of a server.
const MAX_HEADERS: usize = 32;
/// What the address of a server begins with that the operator configured; its name follows.
const CONFIGURED: &str = "mainstay:";
/// Headers that sign in. They are secrets, and a secret is never part of what a session keeps.
const SIGNING: [&str; 7] =
    ["authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token", "x-access-token"];

/// A server's label.
pub(crate) fn label(fields: &mut Fields, name: &str) -> Result<String, Invalid> {
    let label = fields.needed_text(name)?;
    let is_plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if label.is_empty() || label.len() > MAX_LABEL || !is_plain {
        let message = format!("A label has 1 to {MAX_LABEL} letters, digits, dots, dashes or underscores.");
        return Err(Invalid::value(fields.path(name), message));
    }
    Ok(label)
}

/// A server's address: `https:`, `http:`, or `mainstay:` and the name of a configured one.
pub(crate) fn address(text: String, path: String) -> Result<String, Invalid> {
    let is_address =
        ["https://", "http://", CONFIGURED].iter().any(|start| text.len() > start.len() && text.starts_with(start));
    if is_address {
        return Ok(text);
    }
    let message = "A server's address begins with https://, http://, or mainstay: and the name of a configured server.";
    Err(Invalid::value(path, message))
}

/// Headers that are no secrets.
pub(crate) fn headers(fields: &mut Fields, name: &str) -> Result<std::collections::BTreeMap<String, String>, Invalid> {
    let path = fields.path(name);
    let declared = fields.object(name)?.unwrap_or_default();
    if declared.len() > MAX_HEADERS {
        return Err(Invalid::value(path, format!("At most {MAX_HEADERS} headers are sent.")));
    }
    let read = |(header, value): (String, Value)| {
        let at = format!("{path}.{header}");
        if SIGNING.contains(&header.to_ascii_lowercase().as_str()) {
            return Err(secret(at));
        }
        match value {
            Value::String(value) => Ok((header, value)),
            _ => Err(Invalid::kind(at, "a string")),
        }
    };
    declared.into_iter().map(read).collect()
}

/// A credential stands where it would become part of what is kept.
pub(crate) fn secret(path: String) -> Invalid {
    let message = "Credentials are not taken in a request: what a session keeps holds no secret. Let the operator \
                   configure the server with its credential ([[mcp]]) and name it as mainstay:NAME.";
    Invalid { message: message.to_owned(), param: path, code: "unsupported_parameter" }
}

/// A list of names, or an object that holds one under `key` and may ask for those that change nothing.
pub(crate) fn names(value: Value, path: &str, key: &str) -> Result<(Option<Vec<String>>, bool), Invalid> {
    match value {
        Value::Array(list) if list.len() <= MAX_NAMES => {
            let name = |(index, value): (usize, Value)| match value {
                Value::String(name) => Ok(name),
                _ => Err(Invalid::kind(format!("{path}[{index}]"), "a string")),
            };
            Ok((Some(list.into_iter().enumerate().map(name).collect::<Result<_, _>>()?), false))
        }
        Value::Array(_) => Err(Invalid::value(path, format!("A list of tools has at most {MAX_NAMES} names."))),
        Value::Object(_) => {
            let mut fields = Fields::at(path, value)?;
            let read_only = fields.flag("read_only")?.unwrap_or(false);
            match fields.take(key) {
                Some(list @ Value::Array(_)) => Ok((names(list, &format!("{path}.{key}"), key)?.0, read_only)),
                Some(_) => Err(Invalid::kind(format!("{path}.{key}"), "an array")),
                None => Ok((None, read_only)),
            }
        }
        _ => Err(Invalid::kind(path, "an array or an object")),
    }
}

/// `always`, `never`, or which tools.
pub(crate) fn approval(value: Value, path: &str) -> Result<ApprovalRule, Invalid> {
    match &value {
        Value::String(word) if word == "always" => return Ok(ApprovalRule::Always),
        Value::String(word) if word == "never" => return Ok(ApprovalRule::Never),
        Value::String(_) => return Err(Invalid::value(path, "'require_approval' is always, never or an object.")),
        _ => {}
    }
    let mut fields = Fields::at(path, value)?;
    let mut list = |name: &str| match fields.take(name) {
        Some(value) => names(value, &format!("{path}.{name}"), "tool_names"),
        None => Ok((None, false)),
    };
    let (always, _) = list("always")?;
    let (never, never_read_only) = list("never")?;
    let (always, never) = (always.unwrap_or_default(), never.unwrap_or_default());
    Ok(ApprovalRule::Tools { always, never, never_read_only })
}

/// A toolset of an MCP server with nothing else said of it.
pub(crate) fn mcp(label: String, server: String, echo: Object) -> Toolset {
    Toolset {
        label,
        source: ToolSource::Mcp { server, headers: std::collections::BTreeMap::new(), secret: None },
        allowed: None,
        only_read_only: false,
        approval: ApprovalRule::ByPolicy,
        rules: std::collections::BTreeMap::new(),
        required: false,
        echo,
    }
}
