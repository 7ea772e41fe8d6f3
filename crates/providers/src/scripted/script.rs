//! The file of canned replies: its TOML as serde reads it, checked into `Script`.

use std::{num::NonZeroUsize, path::Path};

use mainstay_vocabulary::{
    ItemKind, Object, Usage,
    inference::{Failure, FailureKind, Stop},
};
use serde::Deserialize;
use serde_json::Value;

use crate::Error;

/// Longest script file, bytes: thousands of long replies.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Echoes, word by word.
const BUILT_IN: &str = r#"
continues_prefix = true
[[reply]]
repeat = true
steps = [{ text = "You said: " }, { echo = true }]
"#;

/// A checked script.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) continues_prefix: bool,
    pub(super) replies: Vec<Reply>,
}

/// One canned reply.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) when: When,
    /// How many inferences it may serve; `None` is without end.
    pub(super) repeat: Option<u32>,
    pub(super) steps: Vec<Step>,
}

/// What a request must be like; what is absent always matches.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct When {
    /// In the last user message's text.
    pub(super) contains: Option<String>,
    /// Number of user messages so far, the last included.
    pub(super) turn: Option<usize>,
    /// Whether the last item is a tool's result.
    pub(super) after_tool: Option<bool>,
    /// The upstream model asked for.
    pub(super) model: Option<String>,
    /// In the instructions.
    pub(super) instructions: Option<String>,
}

/// One thing to do.
#[derive(Debug)]
pub(super) enum Step {
    Text { text: Said, pace: Pace },
    Refusal { text: String, pace: Pace },
    Thought(Thought),
    ToolCall { name: String, arguments: String, id: Option<String>, pace: Pace },
    Usage(Usage),
    Report(Object),
    Stop(Stop),
    Wait(u64),
    Fail(Failure),
    Hang,
}

/// Reasoning, or a summary of it.
#[derive(Debug)]
pub(super) struct Thought {
    pub(super) kind: ItemKind,
    /// May be empty where there are opaque bytes.
    pub(super) text: String,
    pub(super) opaque: Option<String>,
    pub(super) pace: Pace,
}

/// What a text step says.
#[derive(Debug)]
pub(super) enum Said {
    Canned(String),
    /// The last user message's text.
    Echo,
}

