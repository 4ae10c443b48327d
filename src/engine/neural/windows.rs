//! Owns which rows a forecast is made from. Invariant: a window ends on the row it forecasts from and holds no later one; what lies beyond a gap in
//! time, or before the first row, is not known.

/// Rows in the order of time, the features scaled.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Timeline {
    /// Days since 1970-01-01, ascending, each once.
    pub dates: Vec<i32>,
    /// How many features a row has.
    pub features: usize,
    /// The features, row after row.
    pub values: Vec<f32>,
}

/// The rows that one forecast is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The row it ends on.
    pub end: usize,
    /// How many rows are known, that one included.
    pub known: usize,
}

impl Timeline {
    /// The window of so many rows that ends on this day; none where there is no such day. Where two days lie more than `gap` calendar days apart,
    /// nothing from before is known.
    #[must_use]
    pub fn window(&self, date: i32, rows: usize, gap: i32) -> Option<Window> {
        let end = self.dates.binary_search(&date).ok()?;
        let whole = (1..rows.min(end + 1)).take_while(|back| self.dates[end - back + 1] - self.dates[end - back] <= gap).count();
        Some(Window { end, known: whole + 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_on_its_row_and_stops_at_a_gap_or_at_the_beginning() {
        let line = Timeline { dates: vec![1, 2, 3, 40, 41, 42, 45], features: 0, values: Vec::new() };
        let window = |date, rows| line.window(date, rows, 10).map(|w| (w.end, w.known));
        assert_eq!(window(45, 3), Some((6, 3)));
        assert_eq!(window(45, 9), Some((6, 4)), "nothing from before the gap");
        assert_eq!(window(2, 5), Some((1, 2)), "nothing from before the first row");
        assert_eq!((window(40, 4), window(1, 1)), (Some((3, 1)), Some((0, 1))));
        assert_eq!(window(44, 3), None);
    }
}
