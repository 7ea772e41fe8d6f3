//! What a message over a WebSocket says about the transport, around a request for a Response.

use mainstay_vocabulary::Object;
use serde_json::Value;

use crate::fields::{Fields, Invalid};

/// What is asked of the transport alone.
const ELSEWHERE: [&str; 2] = ["background", "stream_id"];

/// Takes out what belongs to the transport; gives whether anything is to be generated.
///
/// # Errors
/// It is no `response.create`, or asks for what this transport does not have.
pub fn take(message: &mut Object) -> Result<bool, Invalid> {
    match message.shift_remove("type") {
        Some(Value::String(kind)) if kind == "response.create" => {}
        _ => return Err(Invalid::value("type", "A message is a 'response.create'.")),
    }
    // Every Response is streamed here.
    message.shift_remove("stream");
    for name in ELSEWHERE {
        let value = message.shift_remove(name);
        if value.is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false))) {
            let message = format!("The parameter '{name}' is not served over a WebSocket.");
            return Err(Invalid { message, ..Invalid::unserved(name) });
        }
    }
    let mut fields = Fields::root(std::mem::take(message));
    let generates = fields.flag("generate")?.unwrap_or(true);
    *message = fields.all();
    Ok(generates)
}