/// How a text is cut into deltas, and how long to wait between two of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) split: Split,
    pub(super) delay_ms: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Split {
    Word,
    Whole,
    /// At most so many bytes, but never inside a character.
    Bytes(NonZeroUsize),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    continues_prefix: bool,
    reply: Vec<FileReply>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileReply {
    when: Option<When>,
    repeat: Option<Repeat>,
    steps: Vec<FileStep>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Repeat {
    Times(u32),
    WithoutEnd(bool),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FileSplit {
    Bytes(NonZeroUsize),
    Name(SplitName),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum SplitName {
    Word,
    Whole,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileStep {
    text: Option<String>,
    echo: Option<bool>,
    refusal: Option<String>,
    reasoning: Option<String>,
    summary: Option<String>,
    opaque: Option<String>,
    tool_call: Option<FileCall>,
    usage: Option<Usage>,
    report: Option<Object>,
    stop: Option<Stop>,
    fail: Option<FileFailure>,
    r#break: Option<bool>,
    hang: Option<bool>,
    delay_ms: Option<u64>,
    split: Option<FileSplit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCall {
    name: String,
    arguments: Value,
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileFailure {
    kind: FailureKind,
    message: Option<String>,
    retry_after_ms: Option<u64>,
}

impl Script {
    /// Reads and checks a file.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
        let refused = |reason| Error::Script { path: path.to_owned(), reason };
        let length = std::fs::metadata(path).map_err(unreadable)?.len();
        if length > MAX_FILE_BYTES {
            return Err(refused(format!("{length} bytes are more than {MAX_FILE_BYTES}")));
        }
        Self::parse(&std::fs::read_to_string(path).map_err(unreadable)?).map_err(refused)
    }

    /// The script without a file.
    pub(super) fn built_in() -> Self {
        // The text is constant and a test reads it; the fallback is never taken.
        Self::parse(BUILT_IN).unwrap_or(Self { continues_prefix: false, replies: Vec::new() })
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let replies = file
            .reply
            .into_iter()
            .enumerate()
            .map(|(index, reply)| Reply::check(reply).map_err(|reason| format!("reply {}: {reason}", index + 1)));
        Ok(Self { continues_prefix: file.continues_prefix, replies: replies.collect::<Result<_, _>>()? })
    }
}

impl Reply {
    fn check(reply: FileReply) -> Result<Self, String> {
        let repeat = match reply.repeat {
            Some(Repeat::Times(times)) => Some(times),
            Some(Repeat::WithoutEnd(true)) => None,
            Some(Repeat::WithoutEnd(false)) => Some(1),
            None if reply.when.is_some() => None,
            None => Some(1),
        };
        let steps = reply
            .steps
            .into_iter()
            .enumerate()
            .map(|(index, step)| Step::check(step).map_err(|reason| format!("step {}: {reason}", index + 1)));
        Ok(Self { when: reply.when.unwrap_or_default(), repeat, steps: steps.collect::<Result<_, _>>()? })
    }
}

impl Step {
    fn check(step: FileStep) -> Result<Self, String> {
        let (has_pace, has_opaque) = (step.split.is_some() || step.delay_ms.is_some(), step.opaque.is_some());
        let is_lone_wait = step.split.is_none() && step.is_wait();
        let mut all = step.said().into_iter().flatten();
        match (all.next(), all.next()) {
            (Some(only), None)
                if (only.is_paced() || !has_pace || is_lone_wait)
                    && (!has_opaque || matches!(only, Self::Thought(_))) =>
            {
                Ok(only)
            }
            _ => Err("exactly one of text, echo, refusal, reasoning, summary, tool_call, usage, report, stop, fail, \
                      break, hang, delay_ms is needed; delay_ms and split may stand beside the first six, opaque \
                      beside reasoning and summary"
                .to_owned()),
        }
    }

    const fn is_paced(&self) -> bool {
        matches!(self, Self::Text { .. } | Self::Refusal { .. } | Self::Thought(_) | Self::ToolCall { .. })
    }
}

impl FileStep {
    /// Whether there is nothing but a wait.
    const fn is_wait(&self) -> bool {
        let is_paced = self.text.is_some() || self.refusal.is_some() || self.reasoning.is_some();
        let is_paced = is_paced || self.summary.is_some() || self.tool_call.is_some() || self.echo.is_some();
        self.delay_ms.is_some() && !is_paced
    }

    /// All that the step says to do.
    fn said(self) -> [Option<Step>; 13] {
        let (pace, opaque) = (self.pace(), self.opaque.clone());
        let wait = self.delay_ms.filter(|_| self.is_wait() && self.split.is_none());
        let thought = |kind| {
            let opaque = opaque.clone();
            move |text| Step::Thought(Thought { kind, text, opaque, pace })
        };
        [
            self.text.map(|text| Step::Text { text: Said::Canned(text), pace }),
            self.echo.filter(|echo| *echo).map(|_| Step::Text { text: Said::Echo, pace }),
            self.refusal.map(|text| Step::Refusal { text, pace }),
            self.reasoning.map(thought(ItemKind::Reasoning)),
            self.summary.map(thought(ItemKind::ReasoningSummary)),
            self.tool_call.map(|call| call.check(pace)),
            self.usage.map(Step::Usage),
            self.report.map(Step::Report),
            self.stop.map(Step::Stop),
            self.fail.map(|fail| Step::Fail(fail.check())),
            self.r#break.filter(|is| *is).map(|_| Step::Fail(broken())),
            self.hang.filter(|is| *is).map(|_| Step::Hang),
            wait.map(Step::Wait),
        ]
    }

    fn pace(&self) -> Pace {
        let split = match self.split {
            Some(FileSplit::Bytes(bytes)) => Split::Bytes(bytes),
            Some(FileSplit::Name(SplitName::Whole)) => Split::Whole,
            Some(FileSplit::Name(SplitName::Word)) | None => Split::Word,
        };
        Pace { split, delay_ms: self.delay_ms.unwrap_or(0) }
    }
}

impl FileCall {
    fn check(self, pace: Pace) -> Step {
        let arguments = match self.arguments {
            Value::String(text) => text,
            value => value.to_string(),
        };
        Step::ToolCall { name: self.name, arguments, id: self.id, pace }
    }
}

impl FileFailure {
    fn check(self) -> Failure {
        let message = self.message.unwrap_or_else(|| "the script says so".to_owned());
        Failure { kind: self.kind, message, retry_after_ms: self.retry_after_ms }
    }
}

fn broken() -> Failure {
    let message = "the stream ended without its end".to_owned();
    Failure { kind: FailureKind::Broken, message, retry_after_ms: None }
}

#[cfg(test)]
mod tests {
    use super::Script;

    #[test]
    fn the_built_in_script_is_one() {
        assert_eq!(Script::built_in().replies.len(), 1);
    }

    #[test]
    fn mistakes_are_refused_with_their_place() {
        let cases = [
            ("[[reply]]\nsteps = [{ text = \"a\", stop = \"end\" }]", "reply 1: step 1"),
            ("[[reply]]\nsteps = [{ text = \"a\" }, { split = 3 }]", "reply 1: step 2"),
            ("[[reply]]\nsteps = [{ stop = \"end\", delay_ms = 3 }]", "reply 1: step 1"),
            ("[[reply]]\nsteps = [{ fail = { kind = \"broken\" }, break = true }]", "reply 1: step 1"),
            ("[[reply]]\nsteps = [{ text = \"a\", split = 0 }]", "split"),
            ("[[reply]]\nsteps = [{ txt = \"a\" }]", "txt"),
            ("[[reply]]\nsteps = [{ fail = { kind = \"odd\" } }]", "odd"),
            ("[[reply]]\nsteps = [{ text = \"a\", opaque = \"b\" }]", "reply 1: step 1"),
            ("[[reply]]\nsteps = [{ report = { a = 1 }, delay_ms = 3 }]", "reply 1: step 1"),
            ("[[reply]]\nsteps = []\nwhen = { says = \"a\" }", "says"),
        ];
        for (text, place) in cases {
            let reason = Script::parse(text).unwrap_err();
            assert!(reason.contains(place), "{text}: {reason}");
        }
    }
}
