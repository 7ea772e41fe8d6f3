//! The file of canned replies: its TOML as serde reads it, checked into `Script`.

use std::{num::NonZeroUsize, path::Path};

use mainstay_vocabulary::{
    Usage,
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
}

/// One thing to do.
#[derive(Debug)]
pub(super) enum Step {
    Text { text: Said, pace: Pace },
    Reasoning { text: String, pace: Pace },
    ToolCall { name: String, arguments: String, id: Option<String>, pace: Pace },
    Usage(Usage),
    Stop(Stop),
    Wait(u64),
    Fail(Failure),
    Hang,
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
    reasoning: Option<String>,
    tool_call: Option<FileCall>,
    usage: Option<Usage>,
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
        let pace = step.pace();
        let paced = step.split.is_some() || step.delay_ms.is_some();
        let text = step.text.map(|text| Self::Text { text: Said::Canned(text), pace });
        let echo = step.echo.filter(|echo| *echo).map(|_| Self::Text { text: Said::Echo, pace });
        let reasoning = step.reasoning.map(|text| Self::Reasoning { text, pace });
        let call = step.tool_call.map(|call| call.check(pace));
        let is_paced_step = text.is_some() || echo.is_some() || reasoning.is_some() || call.is_some();
        let bare = [
            step.usage.map(Self::Usage),
            step.stop.map(Self::Stop),
            step.fail.map(|fail| Self::Fail(fail.check())),
            step.r#break.filter(|is| *is).map(|_| Self::Fail(broken())),
            step.hang.filter(|is| *is).map(|_| Self::Hang),
            step.delay_ms.filter(|_| !is_paced_step && step.split.is_none()).map(Self::Wait),
        ];
        let mut all = [text, echo, reasoning, call].into_iter().chain(bare).flatten();
        match (all.next(), all.next()) {
            (Some(only), None) if is_paced_step || !paced || matches!(only, Self::Wait(_)) => Ok(only),
            _ => Err("exactly one of text, echo, reasoning, tool_call, usage, stop, fail, break, hang, delay_ms is \
                      needed; delay_ms and split may stand beside the first four"
                .to_owned()),
        }
    }
}

impl FileStep {
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
            ("[[reply]]\nsteps = []\nwhen = { says = \"a\" }", "says"),
        ];
        for (text, place) in cases {
            let reason = Script::parse(text).unwrap_err();
            assert!(reason.contains(place), "{text}: {reason}");
        }
    }
}
