//! Owns how it is told that a table holds what nobody knew. Invariant: it names columns and days; a table that passed says on which days it was tried.

use serde_json::{Value, json};

use crate::engine::checks::found::{Found, SHOWN, Shown, counted, plain};
use crate::engine::table_cells::date;
use crate::engine::truncation::compare::{Difference, What};

/// Columns named in the sentence; the rest is counted.
const NAMED: usize = 5;

/// The finding after these days were tried.
#[must_use]
pub fn found(tried: &[i32], differences: &[Difference]) -> Found {
    let (Some(first), Some(last)) = (tried.first(), tried.last()) else {
        return Found::nothing("it reads no rows that became known later");
    };
    let days = counted(tried.len() as u64, "day");
    if differences.is_empty() {
        return Found::nothing(format!("the same on {days} tried, {} to {}, without the rows that came later", date(*first), date(*last)));
    }
    let mut columns: Vec<&Difference> = Vec::new();
    for one in differences {
        if !columns.iter().any(|known| name(known) == name(one)) {
            columns.push(one);
        }
    }
    let mut said: Vec<String> = columns.iter().take(NAMED).map(|one| sentence(one)).collect();
    if columns.len() > NAMED {
        said.push(format!("and {}", counted((columns.len() - NAMED) as u64, "more column")));
    }
    let mut on: Vec<String> = differences.iter().map(|one| date(one.tried)).collect();
    on.dedup();
    let what = format!("on {} of {days} tried ({}) it could not have been known: {}", on.len(), on.join(", "), said.join("; "));
    Found::bad(columns.len() as u64, what, shown(differences))
}

/// The finding that the query could not be tried.
#[must_use]
pub fn untried(why: impl Into<String>) -> Found {
    Found::bad(1, why, Shown::default())
}

fn name(difference: &Difference) -> &str {
    match &difference.what {
        What::Column { name, .. } => name,
        What::Row { .. } => "",
    }
}

fn sentence(difference: &Difference) -> String {
    let of = difference.date.map_or_else(String::new, |day| format!(" of {}", date(day)));
    match &difference.what {
        What::Column { name, built, known } => format!("'{name}'{of} is {}, and was {} that day", plain(built), plain(known)),
        What::Row { built: true } => format!("the row{of} was not there that day"),
        What::Row { built: false } => format!("a row{of} was there that day and is gone"),
    }
}

fn shown(differences: &[Difference]) -> Shown {
    let columns = ["tried", "date", "column", "built", "known"].map(str::to_owned).to_vec();
    let row = |one: &Difference| {
        let (column, built, known) = match &one.what {
            What::Column { name, built, known } => (json!(name), built.clone(), known.clone()),
            What::Row { built } => {
                (Value::Null, json!(if *built { "a row" } else { "no row" }), json!(if *built { "no row" } else { "a row" }))
            }
        };
        vec![json!(date(one.tried)), json!(one.date.map(date)), column, built, known]
    };
    Shown { columns, rows: differences.iter().take(SHOWN).map(row).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_days_are_named_each_once() {
        let column = |tried, name: &str| Difference {
            tried,
            date: Some(tried - 1),
            what: What::Column { name: name.into(), built: json!(0.5), known: Value::Null },
        };
        let differences =
            [column(10, "a"), column(20, "a"), column(20, "b"), Difference { tried: 20, date: Some(20), what: What::Row { built: true } }];
        let told = found(&[10, 20, 30], &differences);
        assert_eq!(
            told.what,
            "on 2 of 3 days tried (1970-01-11, 1970-01-21) it could not have been known: 'a' of 1970-01-10 is 0.5, and was nothing that day; \
             'b' of 1970-01-20 is 0.5, and was nothing that day; the row of 1970-01-21 was not there that day"
        );
        assert_eq!((told.bad, told.shown.rows.len()), (3, 4));
        assert_eq!(found(&[10, 20], &[]).what, "the same on 2 days tried, 1970-01-11 to 1970-01-21, without the rows that came later");
        assert_eq!(found(&[], &[]).bad, 0);
    }
}
