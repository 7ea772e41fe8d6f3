//! Tables: columns as wide as what they hold; on a terminal the last one is cut where the line ends.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::screen::{Screen, Style};

/// Between two columns.
const GAP: &str = "  ";

/// One field: its text and how it is meant.
pub(crate) type Cell = (String, Option<Style>);

/// A table under construction.
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table of these columns; a heading that begins with `>` is of a column of numbers.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The lines.
    pub(crate) fn render(&self, screen: &Screen) -> String {
        let heading = |heading: &&'static str| (heading.trim_start_matches('>').to_owned(), Some(Style::Dim));
        let headings: Vec<Cell> = self.headings.iter().map(heading).collect();
        let rows = || std::iter::once(&headings).chain(&self.rows);
        let widest = |column: usize| rows().filter_map(|row| row.get(column)).map(|cell| cell.0.width()).max();
        let widths: Vec<usize> = (0..self.headings.len()).map(|column| widest(column).unwrap_or(0)).collect();
        rows().map(|row| self.line(row, &widths, screen)).collect()
    }

    fn line(&self, row: &[Cell], widths: &[usize], screen: &Screen) -> String {
        let mut line = String::new();
        let mut used = 0;
        for (column, (text, style)) in row.iter().enumerate() {
            let is_last = column + 1 == widths.len();
            let left = screen.width().map(|width| width.saturating_sub(used));
            let text = match left {
                Some(left) if is_last => cut(text, left),
                _ => text.clone(),
            };
            let padding = " ".repeat(widths[column].saturating_sub(text.width()));
            let painted = style.map_or_else(|| text.clone(), |style| screen.paint(style, &text));
            match (self.headings[column].starts_with('>'), is_last) {
                (true, _) => line.push_str(&format!("{padding}{painted}")),
                (false, true) => line.push_str(&painted),
                (false, false) => line.push_str(&format!("{painted}{padding}")),
            }
            if !is_last {
                line.push_str(GAP);
                used += widths[column] + GAP.len();
            }
        }
        format!("{}\n", line.trim_end())
    }
}

/// As much of a text as fits, with `…` where something is missing.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_the_screen() {
        let mut table = Table::new(&["id", ">n", "words"]);
        table.row(vec![("abc".to_owned(), None), ("7".to_owned(), None), ("漢字漢字 and more".to_owned(), None)]);
        table.row(vec![("d".to_owned(), None), ("1,234".to_owned(), None), (String::new(), None)]);
        let wide = table.render(&Screen::sample(None));
        assert_eq!(wide, "id       n  words\nabc      7  漢字漢字 and more\nd    1,234\n");
        let narrow = table.render(&Screen::sample(Some(20)));
        assert_eq!(narrow, "id       n  words\nabc      7  漢字漢…\nd    1,234\n");
        assert!(narrow.lines().all(|line| line.width() <= 20));
    }
}
