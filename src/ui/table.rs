//! Owns small tables of text and their JSON twins. Invariant: both show the same cells; the text never exceeds the width it is given.

use serde_json::{Map, Value};

use crate::base::units;
use crate::ui::output::{Palette, cut, paint, tame};
use crate::ui::words;

/// Narrowest a column is cut to.
const NARROWEST: usize = 6;
const GAP: &str = "  ";

/// Rows under named columns.
#[derive(Debug, Clone, Default)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug, Clone)]
struct Column {
    key: String,
    title: String,
    right: bool,
}

/// One cell: what people read, what programs read.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    shown: String,
    value: Value,
    tone: Tone,
}

/// What a cell's colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// Well.
    Good,
    /// Failed.
    Bad,
    /// Wants attention.
    Warn,
    /// A target's name.
    Name,
    /// Matters less.
    Dim,
}

impl Cell {
    /// Text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { shown: tame(&text), value: Value::String(text), tone: Tone::Plain }
    }

    /// A whole number.
    #[must_use]
    pub fn count(count: u64) -> Self {
        Self { shown: count.to_string(), value: count.into(), tone: Tone::Plain }
    }

    /// A number with so many decimals; programs get all of them.
    #[must_use]
    pub fn number(number: f64, decimals: usize) -> Self {
        Self { shown: format!("{number:.decimals$}"), value: number.into(), tone: Tone::Plain }
    }

    /// Bytes, shown as `1.5 MiB`, for programs the plain number.
    #[must_use]
    pub fn bytes(bytes: u64) -> Self {
        Self { shown: units::bytes(bytes), value: bytes.into(), tone: Tone::Plain }
    }

    /// Milliseconds, shown as `12.3s`, for programs the plain number.
    #[must_use]
    pub fn millis(ms: u64) -> Self {
        Self { shown: words::elapsed(ms), value: ms.into(), tone: Tone::Plain }
    }

    /// Nothing: `-`, and `null` for programs.
    #[must_use]
    pub fn none() -> Self {
        Self { shown: "-".to_owned(), value: Value::Null, tone: Tone::Dim }
    }

    /// Shown as `shown`, for programs `value`.
    #[must_use]
    pub fn pair(shown: impl Into<String>, value: Value) -> Self {
        Self { shown: tame(&shown.into()), value, tone: Tone::Plain }
    }

    /// The cell in another tone.
    #[must_use]
    pub fn tone(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }
}

impl Table {
    /// A table without columns.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column of text, with its name for programs.
    #[must_use]
    pub fn left(self, key: &str, title: &str) -> Self {
        self.column(key, title, false)
    }

    /// Adds a column of numbers, which stand at its right.
    #[must_use]
    pub fn right(self, key: &str, title: &str) -> Self {
        self.column(key, title, true)
    }

    fn column(mut self, key: &str, title: &str, right: bool) -> Self {
        self.columns.push(Column { key: key.to_owned(), title: tame(title), right });
        self
    }

