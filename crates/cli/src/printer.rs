//! A session's events as a person reads them. Everything that was written elsewhere is cleaned before it is shown.

use serde_json::Value;

use crate::{
    clean::{self, Cleaner},
    error::Result,
    figure,
    screen::{Screen, Style},
    table,
};

/// Columns of one line of a call or a result, where the terminal does not say.
const LINE: usize = 120;

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Show {
    /// Nothing: it is collected.
    Nothing,
    /// What the model says to the user.
    Answer,
    /// That, what it thinks, and what it calls.
    Talk,
    /// That, what it is told, and where turns begin and end.
    Everything,
}

/// Prints a session's events as they come.
pub(crate) struct Printer {
    out: Screen,
    notes: Screen,
    show: Show,
    cleaner: Cleaner,
    /// Whether the last character shown was not the end of a line.
    is_mid_line: bool,
    /// Whether something of this turn's answer was shown.
    has_answered: bool,
    /// Whole messages of the model since the last `take_messages`.
    messages: Vec<String>,
}

impl Printer {
    pub(crate) fn new(out: Screen, notes: Screen, show: Show) -> Self {
        let cleaner = Cleaner::default();
        Self { out, notes, show, cleaner, is_mid_line: false, has_answered: false, messages: Vec::new() }
    }

    /// What the model said to the user, and forgets it.
    pub(crate) fn take_messages(&mut self) -> Vec<String> {
        self.has_answered = false;
        std::mem::take(&mut self.messages)
    }

    /// Shows one event.
    pub(crate) fn event(&mut self, kind: &str, body: &Value) -> Result<()> {
        let item = &body["item"];
        if kind == "agent.session.turn.created" {
            self.has_answered = false;
        }
        match kind.trim_start_matches("agent.session.") {
            "turn.created" if self.show == Show::Everything => {
                let turn = clean::one_line(body["turn_id"].as_str().unwrap_or_default());
                self.note(&format!("── {turn}"))
            }
            "turn.item.added" => self.begin(item),
            "turn.output_text.delta" => self.speak(body["delta"].as_str().unwrap_or_default(), None),
            "turn.reasoning_summary_text.delta" if self.show >= Show::Talk => {
                self.speak(body["delta"].as_str().unwrap_or_default(), Some(Style::Dim))
            }
            "turn.item.done" => self.end(item),
            "turn.completed" | "turn.failed" | "turn.cancelled" if self.show == Show::Everything => {
                self.note(&ending(&body["turn"]))
            }
            _ => Ok(()),
        }
    }

    /// A line beside the matter, on standard error.
    pub(crate) fn note(&mut self, text: &str) -> Result<()> {
        if self.out.is_terminal {
            self.end_line()?;
        }
        self.notes.line(&self.notes.paint(Style::Dim, text))
    }

    /// Ends the line if one has begun.
    pub(crate) fn end_line(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_mid_line) && self.show > Show::Nothing { self.out.write("\n") } else { Ok(()) }
    }

    fn begin(&mut self, item: &Value) -> Result<()> {
        self.cleaner = Cleaner::default();
        match item["type"].as_str().unwrap_or_default() {
            "message" if item["role"] == "assistant" => {
                self.end_line()?;
                let again = std::mem::replace(&mut self.has_answered, true);
                if again && self.show > Show::Nothing { self.out.write("\n") } else { Ok(()) }
            }
            "message" if self.show == Show::Everything => {
                self.end_line()?;
                self.out.line(&format!("{} {}", self.out.paint(Style::Accent, "›"), clean::clean(&text_of(item))))
            }
            "function_call_output" if self.show >= Show::Talk => self.aside("←", &result_of(item)),
            _ => Ok(()),
        }
    }

    fn end(&mut self, item: &Value) -> Result<()> {
        let is_cut = item["status"] == "incomplete";
        match item["type"].as_str().unwrap_or_default() {
            "message" => {
                self.end_line()?;
                if is_cut {
                    return self.note("(cut off here; what was said stays)");
                }
                self.messages.push(text_of(item));
                Ok(())
            }
            "reasoning" if self.show >= Show::Talk => self.end_line(),
            "function_call" if self.show >= Show::Talk => self.aside("→", &call_of(item)),
            _ => Ok(()),
        }
    }

    fn speak(&mut self, delta: &str, style: Option<Style>) -> Result<()> {
        if self.show == Show::Nothing {
            return Ok(());
        }
        let text = self.cleaner.clean(delta);
        if text.is_empty() {
            return Ok(());
        }
        self.is_mid_line = !text.ends_with('\n');
        let text = style.map_or_else(|| text.clone(), |style| self.out.paint(style, &text));
        self.out.write(&text)
    }

    /// One line about a call.
    fn aside(&mut self, mark: &str, text: &str) -> Result<()> {
        self.end_line()?;
        let width = self.out.width().unwrap_or(LINE);
        self.out.line(&self.out.paint(Style::Dim, &table::cut(&format!("  {mark} {text}"), width)))
    }
}

/// The text of a message, of either side.
pub(crate) fn text_of(item: &Value) -> String {
    let parts = item["content"].as_array().into_iter().flatten();
    let texts: Vec<&str> = parts.map(|part| part["text"].as_str().unwrap_or("[not text]")).collect();
    texts.join("\n")
}

/// A call on one line.
pub(crate) fn call_of(item: &Value) -> String {
    let arguments = match &item["arguments"] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    clean::one_line(&format!("{}({arguments})", item["name"].as_str().unwrap_or_default()))
}

/// A call's result on one line.
pub(crate) fn result_of(item: &Value) -> String {
    if let Some(error) = item["error"].as_str() {
        return clean::one_line(&format!("failed: {error}"));
    }
    match &item["output"] {
        Value::String(text) => clean::one_line(text),
        other => clean::one_line(&other.to_string()),
    }
}

/// How a turn ended, on one line.
fn ending(turn: &Value) -> String {
    let status = turn["status"].as_str().unwrap_or_default().to_owned();
    let error = turn["error"]["message"].as_str().map(clean::one_line);
    let parts = [Some(clean::one_line(&status)), error, figure::tokens(&turn["usage"])];
    format!("── {}", parts.into_iter().flatten().collect::<Vec<_>>().join(" · "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn items_are_one_clean_line() {
        let call = json!({ "name": "f\u{1b}[2J", "arguments": { "a": "b\n" } });
        assert_eq!(call_of(&call), "f({\"a\":\"b\\n\"})");
        assert_eq!(result_of(&json!({ "output": "x\u{1b}]0;t\u{7}\ny", "error": null })), "x y");
        assert_eq!(result_of(&json!({ "output": null, "error": "no" })), "failed: no");
        let message = json!({ "content": [{ "text": "a" }, { "type": "input_image" }, { "text": "b" }] });
        assert_eq!(text_of(&message), "a\n[not text]\nb");
    }

    #[test]
    fn only_whole_messages_are_collected() {
        let screen = Screen::sample(None);
        let mut printer = Printer::new(screen, screen, Show::Nothing);
        let message = |status: &str, text: &str| {
            json!({ "item": {
                "type": "message", "role": "assistant", "status": status, "content": [{ "text": text }],
            }})
        };
        printer.event("agent.session.turn.item.done", &message("completed", "one")).unwrap();
        assert_eq!(printer.take_messages(), ["one"]);
        assert!(printer.take_messages().is_empty());
    }
}
