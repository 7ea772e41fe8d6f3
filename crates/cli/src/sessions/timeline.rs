//! A journal as a person reads it: turn by turn, what was said and called, and what each attempt took. Pure.

use serde_json::Value;

use crate::{
    clean, figure,
    printer::{call_of, result_of, text_of},
    screen::{Screen, Style},
    table,
};

/// Columns of what happened, after the indent.
const LABEL: usize = 9;

/// Columns where the terminal does not say.
const WIDTH: usize = 120;

/// Folds events into lines.
pub(super) struct Timeline {
    out: Screen,
    is_full: bool,
    turns: u64,
    is_in_turn: bool,
    /// Lines of inputs that the next turn begins with.
    waiting: String,
    /// When the turn at hand began, and when the inference at hand did.
    turn_began: u64,
    inference_began: u64,
    /// Where the inference at hand goes, and the number of its attempt.
    deployment: String,
    attempt: u64,
}

impl Timeline {
    pub(super) fn new(out: Screen, is_full: bool) -> Self {
        Self {
            out,
            is_full,
            turns: 0,
            is_in_turn: false,
            waiting: String::new(),
            turn_began: 0,
            inference_began: 0,
            deployment: String::new(),
            attempt: 0,
        }
    }

    /// The lines of an event; empty for one that only the machine needs.
    pub(super) fn event(&mut self, event: &Value) -> String {
        let at = event["at_ms"].as_u64().unwrap_or(0);
        match event["type"].as_str().unwrap_or_default() {
            "turn_started" => self.start_turn(event, at),
            "turn_ended" => self.end_turn(event, at),
            "input_accepted" => {
                let lines = self.items(&event["items"], "input");
                if self.is_in_turn {
                    return lines;
                }
                self.waiting.push_str(&lines);
                String::new()
            }
            "items_added" => self.items(&event["items"], "added"),
            "item_completed" => self.item(&event["item"], "model"),
            "item_interrupted" => self.item(&event["item"], "model …"),
            "inference_intended" => {
                self.inference_began = at;
                self.deployment = text(&event["deployment"]);
                self.attempt = event["attempt"].as_u64().unwrap_or(1);
                String::new()
            }
            "inference_ended" => self.inference(event, at),
            "call_closed" if event["outcome"] == "returned" => self.item(&event["item"], "result"),
            "call_closed" => self.line("result", &text(&event["outcome"]), Some(Style::Busy)),
            "recovered" => self.line("recovered", &format!("by process {}", event["epoch"]), Some(Style::Busy)),
            "outcome_after_cancel" => self.line("late", &late(event), Some(Style::Dim)),
            "spec_changed" => self.line("model is", &text(&event["model"]), Some(Style::Dim)),
            "item_hidden" => self.line("hidden", &text(&event["item"]), Some(Style::Dim)),
            "context_replaced" => {
                self.line("compacted", "the model sees a digest of what was before", Some(Style::Dim))
            }
            "session_archived" => self.line("archived", "", Some(Style::Dim)),
            "withheld" => self.line("withheld", "content that was never stored", Some(Style::Dim)),
            "session_deleted" => self.line("deleted", "", Some(Style::Bad)),
            _ => String::new(),
        }
    }

    fn start_turn(&mut self, event: &Value, at: u64) -> String {
        self.turns += 1;
        self.is_in_turn = true;
        self.turn_began = at;
        let title = format!("turn {}", self.turns);
        let mut beside = format!("{}  {}", figure::date_time(at), text(&event["turn_id"]));
        // Half an id is of no use.
        if self.out.width().is_some_and(|width| title.len() + beside.len() + 2 > width) {
            beside = figure::date_time(at);
        }
        let title = self.out.paint(Style::Bold, &title);
        let inputs = std::mem::take(&mut self.waiting);
        format!("\n{title}  {}\n{inputs}", self.out.paint(Style::Dim, &beside))
    }

    fn end_turn(&mut self, event: &Value, at: u64) -> String {
        self.is_in_turn = false;
        let status = text(&event["status"]);
        let style = match status.as_str() {
            "completed" => Style::Good,
            "cancelled" | "incomplete" => Style::Busy,
            _ => Style::Bad,
        };
        let why = event["error"]["message"].as_str().map(clean::one_line);
        let why = why.or_else(|| event["reason"].as_str().map(clean::one_line));
        let took = Some(figure::duration(at.saturating_sub(self.turn_began)));
        let parts = [Some(status), why, took, figure::tokens(&event["usage"])];
        self.line("end", &parts.into_iter().flatten().collect::<Vec<_>>().join(" · "), Some(style))
    }

