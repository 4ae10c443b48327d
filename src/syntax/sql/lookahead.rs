//! Owns where a query can be seen to read later rows. Invariant: it judges by the text alone, so it sees windows and not joins; what it does not see is
//! for a test on rows to find, and what it names is never honest.

use std::collections::BTreeSet;

use crate::syntax::sql::ast::{Bound, Call, Expr, ExprKind, Frame, Item, Order, Query, Relation, Select, Window};
use crate::syntax::sql::error::SqlError;
use crate::syntax::sql::parts::{Name, Span, Type};
use crate::syntax::sql::walk::{self, Visit};

/// One place at which a query reads later rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// The bytes of the text.
    pub span: Span,
    /// How.
    pub how: How,
}

/// How a query reads later rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum How {
    /// `LEAD`, or `LAG` by a negative number.
    #[error("{function} reads a later row")]
    Next {
        /// As written.
        function: String,
    },
    /// A window that ends after its row.
    #[error("the window of {function} ends after the row it is for")]
    Following {
        /// The function over it.
        function: String,
    },
    /// A window from the newest row to the oldest.
    #[error("the window of {function} begins with the newest row, so what lies before a row in it came later")]
    Descending {
        /// The function over it.
        function: String,
    },
    /// A window without an order.
    #[error("{function} is taken over rows of all dates, the later ones too")]
    Whole {
        /// The function.
        function: String,
    },
    /// A rank as a share of all rows.
    #[error("{function} counts rows of all dates, the later ones too")]
    Share {
        /// The function.
        function: String,
    },
}

impl How {
    /// The way out.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Next { .. } => "LAG(x, n) OVER (ORDER BY date) reads an earlier row; outcomes are made by the frame",
            Self::Following { .. } => "end the window at its row: ROWS BETWEEN n PRECEDING AND CURRENT ROW",
            Self::Descending { .. } => "order it by date from the oldest row on",
            Self::Whole { .. } => {
                "end it at its row, OVER (ORDER BY date ROWS BETWEEN n PRECEDING AND CURRENT ROW), or keep it within a day, OVER (PARTITION BY date)"
            }
            Self::Share { .. } => "rank within a day, OVER (PARTITION BY date ORDER BY …), or against a window that ends at its row",
        }
    }
}

/// Every place at which a query reads later rows, in the order of the text. A window within one date is honest.
#[must_use]
pub fn lookahead(query: &Query) -> Vec<Ahead> {
    let mut seen = Seen::default();
    // A date by another name is named inside before it is used outside: two walks find a name of a name.
    for _ in 0..2 {
        seen.found.clear();
        // The walk has no error of its own.
        _ = walk::query(query, &mut seen);
    }
    seen.found.sort_by_key(|ahead| ahead.span.start);
    seen.found.dedup();
    seen.found
}

#[derive(Default)]
struct Seen {
    found: Vec<Ahead>,
    /// The windows by name of each `SELECT` that is open.
    windows: Vec<Vec<(Name, Window)>>,
    /// What the query calls a date, in small letters.
    dates: BTreeSet<String>,
}

impl Visit for Seen {
    fn select(&mut self, select: &Select) {
        self.windows.push(select.windows.clone());
        for item in &select.items {
            if let Item::Expr { expr, alias: Some(alias) } = item
                && self.is_date(expr)
            {
                self.dates.insert(alias.text.to_lowercase());
            }
        }
    }

    fn leave_select(&mut self) {
        self.windows.pop();
    }

    fn relation(&mut self, relation: &Relation) -> Result<(), SqlError> {
        if let Relation::Unnest { array: Expr { kind: ExprKind::Call(call), .. }, alias: Some(alias), .. } = relation
            && call.name == "GENERATE_DATE_ARRAY"
        {
            self.dates.insert(alias.text.to_lowercase());
        }
        Ok(())
    }

    fn expr(&mut self, expr: &Expr) -> Result<(), SqlError> {
        if let ExprKind::Call(call) = &expr.kind
            && let Some(window) = &call.over
        {
            let whole = self.resolved(window);
            let how = self.how(call, &whole);
            self.found.extend(how.map(|how| Ahead { span: call.name_span.clone(), how }));
        }
        Ok(())
    }
}

/// A window with what it takes over from the one that it names.
struct Resolved {
    partition_by: Vec<Expr>,
    order_by: Vec<Order>,
    frame: Option<Frame>,
}