    /// Adds a row; cells that are missing are `none`.
    pub fn row(&mut self, cells: Vec<Cell>) {
        let mut cells = cells;
        cells.resize(self.columns.len(), Cell::none());
        self.rows.push(cells);
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows as a list of objects.
    #[must_use]
    pub fn json(&self) -> Value {
        let object = |row: &Vec<Cell>| {
            let pairs = self.columns.iter().zip(row).map(|(column, cell)| (column.key.clone(), cell.value.clone()));
            Value::Object(pairs.collect::<Map<_, _>>())
        };
        Value::Array(self.rows.iter().map(object).collect())
    }

    /// The rows under their titles, cut to `width` columns where there is a terminal to fit.
    #[must_use]
    pub fn text(&self, palette: &Palette, width: Option<usize>) -> String {
        let widths = self.widths(width);
        let titles: Vec<Cell> = self.columns.iter().map(|column| Cell::text(column.title.as_str()).tone(Tone::Dim)).collect();
        let mut text = String::new();
        for row in std::iter::once(&titles).chain(&self.rows) {
            text.push_str(&self.line(row, &widths, palette));
            text.push('\n');
        }
        text
    }

    fn line(&self, row: &[Cell], widths: &[usize], palette: &Palette) -> String {
        let mut line = String::new();
        // Spaces wait here until something stands behind them, so that no line ends in one.
        let mut pending = String::new();
        for ((column, cell), &width) in self.columns.iter().zip(row).zip(widths).filter(|(_, width)| **width > 0) {
            let shown = cut(&cell.shown, width);
            let pad = " ".repeat(width - shown.chars().count().min(width));
            if column.right {
                pending.push_str(&pad);
            }
            if !shown.is_empty() {
                line.push_str(&std::mem::take(&mut pending));
                line.push_str(&paint(style(cell.tone, palette), &shown));
            }
            if !column.right {
                pending.push_str(&pad);
            }
            pending.push_str(GAP);
        }
        line
    }

    /// Each column's width: what its cells need, then the widest ones of text cut until all fit; 0 drops a column from the right.
    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let need = |index: usize, column: &Column| {
            let cells = self.rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.shown.chars().count());
            cells.chain([column.title.chars().count(), 1]).max().unwrap_or(1)
        };
        let mut widths: Vec<usize> = self.columns.iter().enumerate().map(|(index, column)| need(index, column)).collect();
        let Some(limit) = limit else { return widths };
        let total = |widths: &[usize]| {
            let shown = widths.iter().filter(|width| **width > 0).count();
            widths.iter().sum::<usize>() + GAP.len() * shown.saturating_sub(1)
        };
        while total(&widths) > limit {
            let excess = total(&widths) - limit;
            let widest = (0..widths.len()).filter(|&i| !self.columns[i].right && widths[i] > NARROWEST).max_by_key(|&i| (widths[i], i));
            if let Some(widest) = widest {
                let second = (0..widths.len()).filter(|&i| i != widest && !self.columns[i].right).map(|i| widths[i]).max().unwrap_or(0);
                let floor = second.max(NARROWEST).min(widths[widest] - 1);
                widths[widest] = widths[widest].saturating_sub(excess).max(floor);
            } else if let Some(last) = widths.iter().rposition(|width| *width > 0).filter(|last| *last > 0) {
                widths[last] = 0;
            } else {
                widths[0] = limit;
            }
        }
        widths
    }
}

fn style(tone: Tone, palette: &Palette) -> anstyle::Style {
    match tone {
        Tone::Plain => anstyle::Style::new(),
        Tone::Good => palette.good,
        Tone::Bad => palette.bad,
        Tone::Warn => palette.warn,
        Tone::Name => palette.name,
        Tone::Dim => palette.dim,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn metrics() -> Table {
        let mut table =
            Table::new().left("model", "model").right("mae", "MAE").right("bytes", "size").right("wall_ms", "took").left("note", "");
        table.row(vec![
            Cell::text("model/wti/lightgbm/1m").tone(Tone::Name),
            Cell::number(4.203_71, 3),
            Cell::bytes(88_500_000),
            Cell::millis(20_910),
            Cell::text("worse than naive").tone(Tone::Warn),
        ]);
        table.row(vec![Cell::text("model/wti/naive/1m").tone(Tone::Name), Cell::number(3.9, 3), Cell::count(412)]);
        table
    }

    #[test]
    fn numbers_stand_at_the_right_and_no_line_ends_in_a_space() {
        insta::assert_snapshot!(metrics().text(&Palette::plain(), None), @r#"
        model                    MAE      size   took
        model/wti/lightgbm/1m  4.204  84.4 MiB  20.9s  worse than naive
        model/wti/naive/1m     3.900       412      -  -
        "#);
    }

    #[test]
    fn a_narrow_terminal_cuts_the_widest_text() {
        insta::assert_snapshot!(metrics().text(&Palette::plain(), Some(48)), @r#"
        model          MAE      size   took
        model/wti..  4.204  84.4 MiB  20.9s  worse tha..
        model/wti..  3.900       412      -  -
        "#);
    }

    #[test]
    fn programs_get_plain_numbers() {
        insta::assert_snapshot!(metrics().json(), @r#"[{"bytes":88500000,"mae":4.20371,"model":"model/wti/lightgbm/1m","note":"worse than naive","wall_ms":20910},{"bytes":412,"mae":3.9,"model":"model/wti/naive/1m","note":null,"wall_ms":null}]"#);
    }

    #[test]
    fn a_table_without_columns_or_rows_is_still_shown() {
        assert_eq!(Table::new().text(&Palette::plain(), Some(0)), "\n");
        assert_eq!(Table::new().left("a", "name").text(&Palette::plain(), Some(2)), "..\n");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(cells in prop::collection::vec(prop::collection::vec("[a-z]{0,30}", 4), 0..5), width in 0usize..120) {
            let mut table = Table::new().left("a", "alpha").right("b", "beta").left("c", "gamma").right("d", "delta");
            for row in cells {
                table.row(row.into_iter().map(Cell::text).collect());
            }
            for line in table.text(&Palette::plain(), Some(width)).lines() {
                prop_assert!(line.chars().count() <= width, "{:?} is wider than {}", line, width);
                prop_assert!(!line.ends_with(' '));
            }
        }
    }
}
