//! One measured number with what it is held against, and the table of them.

/// One measured number.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Figure {
    pub(super) row: &'static str,
    pub(super) name: String,
    pub(super) case: String,
    pub(super) figure: &'static str,
    pub(super) value: f64,
    /// In percent of the limit of the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) of_limit: Option<f64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) target: &'static str,
    /// What others reach.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) peers: String,
}

impl Figure {
    pub(super) fn new(
        (row, name): (&'static str, &str),
        case: impl Into<String>,
        figure: &'static str,
        value: f64,
    ) -> Self {
        let (name, case) = (name.to_owned(), case.into());
        Self { row, name, case, figure, value, of_limit: None, target: "", peers: String::new() }
    }

    /// What must be reached.
    pub(super) const fn target(mut self, target: &'static str) -> Self {
        self.target = target;
        self
    }

    /// What others reach.
    pub(super) fn peers(mut self, peers: impl Into<String>) -> Self {
        self.peers = peers.into();
        self
    }
}

/// The middle of some values; zero of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    quantile(&mut values, 50)
}

/// What so many percent of some values do not exceed; zero of none. Sorts them.
pub(super) fn quantile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values.get(rank - 1).copied().unwrap_or(0.0)
}

/// Columns as wide as their widest cell, numbers to the right.
pub(super) fn table(figures: &[Figure]) -> String {
    const NUMBERS: [usize; 2] = [3, 4];
    let head = ["name", "case", "figure", "value", "of limit", "target", "peers"].map(str::to_owned);
    let rows = figures.iter().map(|figure| {
        let of_limit = figure.of_limit.map_or_else(String::new, |percent| format!("{percent:.0} %"));
        let value = if figure.value < 100.0 { format!("{:.2}", figure.value) } else { format!("{:.0}", figure.value) };
        let [name, case, peers] = [&figure.name, &figure.case, &figure.peers].map(Clone::clone);
        [name, case, figure.figure.to_owned(), value, of_limit, figure.target.to_owned(), peers]
    });
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(rows).collect();
    let widths: Vec<usize> =
        (0..7).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if NUMBERS.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let figures =
            [Figure::new(("row", "a"), "one", "cpu_us", 1.0), Figure::new(("row", "longer"), "one", "cpu_us", 1e6)];
        let text = table(&figures);
        let rows: Vec<_> = text.lines().skip(1).map(|line| line.find("one").unwrap()).collect();
        assert_eq!((rows.len(), rows[0]), (2, rows[1]));
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!((quantile(&mut values, 99), quantile(&mut values, 100)), (99.0, 100.0));
    }
}