    fn items(&self, items: &Value, label: &str) -> String {
        items.as_array().into_iter().flatten().map(|item| self.item(item, label)).collect()
    }

    fn item(&self, item: &Value, label: &str) -> String {
        match item["type"].as_str().unwrap_or_default() {
            "message" if item["role"] == "user" => self.line("user", &text_of(item), None),
            "message" => self.line(label, &text_of(item), None),
            "reasoning" => {
                let parts = item["summary"].as_array().into_iter().flatten();
                let thought = parts.filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join(" ");
                self.line("thinks", &thought, Some(Style::Dim))
            }
            "function_call" => self.line("calls", &call_of(item), Some(Style::Accent)),
            "function_call_output" => self.line("result", &result_of(item), None),
            other => self.line(label, &format!("[{}]", clean::one_line(other)), None),
        }
    }

    fn inference(&self, event: &Value, at: u64) -> String {
        let (outcome, receipt) = (text(&event["outcome"]), &event["receipt"]);
        let failure = event["error"]["message"].as_str().map(clean::one_line);
        let estimated = (receipt["booking"] == "estimated" && figure::tokens(&receipt["usage"]).is_some())
            .then(|| "estimated".to_owned());
        let attempt = (self.attempt > 1).then(|| format!("attempt {}", self.attempt));
        let parts = [
            Some(self.deployment.clone()),
            attempt,
            (outcome != "finished").then_some(outcome.clone()),
            failure,
            figure::tokens(&receipt["usage"]),
            estimated,
            receipt["cost_pico_usd"].as_i64().and_then(figure::money),
            Some(figure::duration(at.saturating_sub(self.inference_began))),
        ];
        let style = if outcome == "failed" { Style::Bad } else { Style::Dim };
        self.line("inference", &parts.into_iter().flatten().collect::<Vec<_>>().join(" · "), Some(style))
    }

    /// One line of what happened, or as many as it takes.
    fn line(&self, label: &str, said: &str, style: Option<Style>) -> String {
        let label = self.out.paint(Style::Dim, &format!("  {label:<LABEL$} "));
        let paint = |text: &str| style.map_or_else(|| text.to_owned(), |style| self.out.paint(style, text));
        if self.is_full {
            let whole = clean::clean(said);
            let lines: Vec<String> = whole.lines().map(paint).collect();
            return format!("{label}{}\n", lines.join(&format!("\n{}", " ".repeat(LABEL + 3))));
        }
        let width = self.out.width().unwrap_or(WIDTH).saturating_sub(LABEL + 3);
        format!("{label}{}\n", paint(&table::cut(&clean::one_line(said), width)))
    }
}

fn text(value: &Value) -> String {
    clean::one_line(value.as_str().unwrap_or_default())
}

/// What came back after a cancel.
fn late(event: &Value) -> String {
    let usage = figure::tokens(&event["receipt"]["usage"]);
    format!("{} came back after the cancel {}", text(&event["of"]), usage.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_turn_reads_from_top_to_bottom() {
        let mut timeline = Timeline::new(Screen::sample(Some(80)), false);
        let usage = json!({ "input_tokens": 12, "output_tokens": 3 });
        let events = [
            json!({ "type": "session_created", "at_ms": 0 }),
            json!({ "type": "input_accepted", "at_ms": 0, "items": [
                { "type": "message", "role": "user", "content": [{ "text": "What\nis it?\u{1b}[2J" }] },
            ]}),
            json!({ "type": "turn_started", "at_ms": 0, "turn_id": "turn_1" }),
            json!({ "type": "inference_intended", "at_ms": 0, "attempt": 2, "deployment": "a/b" }),
            json!({ "type": "item_completed", "at_ms": 900, "item": { "type": "function_call", "name": "f", "arguments": {} } }),
            json!({ "type": "inference_ended", "at_ms": 1_000, "outcome": "finished", "receipt": {
                "usage": usage, "booking": "reported", "cost_pico_usd": 1_000_000,
            }}),
            json!({ "type": "turn_ended", "at_ms": 1_000, "status": "failed", "error": { "message": "no" }, "usage": usage }),
        ];
        let lines: String = events.iter().map(|event| timeline.event(event)).collect();
        let expected = "\nturn 1  1970-01-01 00:00:00Z  turn_1\n  user      What is it?\n  calls     f({})\n  inference \
                        a/b · attempt 2 · 12 in · 3 out · $0.000001 · 1.0 s\n  end       failed · no · 1.0 s · 12 in · 3 out\n";
        assert_eq!(lines, expected);
    }
}
