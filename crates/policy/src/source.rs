//! A text of policies, cut into statements, so that every fault has its line. What a statement means is Cedar's.

use std::{iter::Peekable, str::CharIndices};

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
        let mut open: Option<(usize, usize)> = None;
        for piece in Pieces::of(&self.text).filter(|piece| !piece.letter.is_whitespace()) {
            let from = open.map_or(piece.from, |(from, _)| from);
            open = Some((from, piece.to));
            if piece.letter == ';' {
                found.push(Statement { offset: from, text: &self.text[from..piece.to] });
                open = None;
            }
        }
        found.extend(open.map(|(from, to)| Statement { offset: from, text: &self.text[from..to] }));
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

/// A letter outside strings and comments, or a whole string, whose letter is its opening quote. Bytes of the text.
#[derive(Clone, Copy, Debug)]
struct Piece {
    from: usize,
    to: usize,
    letter: char,
}

/// The text without its comments.
struct Pieces<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
}

impl<'a> Pieces<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, rest: text.char_indices().peekable() }
    }

    /// Goes on to behind the closing quote, or to the end.
    fn past_string(&mut self) -> usize {
        while let Some((place, letter)) = self.rest.next() {
            match letter {
                '"' => return place + 1,
                '\\' => _ = self.rest.next(),
                _ => {}
            }
        }
        self.text.len()
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        loop {
            let (from, letter) = self.rest.next()?;
            if letter == '/' && self.rest.peek().is_some_and(|(_, next)| *next == '/') {
                while self.rest.next_if(|(_, letter)| *letter != '\n').is_some() {}
                continue;
            }
            let to = if letter == '"' { self.past_string() } else { from + letter.len_utf8() };
            return Some(Piece { from, to, letter });
        }
    }
}

/// The text of one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Statement<'a> {
    /// Where it begins in its source, in bytes.
    pub(crate) offset: usize,
    pub(crate) text: &'a str,
}

impl Statement<'_> {
    /// How deep the engine, which is recursive, would have to go: brackets in brackets and branches, and how many operators
    /// there are, because each may stand on the result of the one before.
    pub(crate) fn depth(&self) -> (usize, usize) {
        let (mut open, mut deepest, mut branches, mut operators) = (0_usize, 0_usize, 0, 0);
        let mut word = String::new();
        let mut before = ' ';
        for piece in Pieces::of(self.text) {
            match piece.letter {
                '(' | '[' | '{' => open += 1,
                ')' | ']' | '}' => open = open.saturating_sub(1),
                '&' | '|' | '.' | '+' | '*' | '-' | '!' | '<' | '>' | '=' => {
                    // `&&`, `==`, `<=` are one.
                    operators += usize::from(!matches!((before, piece.letter), ('&', '&') | ('|', '|') | (_, '=')));
                    operators += usize::from(piece.letter == '=' && !matches!(before, '=' | '<' | '>' | '!'));
                }
                _ => {}
            }
            before = piece.letter;
            deepest = deepest.max(open);
            if piece.letter.is_alphanumeric() || piece.letter == '_' {
                // No word that counts is longer.
                if word.len() <= 4 {
                    word.push(piece.letter);
                }
                continue;
            }
            branches += usize::from(word == "if");
            operators += usize::from(["has", "like", "in", "is"].contains(&word.as_str()));
            word.clear();
        }
        (deepest + branches, operators)
    }
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
    fn depth_counts_what_the_engine_recurses_into() {
        let depth = |text| Statement { offset: 0, text }.depth();
        assert_eq!(depth("a"), (0, 0));
        assert_eq!(depth("(([{x}]))()"), (4, 0));
        assert_eq!(depth("\"((((&&\" // ((((..\n(a.b)"), (1, 1));
        assert_eq!(depth("if (a) then b else if c then d else e"), (3, 0));
        assert_eq!(depth("a has b && c like \"x\" || !d in iff"), (0, 6));
        assert_eq!(depth("a == b != c <= d >= e < f"), (0, 5));
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
