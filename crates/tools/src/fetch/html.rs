//! A page as readable text: headings, paragraphs, lists, tables and links; no scripts, styles or forms' insides.
//! Works on tokens, so that nothing on a page can be nested too deeply. Pure.

use html5gum::{Token, Tokenizer, emitters::default::DefaultEmitter};

/// What is not for reading, with all that is in it.
const SILENT: &[&str] = &[
    "script", "style", "noscript", "template", "svg", "math", "iframe", "object", "canvas", "head", "select",
    "textarea",
];
/// What begins and ends a block.
const BLOCKS: &[&str] = &[
    "p",
    "div",
    "section",
    "article",
    "main",
    "aside",
    "header",
    "footer",
    "nav",
    "ul",
    "ol",
    "dl",
    "dt",
    "dd",
    "table",
    "form",
    "fieldset",
    "figure",
    "figcaption",
    "blockquote",
    "address",
    "details",
    "summary",
    "hr",
    "body",
];

/// The text of a page.
pub(super) fn text(page: &str) -> String {
    let mut reader = Reader::default();
    let mut emitter = DefaultEmitter::default();
    // What is inside a script is no markup.
    emitter.naively_switch_states(true);
    for Ok(token) in Tokenizer::new_with_emitter(page, emitter) {
        match token {
            Token::StartTag(tag) => {
                let name = String::from_utf8_lossy(&tag.name).into_owned();
                let href =
                    tag.attributes.get(b"href".as_slice()).map(|href| String::from_utf8_lossy(href).into_owned());
                let alt = tag.attributes.get(b"alt".as_slice()).map(|alt| String::from_utf8_lossy(alt).into_owned());
                reader.start(&name, href, alt, tag.self_closing);
            }
            Token::EndTag(tag) => reader.end(&String::from_utf8_lossy(&tag.name)),
            Token::String(words) => reader.words(&String::from_utf8_lossy(&words)),
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    out: String,
    title: String,
    in_title: bool,
    /// What is being left out, and how often it was opened again inside of itself.
    silent: Option<(String, usize)>,
    preformatted: usize,
    link: Option<String>,
    /// Line breaks that come before the next word.
    breaks: usize,
    space: bool,
}

impl Reader {
    fn start(&mut self, name: &str, href: Option<String>, alt: Option<String>, self_closing: bool) {
        if name == "title" && self.silent.as_ref().is_some_and(|(silent, _)| silent == "head") {
            self.in_title = true;
            return;
        }
        if name == "body" {
            // Pages leave `</head>` out.
            self.silent = self.silent.take().filter(|(silent, _)| silent != "head");
        }
        if let Some((silent, depth)) = &mut self.silent {
            *depth += usize::from(silent == name && !self_closing);
            return;
        }
        if SILENT.contains(&name) && !self_closing {
            self.silent = Some((name.to_owned(), 1));
            return;
        }
        match name {
            "br" => self.break_lines(1),
            "tr" => self.break_lines(1),
            "li" => {
                self.break_lines(1);
                self.mark("- ");
            }
            "td" | "th" => self.cell(),
            "pre" => {
                self.break_lines(2);
                self.preformatted += 1;
            }
            "a" => self.link = href,
            "img" => self
                .words(&alt.filter(|alt| !alt.trim().is_empty()).map(|alt| format!(" [{alt}] ")).unwrap_or_default()),
            _ if is_heading(name) => {
                self.break_lines(2);
                let level = name.as_bytes().get(1).map_or(1, |digit| usize::from(digit - b'0'));
                self.mark(&format!("{} ", "#".repeat(level)));
            }
            _ if BLOCKS.contains(&name) => self.break_lines(2),
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        if name == "title" {
            self.in_title = false;
        }
        if let Some((silent, depth)) = &mut self.silent {
            if silent == name {
                *depth -= 1;
                if *depth == 0 {
                    self.silent = None;
                }
            }
            return;
        }
        match name {
            "a" => {
                if let Some(href) = self.link.take().filter(|href| href.starts_with("http")) {
                    self.out.push_str(&format!(" ({href})"));
                }
            }
            "pre" => {
                self.preformatted = self.preformatted.saturating_sub(1);
                self.break_lines(2);
            }
            _ if is_heading(name) || BLOCKS.contains(&name) => self.break_lines(2),
            _ => {}
        }
    }

    fn words(&mut self, words: &str) {
        if self.in_title {
            self.title.push_str(words);
            return;
        }
        if self.silent.is_some() {
            return;
        }
        if self.preformatted > 0 {
            self.settle();
            self.out.push_str(words);
            return;
        }
        for letter in words.chars() {
            if letter.is_whitespace() {
                self.space = true;
            } else {
                self.settle();
                self.out.push(letter);
            }
        }
    }

    fn break_lines(&mut self, breaks: usize) {
        self.breaks = self.breaks.max(breaks);
    }

    fn mark(&mut self, mark: &str) {
        self.settle();
        self.out.push_str(mark);
    }

    fn cell(&mut self) {
        if self.breaks == 0 && !self.out.is_empty() {
            self.out.push_str(" | ");
            self.space = false;
        }
    }

    /// Writes the breaks or the space that were due.
    fn settle(&mut self) {
        if self.out.is_empty() {
            // Nothing comes before the first word.
        } else if self.breaks > 0 {
            self.out.truncate(self.out.trim_end_matches(' ').len());
            self.out.extend(std::iter::repeat_n('\n', self.breaks));
        } else if self.space && !self.out.ends_with(' ') {
            self.out.push(' ');
        }
        self.breaks = 0;
        self.space = false;
    }

    fn finish(self) -> String {
        let title = self.title.split_whitespace().collect::<Vec<_>>().join(" ");
        match (title.is_empty(), self.out.is_empty()) {
            (true, _) => self.out,
            (false, true) => title,
            (false, false) => format!("{title}\n\n{}", self.out),
        }
    }
}

fn is_heading(name: &str) -> bool {
    matches!(name, "h1" | "h2" | "h3" | "h4" | "h5" | "h6")
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn what_is_for_reading_stays() {
        let page = "<!doctype html><html><head><title> A  page </title><style>p{}</style></head><body>\
            <h1>Top</h1><p>One <b>bold</b>\n word.</p><ul><li>a<li>b</ul><script>alert('<p>no')</script>\
            <p>See <a href='https://example.com/x'>there</a>, <a href='#y'>here</a>.</p>\
            <table><tr><th>k<th>v</tr><tr><td>1<td>2</tr></table><pre>x\n  y</pre><img alt='a cat'>&lt;&eacute;";
        let expected = "A page\n\n# Top\n\nOne bold word.\n\n- a\n- b\n\n\
            See there (https://example.com/x), here.\n\nk | v\n1 | 2\n\nx\n  y\n\n[a cat] <é";
        assert_eq!(text(page), expected);
    }

    #[test]
    fn broken_pages_are_read_as_far_as_they_go() {
        for page in
            ["", "<", "<p", "<!--", "</p></p></a></script>", "<script>never closed", "\0<a href>x", "<head><p>x"]
        {
            let _ = text(page);
        }
        assert_eq!(text("<head><title>t<body>x"), "t<body>x");
        assert_eq!(text("<div>".repeat(100_000).as_str()), "");
        assert_eq!(text("<script>document.write('<script>')</script>yes"), "yes");
        assert_eq!(text("<svg><svg></svg>no</svg>yes"), "yes");
    }
}
