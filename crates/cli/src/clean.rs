//! Text that a terminal may be shown. What a model or a stranger wrote is hostile: escape sequences (CSI, OSC and the
//! like) could move the cursor, rewrite what was said, or fill the clipboard, and are taken out, also where they
//! arrive in pieces. So are other control characters and those that reorder text.

/// Longest sequence that is taken out whole, in characters; what is longer was never one, and its rest is text.
const LONGEST: usize = 256;

/// Takes out what a terminal must not be told; keeps its place between pieces of one text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cleaner {
    state: State,
    length: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// In a control sequence, until its final character.
    Sequence,
    /// In a string for the terminal (OSC, DCS, APC, PM, SOS), until BEL or ST.
    Words,
    /// After ESC in such a string.
    WordsEscape,
}

impl Cleaner {
    /// The next piece of a text, cleaned.
    pub(crate) fn clean(&mut self, piece: &str) -> String {
        let mut out = String::with_capacity(piece.len());
        for c in piece.chars() {
            self.take(c, &mut out);
        }
        out
    }

    fn take(&mut self, c: char, out: &mut String) {
        self.length += 1;
        if self.state != State::Text && (self.length > LONGEST || c == '\n') {
            self.state = State::Text;
        }
        self.state = match (self.state, c) {
            (State::Text | State::Escape | State::Sequence, '\u{1b}') => self.begin(State::Escape),
            (State::Text, '\u{9b}') => self.begin(State::Sequence),
            (State::Text, '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}') => self.begin(State::Words),
            (State::Text, c) => {
                if is_shown(c) {
                    out.push(c);
                }
                State::Text
            }
            (State::Escape, '[') => State::Sequence,
            (State::Escape, ']' | 'P' | 'X' | '^' | '_') => State::Words,
            // Intermediates of a short sequence; any other character ends it.
            (State::Escape, ' '..='/') => State::Escape,
            (State::Sequence, '@'..='~') | (State::Escape, _) | (State::Words, '\u{7}' | '\u{9c}') => State::Text,
            (State::Sequence, _) => State::Sequence,
            (State::Words, '\u{1b}') => State::WordsEscape,
            (State::WordsEscape, '\\') => State::Text,
            (State::Words | State::WordsEscape, _) => State::Words,
        };
    }

    const fn begin(&mut self, state: State) -> State {
        self.length = 1;
        state
    }
}

/// Whether a character by itself may be shown.
fn is_shown(c: char) -> bool {
    match c {
        '\n' | '\t' => true,
        // Reorder what stands around them.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        _ => !c.is_control(),
    }
}

/// A whole text, cleaned.
pub(crate) fn clean(text: &str) -> String {
    Cleaner::default().clean(text)
}

/// A whole text, cleaned, on one line.
pub(crate) fn one_line(text: &str) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// JSON with every character that a terminal could take for a command written as an escape. Such characters only stand
/// inside strings, so the meaning stays.
pub(crate) fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_shown(c) {
            out.push(c);
        } else {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_and_controls_are_taken_out_and_text_stays() {
        let cases = [
            ("plain\n\ttext é 漢 🙂", "plain\n\ttext é 漢 🙂"),
            ("a\x1b[31mred\x1b[0mb", "aredb"),
            ("a\x1b]0;title\x07b", "ab"),
            ("a\x1b]52;c;ZXZpbA==\x1b\\b", "ab"),
            ("a\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "alink"),
            ("a\x1bPq#0\x1b\\b", "ab"),
            ("a\x1b_apc\x1b\\b", "ab"),
            ("a\x1b(0b", "ab"),
            ("a\x1bcb", "ab"),
            ("a\u{9b}2Jb", "ab"),
            ("a\u{9d}0;x\u{9c}b", "ab"),
            ("over\rwritten\x08\x7f\x00", "overwritten"),
            ("a\u{202e}b\u{2066}c", "abc"),
            ("a\x1b\x1b[2Jb", "ab"),
        ];
        for (text, expected) in cases {
            assert_eq!(clean(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sequences_are_found_wherever_the_text_is_torn() {
        let text = "a\x1b]52;c;ZXZpbA==\x1b\\b\x1b[1;31mc\u{9b}2Jd\x1b(0e";
        for (tear, _) in text.char_indices() {
            let mut cleaner = Cleaner::default();
            let joined = cleaner.clean(&text[..tear]) + &cleaner.clean(&text[tear..]);
            assert_eq!(joined, "abcde", "torn at {tear}");
        }
    }

    #[test]
    fn a_sequence_that_does_not_end_hides_no_more_than_a_line() {
        assert_eq!(clean("a\x1b]0;never ends\nthe next line"), "a\nthe next line");
        let long = format!("a\x1b[{}", "1".repeat(1_000));
        assert!(clean(&long).len() > 700, "the rest is text again");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value = serde_json::json!({ "a": "\u{9b}2J\u{7f}\u{1b}[2J\u{202e}é\n" });
        let text = json(&value.to_string());
        assert!(text.chars().all(is_shown), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
