//! Owns a search's results as a table and as text for people. Invariant: naive's figure stands in the same row, and a figure that is not defined is NULL
//! or a dash.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use serde_json::Value;

use crate::engine::judging::text::aligned;
use crate::engine::table_columns::{Values, table as columns_to_table};
use crate::engine::tuning::ranking::{Figures, Results, Trial};

/// What stands for a figure that is not there.
const NONE: &str = "–";

/// One row a trial and rung. Parameters have columns of their own, `param_<name>`: numbers where all are, else text.
///
/// # Errors
/// Never, unless Arrow refuses the columns.
pub fn table(results: &Results) -> Result<RecordBatch, ArrowError> {
    let trials = &results.trials;
    let ints = |value: &dyn Fn(&Trial) -> Option<usize>| {
        Values::Ints(trials.iter().map(|t| value(t).and_then(|n| i64::try_from(n).ok())).collect())
    };
    let mut columns = vec![
        ("trial".to_owned(), ints(&|trial| Some(trial.trial))),
        ("rung".to_owned(), ints(&|trial| Some(trial.rung))),
        ("rank".to_owned(), ints(&|trial| Some(trial.rank))),
        ("kept".to_owned(), Values::Bools(trials.iter().map(|trial| Some(trial.kept)).collect())),
        ("chosen".to_owned(), Values::Bools(trials.iter().map(|trial| Some(trial.chosen)).collect())),
        ("rounds".to_owned(), ints(&|trial| trial.rounds.map(|rounds| rounds as usize))),
        ("n".to_owned(), ints(&|_| Some(results.rows))),
    ];
    for name in &results.searched {
        columns.push((format!("param_{name}"), parameter(trials.iter().map(|trial| trial.params.get(name)).collect())));
    }
    for (name, of) in FIGURES {
        columns.push((name.to_owned(), Values::Floats(trials.iter().map(|trial| of(&trial.figures)).collect())));
        columns.push((format!("naive_{name}"), Values::Floats(trials.iter().map(|_| of(&results.naive)).collect())));
    }
    columns_to_table(columns)
}

/// A figure's name and how it is found.
type Figure = (&'static str, fn(&Figures) -> Option<f64>);

const FIGURES: [Figure; 5] =
    [("mae", |f| f.mae), ("rmse", |f| f.rmse), ("mape", |f| f.mape), ("pinball", |f| f.pinball), ("coverage", |f| f.coverage)];

/// A parameter's values, in the narrowest type that holds all.
fn parameter(values: Vec<Option<&Value>>) -> Values {
    let all = |holds: fn(&Value) -> bool| values.iter().flatten().all(|value| holds(value));
    if all(Value::is_i64) {
        Values::Ints(values.into_iter().map(|value| value?.as_i64()).collect())
    } else if all(Value::is_number) {
        Values::Floats(values.into_iter().map(|value| value?.as_f64()).collect())
    } else {
        Values::Strings(values.into_iter().map(|value| value.map(word)).collect())
    }
}

/// A value as people read it: text without quotes.
fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The results for people, under a heading that says what was forecast.
#[must_use]
pub fn text(what: &str, results: &Results) -> String {
    let drawn = results.trials.iter().filter(|trial| trial.rung == 1).count();
    let metric = results.metric.word();
    let mut text = format!(
        "# {what}: parameters of {}\n\n{drawn} trials, ranked by {metric} on {} valid rows, {} to {}. The winner's figure is the best of them and flatters it: what it is\n\
         worth is for test rows or a backtest to say, that no trial has seen.\n",
        results.learner, results.rows, results.first, results.last
    );
    let naive = results.metric.of(&results.naive);
    let mut header: Vec<String> = ["rank", "trial", metric, "naive", "ratio"].map(ToOwned::to_owned).to_vec();
    header.extend(results.trials.iter().any(|trial| trial.rounds.is_some()).then(|| "rounds".to_owned()));
    let with_rounds = header.len() > 5;
    header.extend(results.searched.iter().cloned());
    let row = |trial: &Trial| {
        let own = results.metric.of(&trial.figures);
        let ratio = own.zip(naive).filter(|(_, naive)| *naive > 0.0).map(|(own, naive)| own / naive);
        let mark = if trial.chosen {
            " chosen"
        } else if trial.kept {
            " *"
        } else {
            ""
        };
        let mut cells = vec![format!("{}{mark}", trial.rank), trial.trial.to_string(), figure(own, 5), figure(naive, 5), figure(ratio, 3)];
        cells.extend(with_rounds.then(|| trial.rounds.map_or_else(|| NONE.to_owned(), |rounds| rounds.to_string())));
        cells.extend(results.searched.iter().map(|name| trial.params.get(name).map_or_else(|| NONE.to_owned(), word)));
        cells
    };
    let mut rungs: BTreeMap<usize, Vec<Vec<String>>> = BTreeMap::new();
    for trial in &results.trials {
        rungs.entry(trial.rung).or_default().push(row(trial));
    }
    for (rung, rows) in rungs.iter().rev() {
        let title = if rungs.len() == 1 { "Trials".to_owned() } else { format!("Rung {rung}") };
        let _ = write!(text, "\n## {title}\n\n{}", aligned(&header, rows));
    }
    if results.trials.iter().any(|trial| trial.kept) {
        text.push_str("\n\\*: went on to the next rung.\n");
    }
    text
}

fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::table_columns::{floats, strings};
    use crate::engine::tuning::ranking::Metric;

    fn results() -> Results {
        let trial = |number: usize, rank: usize, mae: f64, params: Value| Trial {
            trial: number,
            rung: 1,
            params: serde_json::from_value(params).unwrap(),
            set: BTreeMap::new(),
            rounds: None,
            rank,
            kept: false,
            chosen: rank == 1,
            figures: Figures { mae: Some(mae), ..Figures::default() },
        };
        Results {
            learner: "ridge".into(),
            metric: Metric::Mae,
            searched: vec!["alpha".into(), "trend".into()],
            rows: 10,
            first: "2011-01-03".into(),
            last: "2011-01-14".into(),
            naive: Figures { mae: Some(2.0), ..Figures::default() },
            trials: vec![trial(2, 1, 1.5, json!({"alpha": 1, "trend": "c"})), trial(1, 2, 3.0, json!({"alpha": 0.5, "trend": true}))],
        }
    }

    #[test]
    fn naive_stands_in_the_row_of_every_trial() {
        let table = table(&results()).unwrap();
        assert_eq!(floats(&table, "naive_mae").unwrap(), [Some(2.0), Some(2.0)]);
        assert_eq!(floats(&table, "param_alpha").unwrap(), [Some(1.0), Some(0.5)]);
        assert_eq!(strings(&table, "param_trend").unwrap(), [Some("c"), Some("true")]);
        assert_eq!(floats(&table, "pinball").unwrap(), [None, None]);
    }

    #[test]
    fn people_read_the_winner_first() {
        let text = text("wti.daily.price, 5 rows ahead", &results());
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| 1") || line.starts_with("| 2")).collect();
        assert_eq!(
            rows,
            [
                "| 1 chosen |     2 | 1.50000 | 2.00000 | 0.750 |     1 |     c |",
                "| 2        |     1 | 3.00000 | 2.00000 | 1.500 |   0.5 |  true |"
            ]
        );
    }
}
