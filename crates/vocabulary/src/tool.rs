//! Tools as a model sees them.

use serde::{Deserialize, Serialize};

use crate::Object;

/// A function that the client runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionTool {
    /// What the model calls it.
    pub name: String,
    /// What it does, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema of its arguments; `None` where the client gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Object>,
    /// Whether arguments must follow the schema; `None` where the client did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    /// Fields of the declaration that mean nothing here, kept for echo.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub rest: Object,
}

/// Whether and which tool the model must call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No call, although tools are shown.
    None,
    /// At least one call.
    Required,
    /// This function.
    Function(String),
    /// Only these functions; a hard limit. `required` asks for at least one call.
    Allowed {
        /// Names of the functions.
        names: Vec<String>,
        /// Whether one of them must be called.
        required: bool,
    },
}
