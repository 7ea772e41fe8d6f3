//! Reading parameters out of a JSON object by name. An explicit null counts as absent: many clients send all fields.

use std::ops::RangeInclusive;

use mainstay_vocabulary::Object;
use serde_json::Value;

/// Why a request cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// One sentence, safe to show.
    pub message: String,
    /// Path of the parameter.
    pub param: String,
    /// The vendor's code.
    pub code: &'static str,
}

impl Invalid {
    /// The value of `param` is not acceptable.
    pub fn value(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { message: message.into(), param: param.into(), code: "invalid_value" }
    }

    /// The value of `param` has the wrong type.
    pub fn kind(param: impl Into<String>, expected: &str) -> Self {
        let param = param.into();
        Self { message: format!("Invalid type for '{param}': expected {expected}."), param, code: "invalid_type" }
    }

    /// `param` is missing.
    pub fn missing(param: impl Into<String>) -> Self {
        let param = param.into();
        let message = format!("Missing required parameter: '{param}'.");
        Self { message, param, code: "missing_required_parameter" }
    }

    /// `param` would change the meaning of the request and is not served.
    pub fn unserved(param: impl Into<String>) -> Self {
        let param = param.into();
        let message = format!("The parameter '{param}' is not served by this server.");
        Self { message, param, code: "unsupported_parameter" }
    }
}

/// The fields of a JSON object; reading one takes it out.
#[derive(Clone, Debug)]
pub struct Fields {
    path: String,
    object: Object,
}

impl Fields {
    /// The fields of a request's body.
    pub const fn root(object: Object) -> Self {
        Self { path: String::new(), object }
    }

    /// The fields of the value at `path`.
    ///
    /// # Errors
    /// It is not an object.
    pub fn at(path: impl Into<String>, value: Value) -> Result<Self, Invalid> {
        let path = path.into();
        match value {
            Value::Object(object) => Ok(Self { path, object }),
            _ => Err(Invalid::kind(path, "an object")),
        }
    }

    /// The full path of a field.
    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Looks at any value but null.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// Any value but null.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.object.shift_remove(name).filter(|value| !value.is_null())
    }

    /// A text.
    ///
    /// # Errors
    /// It has another type.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, Invalid> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Invalid::kind(self.path(name), "a string")),
        }
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// It is absent or has another type.
    pub fn needed_text(&mut self, name: &str) -> Result<String, Invalid> {
        self.text(name)?.ok_or_else(|| Invalid::missing(self.path(name)))
    }

    /// A text out of a closed list.
    ///
    /// # Errors
    /// It has another type or another value.
    pub fn choice(&mut self, name: &str, allowed: &[&str]) -> Result<Option<String>, Invalid> {
        let text = self.text(name)?;
        match text {
            Some(text) if !allowed.contains(&text.as_str()) => {
                let message =
                    format!("Invalid value for '{}': expected one of {}.", self.path(name), allowed.join(", "));
                Err(Invalid::value(self.path(name), message))
            }
            text => Ok(text),
        }
    }

    /// A boolean.
    ///
    /// # Errors
    /// It has another type.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, Invalid> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(Invalid::kind(self.path(name), "a boolean")),
        }
    }

    /// A whole number within bounds.
    ///
    /// # Errors
    /// It has another type or lies outside.
    pub fn count(&mut self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Invalid> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let Value::Number(number) = &value else { return Err(Invalid::kind(self.path(name), "an integer")) };
        // Clients that know only floats send 100.0.
        let whole = number.as_u64().or_else(|| number.as_f64().filter(|float| float.fract() == 0.0).and_then(as_u64));
        let Some(count) = whole.filter(|count| range.contains(count)) else {
            let message =
                format!("'{}' must be an integer from {} to {}.", self.path(name), range.start(), range.end());
            return Err(Invalid::value(self.path(name), message));
        };
        Ok(Some(count))
    }

    /// A number within bounds.
    ///
    /// # Errors
    /// It has another type or lies outside.
    pub fn number(&mut self, name: &str, range: RangeInclusive<f64>) -> Result<Option<f64>, Invalid> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let Some(number) = value.as_f64() else { return Err(Invalid::kind(self.path(name), "a number")) };
        if !range.contains(&number) {
            let message = format!("'{}' must be a number from {} to {}.", self.path(name), range.start(), range.end());
            return Err(Invalid::value(self.path(name), message));
        }
        Ok(Some(number))
    }

    /// An array of at most `most` values.
    ///
    /// # Errors
    /// It has another type or is longer.
    pub fn list(&mut self, name: &str, most: usize) -> Result<Option<Vec<Value>>, Invalid> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(list)) if list.len() <= most => Ok(Some(list)),
            Some(Value::Array(_)) => {
                let message = format!("'{}' may have at most {most} elements.", self.path(name));
                Err(Invalid::value(self.path(name), message))
            }
            Some(_) => Err(Invalid::kind(self.path(name), "an array")),
        }
    }

    /// An object.
    ///
    /// # Errors
    /// It has another type.
    pub fn object(&mut self, name: &str) -> Result<Option<Object>, Invalid> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(Invalid::kind(self.path(name), "an object")),
        }
    }

    /// The fields of an object.
    ///
    /// # Errors
    /// It has another type.
    pub fn fields(&mut self, name: &str) -> Result<Option<Self>, Invalid> {
        let path = self.path(name);
        Ok(self.object(name)?.map(|object| Self { path, object }))
    }

    /// What was not taken, nulls included.
    pub fn all(self) -> Object {
        self.object
    }

    /// What was not taken, without nulls.
    pub fn rest(mut self) -> Object {
        self.object.retain(|_, value| !value.is_null());
        self.object
    }
}

/// A whole float as an integer, where it fits.
fn as_u64(float: f64) -> Option<u64> {
    // 2^53: beyond it a float does not name one integer.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range and whole")]
    (0.0..=LARGEST).contains(&float).then_some(float as u64)
}

/// Most pairs of metadata, and their longest key and value in characters; the vendor's limits.
const METADATA: (usize, usize, usize) = (16, 64, 512);

/// The client's key-value pairs.
///
/// # Errors
/// Too many, too long, or not text.
pub fn metadata(fields: &mut Fields) -> Result<Option<Object>, Invalid> {
    let (pairs, longest_key, longest_value) = METADATA;
    let Some(metadata) = fields.object("metadata")? else { return Ok(None) };
    if metadata.len() > pairs {
        let message = format!("'{}' may have at most {pairs} pairs.", fields.path("metadata"));
        return Err(Invalid::value(fields.path("metadata"), message));
    }
    for (key, value) in &metadata {
        let path = || fields.path(&format!("metadata.{key}"));
        let Value::String(value) = value else { return Err(Invalid::kind(path(), "a string")) };
        if key.chars().count() > longest_key || value.chars().count() > longest_value {
            let message = format!("Metadata keys hold at most {longest_key} characters, values {longest_value}.");
            return Err(Invalid::value(path(), message));
        }
    }
    Ok(Some(metadata))
}
