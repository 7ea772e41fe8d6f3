//! Tables of a Markdown page: cells, and the words in backticks within a cell.

/// A row and where it is.
pub(crate) struct Row<'a> {
    /// Line in the page, from 1.
    pub(crate) line: usize,
    /// Its cells, trimmed.
    pub(crate) cells: Vec<&'a str>,
}

/// The rows of the table whose header begins with these cells; empty if there is none.
pub(crate) fn rows<'a>(page: &'a str, header: &[&str]) -> Vec<Row<'a>> {
    let mut lines = page.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let found = lines.find(|(_, line)| line.starts_with('|') && cells(line).starts_with(header));
    if found.is_none() {
        return Vec::new();
    }
    lines
        .skip(1)
        .take_while(|(_, line)| line.starts_with('|'))
        .map(|(line, text)| Row { line, cells: cells(text) })
        .collect()
}

/// What stands in backticks.
pub(crate) fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_by_its_header_and_ends_where_it_ends() {
        let page = "| x | y |\n|---|---|\n| 1 | 2 |\n\n| a | b |\n|---|---|\n| `p`, `q` | – |\n\nend | no\n";
        let found = rows(page, &["a", "b"]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line, quoted(found[0].cells[0])), (7, vec!["p", "q"]));
        assert!(rows(page, &["c"]).is_empty());
    }
}
