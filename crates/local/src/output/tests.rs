//! Bytes in the portions in which a model writes them, and the deltas they become.

use mainstay_vocabulary::{
    ItemKind,
    inference::{Delta, Stop},
};

use super::{Ending, Output};

/// Deltas as text, and the stop, of an output written in portions of `size` bytes.
fn shown(text: &str, may_call: bool, size: usize, is_cut: bool) -> (String, Stop) {
    let mut output = Output::new(may_call, vec!["f".to_owned(), "find".to_owned()], &[]);
    let mut deltas = Vec::new();
    for bytes in text.as_bytes().chunks(size) {
        assert_eq!(output.push(bytes, &mut deltas), None);
    }
    let stop = output.finish(if is_cut { Ending::Cut } else { Ending::Whole }, &mut deltas);
    let mut all = String::new();
    for delta in deltas {
        match delta {
            Delta::Started { index, kind: ItemKind::Message } => all.push_str(&format!("[{index}:")),
            Delta::Started { index, kind: ItemKind::ToolCall { name, .. } } => {
                all.push_str(&format!("[{index} {name}:"))
            }
            Delta::Started { .. } | Delta::Logprobs { .. } => panic!("neither text nor call"),
            Delta::Text { text, .. } => {
                assert!(!text.is_empty());
                all.push_str(&text);
            }
            Delta::Done { .. } => all.push(']'),
        }
    }
    (all, stop)
}

const CALL: &str = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"} \\\" </tool_call>\"}}\n</tool_call>";

#[test]
fn every_portion_gives_the_same_items() {
    let text = format!("Grüße 🌍 < <tool <tool_cal\n{CALL}\n{CALL}");
    for size in 1..text.len() {
        let (all, stop) = shown(&text, true, size, false);
        let call = "{\"a\": \"} \\\" </tool_call>\"}";
        assert_eq!(all, format!("[0:Grüße 🌍 < <tool <tool_cal\n][1 f:{call}][2 f:{call}]"), "portions of {size}");
        assert_eq!(stop, Stop::ToolCalls);
    }
}

#[test]
fn a_character_is_never_split() {
    let mut output = Output::new(false, vec![], &[]);
    let mut deltas = Vec::new();
    for byte in "🌍".as_bytes() {
        assert!(deltas.is_empty());
        output.push(&[*byte], &mut deltas);
    }
    assert_eq!(deltas.last(), Some(&Delta::Text { index: 0, text: "🌍".to_owned() }));
}

#[test]
fn without_tools_the_marker_is_text() {
    assert_eq!(shown(CALL, false, 3, false), (format!("[0:{CALL}]"), Stop::End));
}

#[test]
fn a_cut_call_is_not_shown() {
    assert_eq!(shown(&CALL[..30], true, 4, true), (String::new(), Stop::MaxOutputTokens));
    assert_eq!(shown(&format!("So: {}", &CALL[..30]), true, 4, true), ("[0:So: ]".to_owned(), Stop::MaxOutputTokens));
    assert_eq!(shown("So: <tool_c", true, 4, true), ("[0:So: <tool_c]".to_owned(), Stop::MaxOutputTokens));
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let mut output = Output::new(false, vec![], &[]);
    let mut deltas = Vec::new();
    output.push(b"a\xFFb", &mut deltas);
    output.push(b"\xF0\x9F", &mut deltas);
    assert_eq!(output.finish(Ending::Whole, &mut deltas), Stop::End);
    let text: String = deltas.iter().filter_map(text_of).collect();
    assert_eq!(text, "a\u{FFFD}b\u{FFFD}");
}

/// In whatever portions it comes, the text that ends the answer is not shown, and what only begins like it is.
#[test]
fn a_clients_text_ends_the_answer() {
    let written = "one STO two STOP three";
    for size in 1..written.len() {
        let mut output = Output::new(true, vec![], &["STOP".to_owned(), String::new()]);
        let mut deltas = Vec::new();
        let ending = written.as_bytes().chunks(size).find_map(|bytes| output.push(bytes, &mut deltas)).unwrap();
        assert_eq!(output.finish(ending, &mut deltas), Stop::Sequence("STOP".to_owned()));
        let text: String = deltas.iter().filter_map(text_of).collect();
        assert_eq!(text, "one STO two ", "portions of {size}");
    }
}

fn text_of(delta: &Delta) -> Option<&str> {
    match delta {
        Delta::Text { text, .. } => Some(text),
        _ => None,
    }
}

#[test]
fn a_call_without_its_marker_is_known_by_its_name() {
    let call = "{\n  \"name\": \"find\",\n  \"arguments\": {\"a\": \"}\"}\n}";
    for text in [call.to_owned(), format!("```json\n{call}\n```"), format!("```\n{call}```")] {
        for size in 1..text.len() {
            assert_eq!(
                shown(&text, true, size, false),
                ("[0 find:{\"a\": \"}\"}]".to_owned(), Stop::ToolCalls),
                "{size}"
            );
        }
    }
    for text in ["{\"name\": \"fin\"}", "```json\n[1]\n```", "{}", "```rust\nfn find() {}\n```", "`", "```js"] {
        for size in 1..=text.len() {
            assert_eq!(shown(text, true, size, false), (format!("[0:{text}]"), Stop::End), "{size}");
        }
    }
}
