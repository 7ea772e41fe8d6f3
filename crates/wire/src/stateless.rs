//! What the wires of stateless inferences share: a request as read, and the pieces of an answer as they come.

use mainstay_vocabulary::{
    Content, Item, Object, Role, SessionId,
    inference::{Delta, Format, Reasoning, Request, Sampling, TextFormat, Verbatim},
    item::{ItemKind, ToolOutput},
    tool::ToolChoice,
};
use serde_json::Value;
use std::sync::Arc;

use crate::{fields::Invalid, responses::item::STORED};

/// Most messages of a request: what a session takes at once.
pub const MAX_MESSAGES: usize = mainstay_session::turn::MAX_ITEMS;
/// Longest name of a model, bytes.
const MAX_MODEL: usize = 256;

/// A request as read.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The model that was asked for.
    pub model: String,
    /// What it asks; the route fills in the rest.
    pub request: Request,
    /// The parameter that only the wire's own format can carry: another deployment will not do.
    pub needs: Option<String>,
    /// Whether the answer comes as a stream.
    pub streams: bool,
}

impl Call {
    /// The refusal where nobody speaks the format that the request needs.
    pub fn unserved(needs: &str) -> Invalid {
        Invalid::unserved(needs)
    }
}

/// Checks a model's name.
pub(crate) fn check_model(model: &str) -> Result<(), Invalid> {
    if model.is_empty() || model.len() > MAX_MODEL {
        return Err(Invalid::value("model", format!("A model's name has 1 to {MAX_MODEL} bytes.")));
    }
    Ok(())
}

/// A request that asks nothing yet but carries the client's own body.
pub(crate) fn request(verbatim: Verbatim) -> Request {
    Request {
        upstream_model: String::new(),
        deployment: String::new(),
        instructions: None,
        input: Vec::new(),
        prefix: None,
        tools: Arc::from([]),
        tool_choice: ToolChoice::Auto,
        parallel_tool_calls: None,
        sampling: Sampling::default(),
        reasoning: Reasoning::default(),
        text: TextFormat::Text,
        idempotency_key: String::new(),
        service_tier: None,
        extra: None,
        verbatim: Some(Arc::new(verbatim)),
    }
}

/// The client's own request.
pub(crate) const fn verbatim(format: Format, body: Object, streams: bool) -> Verbatim {
    Verbatim { format, body, headers: Vec::new(), streams }
}

/// A message.
pub(crate) const fn message(role: Role, content: Vec<Content>) -> Item {
    Item::Message { role, content, phase: None }
}

/// Whether an item refers to a file that is stored here. An upstream may have files of its own, by ids of other shapes.
pub(crate) fn refers(item: &Item) -> bool {
    let contents = match item {
        Item::Message { content, .. } => content.as_slice(),
        Item::ToolResult { output: ToolOutput::Content(parts), .. } => parts.as_slice(),
        _ => &[],
    };
    contents.iter().any(|content| match content {
        Content::Image { url, .. } | Content::File { url, .. } => {
            url.strip_prefix(STORED).is_some_and(|id| id.parse::<SessionId>().is_ok())
        }
        _ => false,
    })
}

/// Notes the first parameter that only one format can carry.
pub(crate) fn need(needs: &mut Option<String>, path: impl Into<String>) {
    needs.get_or_insert_with(|| path.into());
}

/// One item of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// What it is.
    pub kind: ItemKind,
    /// Its text or arguments so far.
    pub text: String,
    /// Opaque provider bytes that came with its end.
    pub opaque: Option<String>,
    /// Log probabilities of its text.
    pub logprobs: Vec<Value>,
}

/// The items of an answer so far, by index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pieces(Vec<Option<Piece>>);

/// Most items of one answer.
const MAX_PIECES: usize = 1_024;

impl Pieces {
    /// Takes the next delta.
    pub fn take(&mut self, delta: &Delta) {
        match delta {
            Delta::Started { index, kind } => {
                let index = *index as usize;
                if index < MAX_PIECES {
                    self.0.resize(self.0.len().max(index + 1), None);
                    let piece = Piece { kind: kind.clone(), text: String::new(), opaque: None, logprobs: Vec::new() };
                    self.0[index] = Some(piece);
                }
            }
            Delta::Text { index, text } => {
                if let Some(piece) = self.at(*index) {
                    piece.text.push_str(text);
                }
            }
            Delta::Logprobs { index, logprobs } => {
                if let (Some(piece), Value::Array(list)) = (self.at(*index), logprobs) {
                    piece.logprobs.extend(list.iter().cloned());
                }
            }
            Delta::Done { index, opaque } => {
                if let Some(piece) = self.at(*index) {
                    piece.opaque.clone_from(opaque);
                }
            }
        }
    }

    fn at(&mut self, index: u32) -> Option<&mut Piece> {
        self.0.get_mut(index as usize)?.as_mut()
    }

    /// The kind of an item.
    pub fn kind(&self, index: u32) -> Option<&ItemKind> {
        Some(&self.0.get(index as usize)?.as_ref()?.kind)
    }

    /// All items, in the order in which they were started.
    pub fn iter(&self) -> impl Iterator<Item = &Piece> {
        self.0.iter().flatten()
    }
}
