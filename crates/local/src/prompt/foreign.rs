//! Texts of others, kept out of the template's sight behind placeholders and put back as pieces of their own.

use serde_json::{Map, Value};

use super::Piece;

/// Around a placeholder's number. Private-use characters: no template writes them, and no foreign text that holds
/// them is rendered.
const OPEN: char = '\u{F8E0}';
const CLOSE: char = '\u{F8E1}';

/// The texts in the order in which they came.
#[derive(Default)]
pub(super) struct Foreign(Vec<String>);

impl Foreign {
    /// A placeholder for a text. The empty text stands for itself, because templates ask whether there is one.
    pub(super) fn text(&mut self, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        self.0.push(text.to_owned());
        format!("{OPEN}{}{CLOSE}", self.0.len() - 1)
    }

    /// JSON with placeholders for every text in it that could be taken for more than text. What is certainly plain
    /// stays, because templates look at keys, and because a text tokenizes better in one piece.
    pub(super) fn json(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.json_text(text)),
            Value::Array(values) => values.iter().map(|value| self.json(value)).collect(),
            Value::Object(fields) => {
                let plain = fields.iter().map(|(name, value)| (self.json_text(name), self.json(value)));
                Value::Object(plain.collect::<Map<_, _>>())
            }
            other => other.clone(),
        }
    }

    /// Kept as it will stand between the quotes that the template's `tojson` writes.
    fn json_text(&mut self, text: &str) -> String {
        if text.chars().all(is_plain) {
            return text.to_owned();
        }
        let quoted = Value::from(text).to_string();
        self.text(&quoted[1..quoted.len() - 1])
    }

    /// Puts the texts back into what the template wrote.
    pub(super) fn split(&self, rendered: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (index, part) in rendered.split(OPEN).enumerate() {
            let own = match part.split_once(CLOSE).filter(|_| index > 0) {
                Some((number, rest)) => {
                    let text = number.parse().ok().and_then(|number: usize| self.0.get(number));
                    pieces.extend(text.map(|text| Piece::Foreign(text.clone())));
                    rest
                }
                None => part,
            };
            if !own.is_empty() {
                pieces.push(Piece::Template(own.to_owned()));
            }
        }
        pieces
    }
}

/// Characters of which no model makes special tokens: those need one of `<>[]{}|` or a character that looks so.
fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || " _-.,:;/()'!?*+=$#%&@".contains(character)
}
