//! Reads Rust text well enough to count and to search it: comments and the inside of strings blanked out, test
//! modules known. Not a parser; a file that confuses it is better written differently.

use std::ops::Range;

/// What stands for a character inside a string: visible to a line count, never a word or a brace.
const INSIDE: char = '"';

/// A Rust file, ready to be searched.
pub(crate) struct Source {
    /// The text without comments and without what is inside strings; same lines as the original.
    pub(crate) code: String,
    tests: Vec<Range<usize>>,
}

/// A function and how long it is.
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// Line of its `fn`, from 1.
    pub(crate) line: usize,
    /// Code lines from `fn` to the closing brace.
    pub(crate) lines: usize,
}

impl Source {
    /// Reads a file.
    pub(crate) fn new(text: &str) -> Self {
        let code = blank(text);
        let tests = test_ranges(&code);
        Self { code, tests }
    }

    /// Code lines outside `#[cfg(test)]`.
    pub(crate) fn code_lines(&self) -> usize {
        let mut at = 0;
        let mut count = 0;
        for line in self.code.split_inclusive('\n') {
            count += usize::from(!line.trim().is_empty() && !self.is_test(at));
            at += line.len();
        }
        count
    }

    /// Functions outside `#[cfg(test)]`, in order.
    pub(crate) fn functions(&self) -> Vec<Function> {
        words(&self.code)
            .filter(|(at, word)| *word == "fn" && !self.is_test(*at))
            .filter_map(|(at, _)| self.function(at))
            .collect()
    }

    fn function(&self, at: usize) -> Option<Function> {
        let name = words(&self.code[at..]).nth(1)?.1.to_owned();
        let body = body(&self.code, at)?;
        let lines = self.code[at..body.end].lines().filter(|line| !line.trim().is_empty()).count();
        Some(Function { name, line: line_of(&self.code, at), lines })
    }

    fn is_test(&self, at: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&at))
    }
}

/// Line of a byte, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Identifiers and keywords, with where they begin.
pub(crate) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text[from..].find(is_word)?;
        let end = text[start..].find(|c| !is_word(c)).map_or(text.len(), |length| start + length);
        from = end;
        Some((start, &text[start..end]))
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The braces that follow `at`, if they come before a `;` outside brackets; the range includes both.
fn body(code: &str, at: usize) -> Option<Range<usize>> {
    let mut brackets = 0_i32;
    for (offset, c) in code[at..].char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if brackets == 0 => return None,
            '{' if brackets == 0 => return Some(at + offset..closing(code, at + offset)),
            _ => {}
        }
    }
    None
}

fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_i32;
    for (offset, c) in code[open..].char_indices() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 {
            return open + offset + 1;
        }
    }
    code.len()
}

fn test_ranges(code: &str) -> Vec<Range<usize>> {
    const MARK: &str = "#[cfg(test)]";
    code.match_indices(MARK).filter_map(|(at, _)| Some(at..body(code, at + MARK.len())?.end)).collect()
}

/// Blanks comments to spaces and the inside of literals to `INSIDE`; line ends stay where they are.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut previous = ' ';
    while let Some(c) = rest.chars().next() {
        let (length, fill) = match literal(rest, previous) {
            Some((length, fill)) => (length, Some(fill)),
            None => (c.len_utf8(), None),
        };
        let (taken, after) = rest.split_at(length);
        match fill {
            Some(fill) => out.extend(taken.chars().map(|c| if c == '\n' { c } else { fill })),
            None => out.push(c),
        }
        previous = taken.chars().next_back().unwrap_or(' ');
        rest = after;
    }
    out
}

/// The comment or literal that `rest` begins with: its length, and what to blank it with.
fn literal(rest: &str, previous: char) -> Option<(usize, char)> {
    if rest.starts_with("//") {
        return Some((rest.find('\n').unwrap_or(rest.len()), ' '));
    }
    if rest.starts_with("/*") {
        return Some((block_comment(rest), ' '));
    }
    if rest.starts_with('\'') {
        return character(rest).map(|length| (length, INSIDE));
    }
    if rest.starts_with('"') {
        return Some((quoted(rest, 1), INSIDE));
    }
    if is_word(previous) {
        return None;
    }
    let prefix = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    let raw = prefix.strip_prefix('r')?;
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    let inner = raw[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inner.find(&end).map_or(inner.len(), |at| at + end.len());
    Some((rest.len() - inner.len() + length, INSIDE))
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_i32;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest[at..];
        let step = if here.starts_with("/*") {
            depth += 1;
            2
        } else if here.starts_with("*/") {
            depth -= 1;
            2
        } else {
            here.chars().next().map_or(1, char::len_utf8)
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Length of a quoted string whose first character is at `from - 1`.
fn quoted(rest: &str, from: usize) -> usize {
    let mut escaped = false;
    for (at, c) in rest[from..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return from + at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of a character literal; `None` for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut inside = rest[1..].chars();
    let first = inside.next()?;
    if first == '\\' {
        let after = 1 + first.len_utf8() + inside.next()?.len_utf8();
        return rest[after..].find('\'').map(|at| after + at + 1);
    }
    (inside.next() == Some('\'')).then(|| 1 + first.len_utf8() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_hide_nothing_but_themselves() {
        let code = blank("a /* { /* fn */ } */ \"fn \\\" {\" 'x' '\\'' 'a: &'static str r#\"fn \"{\"# // fn\nb");
        assert_eq!(words(&code).map(|(_, word)| word).collect::<Vec<_>>(), ["a", "a", "static", "str", "b"]);
        assert!(!code.contains('{'));
        assert_eq!(code.matches('\n').count(), 1);
    }

    #[test]
    fn code_lines_leave_out_blanks_comments_and_tests() {
        let text =
            "//! x\n\nfn a() {\n    // no\n    b();\n}\n#[cfg(test)]\nmod tests {\n    fn c() {}\n}\nfn d() {}\n";
        assert_eq!(Source::new(text).code_lines(), 4);
    }

    #[test]
    fn a_declared_test_module_hides_nothing_after_it() {
        let source = Source::new("#[cfg(test)]\nmod tests;\nfn a() {}\n");
        assert_eq!(source.functions().len(), 1);
    }

    #[test]
    fn functions_end_at_their_brace() {
        let source = Source::new("fn a(x: [u8; 2]) -> u8 {\n    if x { 1 } else { 2 }\n}\n\nfn b();\nfn c() {}\n");
        let found: Vec<_> = source.functions().into_iter().map(|f| (f.name, f.line, f.lines)).collect();
        assert_eq!(found, [("a".to_owned(), 1, 3), ("c".to_owned(), 6, 1)]);
    }
}