impl Seen {
    fn resolved(&self, window: &Window) -> Resolved {
        let named = window.base.as_ref().and_then(|base| {
            let (_, found) = self.windows.last()?.iter().find(|(name, _)| name.text.eq_ignore_ascii_case(&base.text))?;
            // A window that names itself is an error that is told elsewhere.
            (found.base.as_ref().is_none_or(|inner| !inner.text.eq_ignore_ascii_case(&base.text))).then(|| self.resolved(found))
        });
        let mut whole = named.unwrap_or(Resolved { partition_by: Vec::new(), order_by: Vec::new(), frame: None });
        if !window.partition_by.is_empty() {
            whole.partition_by.clone_from(&window.partition_by);
        }
        if !window.order_by.is_empty() {
            whole.order_by.clone_from(&window.order_by);
        }
        whole.frame = window.frame.clone().or(whole.frame);
        whole
    }

    fn how(&self, call: &Call, window: &Resolved) -> Option<How> {
        let function = call.name.clone();
        if window.partition_by.iter().any(|part| self.is_date(part)) {
            return None;
        }
        if call.name == "LEAD" {
            return Some(How::Next { function });
        }
        if call.name == "LAG" && matches!(call.args.get(1).map(|by| &by.kind), Some(ExprKind::Unary("-", _))) {
            return Some(How::Next { function: "LAG by a negative number".to_owned() });
        }
        let follows = |bound: &Bound| matches!(bound, Bound::Unbounded("FOLLOWING") | Bound::Offset(_, "FOLLOWING"));
        if window.frame.as_ref().is_some_and(|frame| follows(&frame.from) || frame.to.as_ref().is_some_and(follows)) {
            return Some(How::Following { function });
        }
        if window.order_by.iter().any(|order| order.descending && self.is_date(&order.expr)) {
            return Some(How::Descending { function });
        }
        if window.order_by.is_empty() {
            return Some(How::Whole { function });
        }
        matches!(call.name.as_str(), "PERCENT_RANK" | "CUME_DIST" | "NTILE").then_some(How::Share { function })
    }

    /// Whether an expression is a date or a moment, by its type where it is written and else by its name.
    fn is_date(&self, expr: &Expr) -> bool {
        const MAKE: &[&str] = &["DATE", "DATETIME", "TIMESTAMP", "PARSE_DATE", "PARSE_DATETIME", "PARSE_TIMESTAMP"];
        match &expr.kind {
            ExprKind::Column(path) => path.last().is_some_and(|name| self.is_date_name(&name.text.to_lowercase())),
            ExprKind::Cast { to: Type::Plain(to), .. } => matches!(*to, "DATE" | "DATETIME" | "TIMESTAMP"),
            ExprKind::Call(call) => MAKE.contains(&call.name.as_str()),
            _ => false,
        }
    }

