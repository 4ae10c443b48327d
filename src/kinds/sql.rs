//! Kind `sql`: a query in BigQuery's dialect. Invariant: the tables it reads are its inputs, found by reading it; nothing is listed twice.

use std::ops::Range;

use crate::base::units;
use crate::kinds::body::Body;
use crate::kinds::checks;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::kind::Kind;
use crate::kinds::pinned::{ENGINE, WAREHOUSE};
use crate::kinds::pushed;
use crate::kinds::query;
use crate::kinds::request::{Request, Response, RunError};
use crate::model::recipe::{Declared, Place, Stanza};
use crate::syntax::shape::{Key, Want};

/// Kind `sql`.
pub const KIND: Kind = Kind {
    name: "sql",
    version: 3,
    about: "A query in BigQuery's dialect over targets and tables of the warehouse.",
    keys: &[
        Key::optional("file", Want::Text, "The file with the query, from the workspace's folder."),
        Key::optional("query", Want::Text, "The query itself, instead of `file`."),
        Key::optional("params", Want::Map(&Want::Any), "Values for `@name` in the query."),
        Key::optional(
            "key",
            Want::List(&Want::Text, true),
            "The columns that rows are sorted by first; `[\"date\"]` where it is not said.",
        ),
        Key::optional(
            ENGINE,
            Want::OneOf(&["local", WAREHOUSE]),
            "Where it runs: `local`, which is meant where it is not said, or `warehouse`: in BigQuery, where that is the warehouse.",
        ),
        Key::optional(
            "max_bytes_billed",
            Want::Bytes,
            "The most that one run of it in BigQuery may be charged for; the server refuses more.",
        ),
        checks::KEY,
    ],
    declare,
};

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let mut declared = query_of(body, context)?;
    checks::declare(body, "error", &[], &mut declared)?;
    declared.max_bytes_billed = body.text("max_bytes_billed").and_then(units::parse_bytes);
    if body.text(ENGINE) == Some(WAREHOUSE) {
        declared.params[ENGINE] = WAREHOUSE.into();
    } else if declared.max_bytes_billed.is_some() {
        let error = body.key_error("max_bytes_billed", "a query that runs here is charged for nothing");
        return Err(error.hint("add: engine = \"warehouse\", or take max_bytes_billed away"));
    }
    Ok(declared)
}

fn query_of(body: Body, context: &DeclareContext) -> Result<Declared, KindError> {
    match (body.text("query"), body.text("file")) {
        (Some(_), Some(_)) => Err(body.key_error("query", "'file' and 'query' are two ways to say one thing; keep one")),
        (None, None) => Err(body.error("", format!("sql '{}' needs 'file' or 'query'", body.0.name)).hint("add: file = \"sql/name.sql\"")),
        (Some(text), None) => query::declare(body, text, &|_| body.place("query"), context),
        (None, Some(_)) => {
            let (path, text) = body.file("file", context)?;
            query::declare(body, &text, &|span: Range<usize>| Place { file: path.into(), span }, context)
        }
    }
}

/// Runs the action.
///
/// # Errors
/// When the query cannot run, or gives no rows, or a check of them cannot be made.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let pushed = request.params.get(ENGINE).is_some_and(|engine| engine == WAREHOUSE);
    checks::run(request, if pushed { pushed::run(request)? } else { query::run(request)? })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::kinds::body;
    use crate::model::recipe::{Common, Source};

    const TEXT: &str = "-- daily\nselect date, @n as n\nFROM wti.raw -- raw\nJOIN `fred.cpi` USING (date)";

    fn declared(stanza: Value, as_of: Option<&str>) -> Result<Declared, KindError> {
        let Value::Object(map) = stanza else { panic!("a table") };
        let stanza = Stanza {
            kind: "sql".into(),
            name: "wti.daily".parse().unwrap(),
            body: map.into_iter().collect(),
            common: Common::default(),
            place: Place { file: "recipes/x.toml".into(), span: 0..5 },
            spots: [].into(),
            part: None,
        };
        assert_eq!(body::check(&stanza, KIND.keys), []);
        let text = |path: &str| if path == "sql/a.sql" { Ok(Arc::from(TEXT)) } else { Err("no such file".to_owned()) };
        let context = DeclareContext {
            text: &text,
            files: &|_| vec!["sql/a.sql".into()],
            env: &|_| None,
            kind_of: &|_| None,
            tune_of: &|_| None,
            as_of,
        };
        declare(&stanza, &context)
    }

    #[test]
    fn the_tables_a_query_reads_are_its_inputs_each_with_its_place() {
        let declared = declared(json!({"file": "sql/a.sql", "params": {"n": 3}}), Some("2019-01-03")).unwrap();
        let table = |name: &str| Source::Target { name: name.parse().unwrap(), artifact: "table".into() };
        assert_eq!(declared.inputs["table:wti.raw"], table("wti.raw"));
        assert_eq!(declared.inputs["table:fred.cpi"], table("fred.cpi"));
        let place = &declared.places["table:fred.cpi"];
        assert_eq!((&*place.file, &TEXT[place.span.clone()]), ("sql/a.sql", "`fred.cpi`"));
        assert_eq!(declared.params["query"], "SELECT date , @n AS n FROM wti . raw JOIN `fred.cpi` USING ( date )");
        assert_eq!(declared.params["params"], json!({"n": 3}));
    }

    #[test]
    fn the_date_of_the_workspace_enters_only_where_it_is_used() {
        let query = |text: &str, as_of| declared(json!({ "query": text }), as_of);
        assert_eq!(query("SELECT 1 AS x", Some("2019-01-03")).unwrap().params["params"], json!({}));
        let used = query("SELECT x FROM a.b WHERE date <= @as_of", Some("2019-01-03")).unwrap();
        assert_eq!(used.params["params"], json!({"as_of": "2019-01-03"}));
        let error = query("SELECT @as_of AS d", None).unwrap_err();
        assert!(error.hint.unwrap().contains("cbi.toml"));
    }

    #[test]
    fn a_parameter_too_few_and_one_too_many_are_refused() {
        let error = declared(json!({"file": "sql/a.sql"}), None).unwrap_err();
        assert_eq!((error.message.as_str(), &TEXT[error.place.span]), ("the query uses @n, which has no value", "@n"));
        let error = declared(json!({"file": "sql/a.sql", "params": {"n": 3, "nn": 4}}), None).unwrap_err();
        assert_eq!((error.message.as_str(), error.hint.as_deref()), ("the query does not use @nn", Some("did you mean 'n'?")));
    }

    #[test]
    fn a_query_that_cannot_run_is_refused_where_it_is_wrong() {
        for (stanza, part) in [
            (json!({"query": "SELECT CURRENT_DATE() AS d"}), "another result each time"),
            (json!({"query": "SELECT FORMAT('%d', 1)"}), "the function FORMAT"),
            (json!({"query": "SELECT 1 FROM t"}), "dataset.table"),
            (json!({"query": "SELEC"}), "expected SELECT"),
            (json!({"file": "sql/b.sql"}), "cannot be read"),
            (json!({"file": "sql/a.sql", "query": "SELECT 1"}), "keep one"),
            (json!({}), "needs 'file' or 'query'"),
        ] {
            let error = declared(stanza, None).unwrap_err();
            assert!(error.message.contains(part), "{}", error.message);
        }
    }
}
