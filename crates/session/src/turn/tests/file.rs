//! Stored files: pieces in any order, sizes that must come out, an end that comes by itself.

use std::sync::Arc;

use mainstay_vocabulary::{Sequence, Timestamp};

use super::script::*;
use crate::{
    Command, Refusal,
    command::Create,
    event::{Created, FileHead, FilePart, Kind},
    file::{MAX_FILE, MAX_PART},
    spec::{CallMode, Interruption},
    turn::deadline,
};

fn head(announced: Option<u64>) -> FileHead {
    let (name, purpose) = ("a.txt".to_owned(), "user_data".to_owned());
    FileHead { name, purpose, media_type: None, announced, expires_at: None, whole_by: None }
}

fn part(bytes: u64) -> Command {
    Command::AddFilePart(FilePart { content: Arc::from("AA=="), bytes })
}

fn file(head: FileHead) -> Script {
    let created = Created { kind: Kind::File, ..created(spec(CallMode::Wait, Interruption::Restart)) };
    let mut script = Script::unborn();
    script.give(Command::Create(Box::new(Create { created, items: Vec::new(), input: None })));
    script.give(Command::BeginFile(head));
    script
}

#[test]
fn a_file_is_made_of_the_named_pieces_in_their_order() {
    let mut script = file(head(None));
    (1..=3).for_each(|bytes| drop(script.give(part(bytes))));
    let wrong = |parts: &[u64]| Command::CompleteFile(Some(parts.iter().map(|place| Sequence(*place)).collect()));
    assert!(matches!(script.refusal(wrong(&[3, 9])), Refusal::Invalid(_)));
    assert!(matches!(script.refusal(wrong(&[3, 3])), Refusal::Invalid(_)));
    script.give(wrong(&[5, 3]));
    let stored = script.state.file.clone().unwrap();
    assert_eq!((stored.is_whole, stored.bytes()), (true, 4));
    assert_eq!(stored.parts, [(Sequence(5), 3), (Sequence(3), 1)]);
    for late in [part(1), Command::CompleteFile(None)] {
        assert!(matches!(script.refusal(late), Refusal::Invalid(_)), "a whole file does not change");
    }
}

#[test]
fn what_was_announced_must_come() {
    let mut script = file(head(Some(5)));
    assert_eq!(script.refusal(part(6)), Refusal::TooMany("bytes of a file".into()));
    script.give(part(3));
    assert!(matches!(script.refusal(Command::CompleteFile(None)), Refusal::Invalid(_)));
    script.give(part(2));
    script.give(Command::CompleteFile(None));
}

#[test]
fn files_are_bounded_and_only_files() {
    let mut script = file(head(None));
    assert_eq!(script.refusal(part(MAX_PART as u64 + 1)), Refusal::TooMany("bytes of a file".into()));
    assert_eq!(script.refusal(Command::BeginFile(head(None))), Refusal::NotFound, "it is begun once");
    for _ in 0..MAX_FILE / MAX_PART as u64 {
        script.give(part(MAX_PART as u64));
    }
    assert_eq!(script.refusal(part(1)), Refusal::TooMany("bytes of a file".into()));
    let plain = Script::new(spec(CallMode::Wait, Interruption::Restart));
    for command in [Command::BeginFile(head(None)), part(1), Command::CompleteFile(None)] {
        assert_eq!(plain.refusal(command), Refusal::NotFound);
    }
}

#[test]
fn a_file_ends_when_it_expires() {
    let expires_at = Some(Timestamp(5_000));
    let whole_by = Some(Timestamp(4_000));
    let mut script = file(FileHead { expires_at, whole_by, ..head(None) });
    assert_eq!(deadline(&script.state), whole_by);
    script.give(Command::CompleteFile(None));
    assert_eq!(deadline(&script.state), expires_at);
    script.at = Timestamp(4_999);
    script.give(Command::CheckDeadline);
    assert!(!script.state.deleted);
    script.at = Timestamp(5_000);
    script.give(Command::CheckDeadline);
    assert!(script.state.deleted && deadline(&script.state).is_none());
}