    fn is_date_name(&self, name: &str) -> bool {
        let usual = matches!(name, "date" | "day" | "time" | "datetime" | "timestamp");
        usual || ["_date", "_time", "_timestamp"].iter().any(|end| name.ends_with(end)) || self.dates.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::sql::read::read;

    fn seen(text: &str) -> Vec<String> {
        lookahead(&read(text).unwrap().query).iter().map(|ahead| format!("{}: {}", &text[ahead.span.clone()], ahead.how)).collect()
    }

    fn window(expression: &str) -> Vec<String> {
        seen(&format!("SELECT date, {expression} AS x FROM a.b"))
    }

    #[test]
    fn windows_that_end_at_their_row_are_honest() {
        for honest in [
            "LAG(p, 5) OVER (ORDER BY date)",
            "LAG(p) OVER (PARTITION BY symbol ORDER BY date)",
            "AVG(p) OVER (ORDER BY date ROWS BETWEEN 19 PRECEDING AND CURRENT ROW)",
            "AVG(p) OVER (ORDER BY date ROWS 19 PRECEDING)",
            "SUM(p) OVER (ORDER BY date)",
            "LAST_VALUE(p IGNORE NULLS) OVER (ORDER BY date ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
            "AVG(p) OVER (ORDER BY date ROWS BETWEEN 9 PRECEDING AND 5 PRECEDING)",
            "ROW_NUMBER() OVER (ORDER BY date)",
            "LAG(p, 12) OVER (ORDER BY month)",
        ] {
            assert_eq!(window(honest), Vec::<String>::new(), "{honest}");
        }
    }

    #[test]
    fn a_window_within_one_date_is_honest_however_the_date_is_called() {
        for honest in [
            "ROW_NUMBER() OVER (PARTITION BY date ORDER BY report_date DESC)",
            "AVG(p) OVER (PARTITION BY date)",
            "LEAD(p) OVER (PARTITION BY date ORDER BY expiry)",
            "PERCENT_RANK() OVER (PARTITION BY symbol, DATE(time) ORDER BY p)",
            "MAX(p) OVER (PARTITION BY CAST(x AS DATE))",
            "MAX(p) OVER (PARTITION BY report_date)",
        ] {
            assert_eq!(window(honest), Vec::<String>::new(), "{honest}");
        }
        assert_eq!(seen("WITH a AS (SELECT DATE(time) AS d, p FROM a.b) SELECT d, AVG(p) OVER (PARTITION BY d) AS m FROM a"), [""; 0]);
        assert_eq!(
            seen("SELECT AVG(p) OVER (PARTITION BY d) AS m FROM UNNEST(GENERATE_DATE_ARRAY('2020-01-01', '2021-01-01')) AS d"),
            [""; 0]
        );
    }

    #[test]
    fn a_later_row_is_named() {
        assert_eq!(window("LEAD(p, 5) OVER (ORDER BY date)"), ["LEAD: LEAD reads a later row"]);
        assert_eq!(window("LAG(p, -5) OVER (ORDER BY date)"), ["LAG: LAG by a negative number reads a later row"]);
    }

    #[test]
    fn a_window_that_ends_after_its_row_is_named() {
        let said = ["AVG: the window of AVG ends after the row it is for"];
        for frame in [
            "BETWEEN 2 PRECEDING AND 2 FOLLOWING",
            "BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
            "BETWEEN 1 FOLLOWING AND 3 FOLLOWING",
        ] {
            assert_eq!(window(&format!("AVG(p) OVER (ORDER BY date ROWS {frame})")), said);
        }
        assert_eq!(seen("SELECT AVG(p) OVER (w ROWS BETWEEN 2 PRECEDING AND 2 FOLLOWING) AS x FROM a.b WINDOW w AS (ORDER BY date)"), said);
    }

    #[test]
    fn time_that_runs_backwards_is_named_also_under_a_name() {
        let said = ["LAG: the window of LAG begins with the newest row, so what lies before a row in it came later"];
        assert_eq!(window("LAG(p) OVER (ORDER BY date DESC)"), said);
        assert_eq!(window("LAG(p) OVER (PARTITION BY symbol ORDER BY symbol, time DESC)"), said);
        assert_eq!(seen("SELECT LAG(p) OVER back AS x FROM a.b WINDOW back AS (ORDER BY date DESC)"), said);
        let inner = "SELECT x FROM (SELECT LAG(p) OVER back AS x FROM a.b WINDOW back AS (ORDER BY d DESC)) CROSS JOIN (SELECT DATE(t) AS d FROM a.c)";
        assert_eq!(seen(inner), said, "a date by another name");
    }

    #[test]
    fn what_is_fitted_to_all_rows_is_named() {
        let said = ["AVG: AVG is taken over rows of all dates, the later ones too"];
        for whole in ["AVG(p) OVER ()", "AVG(y) OVER (PARTITION BY symbol)", "AVG(p) OVER (PARTITION BY EXTRACT(MONTH FROM date))"] {
            assert_eq!(window(whole), said, "{whole}");
        }
        let scaler = window("(p - AVG(p) OVER ()) / STDDEV(p) OVER ()");
        assert_eq!(scaler.len(), 2);
        assert_eq!(window("PERCENT_RANK() OVER (ORDER BY p)"), ["PERCENT_RANK: PERCENT_RANK counts rows of all dates, the later ones too"]);
    }

    #[test]
    fn it_is_found_wherever_a_window_may_stand() {
        let lead = "LEAD(p) OVER (ORDER BY date)";
        for text in [
            format!("WITH a AS (SELECT {lead} AS x FROM a.b) SELECT x FROM a"),
            format!("SELECT p FROM a.b QUALIFY {lead} > 0"),
            format!("SELECT p FROM a.b UNION ALL SELECT {lead} FROM a.b"),
            format!("SELECT IF(p > 0, {lead}, 0) / 2 AS x FROM a.b"),
            format!("SELECT p FROM a.b WHERE p > (SELECT MAX(x) FROM (SELECT {lead} AS x FROM a.b))"),
            format!("SELECT p, ROW_NUMBER() OVER (ORDER BY date, {lead}) AS n FROM a.b"),
        ] {
            assert_eq!(seen(&text), ["LEAD: LEAD reads a later row"], "{text}");
        }
    }
}
