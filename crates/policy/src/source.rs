//! A text of policies, cut into statements, so that every fault has its line. What a statement means is Cedar's.

/// The standard policy, commented.
pub(crate) const STANDARD: &str = include_str!("default.cedar");

/// A named text of policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What faults call it: a file's name.
    pub name: String,
    /// Policies in Cedar's language.
    pub text: String,
}

impl Source {
    /// The standard policy, for loading it together with an operator's own.
    pub fn standard() -> Self {
        Self { name: "default.cedar".to_owned(), text: STANDARD.to_owned() }
    }

    /// Whether this is the standard policy, unchanged: only its asks are lifted by a declaration that never asks.
    pub(crate) fn is_standard(&self) -> bool {
        self.text == STANDARD
    }

    /// The statements: each from its first word to its semicolon; what follows the last semicolon is one more.
    pub(crate) fn statements(&self) -> Vec<Statement<'_>> {
        let mut found = Vec::new();
        let mut start = None;
        let mut end = 0;
        let mut rest = self.text.char_indices().peekable();
        while let Some((place, letter)) = rest.next() {
            if letter == '/' && rest.peek().is_some_and(|(_, next)| *next == '/') {
                while rest.next_if(|(_, letter)| *letter != '\n').is_some() {}
                continue;
            }
            if letter.is_whitespace() {
                continue;
            }
            let from = *start.get_or_insert(place);
            end = place + letter.len_utf8();
            match letter {
                '"' => end = past_string(&mut rest).unwrap_or(self.text.len()),
                ';' => {
                    found.push(Statement { offset: from, text: &self.text[from..end] });
                    start = None;
                }
                _ => {}
            }
        }
        if let Some(from) = start {
            found.push(Statement { offset: from, text: &self.text[from..end] });
        }
        found
    }

    /// Line and column, in characters, both from 1, of a byte offset.
    pub(crate) fn place(&self, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}

/// Goes on to behind the string's closing quote; `None` where it does not close.
fn past_string(rest: &mut impl Iterator<Item = (usize, char)>) -> Option<usize> {
    while let Some((place, letter)) = rest.next() {
        match letter {
            '"' => return Some(place + 1),
            '\\' => _ = rest.next(),
            _ => {}
        }
    }
    None
}

/// The text of one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Statement<'a> {
    /// Where it begins in its source, in bytes.
    pub(crate) offset: usize,
    pub(crate) text: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(usize, String)> {
        let source = Source { name: "a.cedar".to_owned(), text: text.to_owned() };
        source.statements().iter().map(|found| (source.place(found.offset).0, found.text.to_owned())).collect()
    }

    #[test]
    fn statements_end_at_semicolons_outside_strings_and_comments() {
        let text = "// a; b\npermit(\"x;\\\";\");\n\n  forbid // why; not\n ();";
        let wanted = [(2, "permit(\"x;\\\";\");"), (4, "forbid // why; not\n ();")];
        assert_eq!(texts(text), wanted.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn what_has_no_semicolon_is_a_statement_too() {
        assert_eq!(texts("permit(a) // end"), [(1, "permit(a)".to_owned())]);
        assert_eq!(texts("\n\"open; "), [(2, "\"open; ".to_owned())]);
        assert_eq!(texts("  // only words\n"), []);
    }

    #[test]
    fn places_count_characters() {
        let source = Source { name: String::new(), text: "é\nüx".to_owned() };
        assert_eq!(source.place(0), (1, 1));
        assert_eq!(source.place(source.text.len() - 1), (2, 2));
        assert_eq!(source.place(1), (1, 1), "inside a letter");
        assert_eq!(source.place(99), (2, 3));
    }
}
