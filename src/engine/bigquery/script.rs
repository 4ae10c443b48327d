//! Owns the statements that take loaded rows into a delivered table. Invariant: pure; they change table and ledger in one transaction, and nothing
//! where the ledger has gone on meanwhile or the loaded rows are not all there.

use serde_json::{Value, json};

use crate::engine::bigquery::place::Place;
use crate::engine::merging::By;
use crate::model::delivery::Delivered;

/// How what our own checks in the script say begins: none of it is a fault of the rows.
pub const OURS: &str = "cbi: ";

/// `configuration.query` of the job that takes the rows of `staging` into `place`, as delivery number `delivery.sequence`.
#[must_use]
pub fn configuration(place: &Place, staging: &Place, columns: &[String], by: Option<By>, delivery: &Delivered) -> Value {
    let text =
        |name: &str, value: String| json!({ "name": name, "parameterType": { "type": "STRING" }, "parameterValue": { "value": value } });
    let parameters = [
        text("destination", place.to_string()),
        text("target", delivery.target.clone()),
        text("action", delivery.action.to_string()),
        text("artifact", delivery.artifact.to_string()),
        text("mode", delivery.mode.clone()),
        text("by_columns", json!(delivery.columns).to_string()),
    ];
    json!({
        "query": statements(place, staging, columns, by, delivery),
        "useLegacySql": false,
        "parameterMode": "NAMED",
        "queryParameters": parameters,
    })
}

/// Rows make place by `DELETE` and come by `INSERT`, in every mode, rather than by `MERGE`: within a transaction it is the same, and there is one form.
fn statements(place: &Place, staging: &Place, columns: &[String], by: Option<By>, delivery: &Delivered) -> String {
    let (table, ledger, staged) = (place.quoted(), place.ledger().quoted(), staging.quoted());
    let (sequence, before, rows) = (delivery.sequence, delivery.sequence.saturating_sub(1), delivery.rows);
    let columns: Vec<String> = columns.iter().map(|column| format!("`{column}`")).collect();
    let columns = columns.join(", ");
    let same = |columns: &[String]| columns.iter().map(|c| format!("coming.`{c}` = there.`{c}`")).collect::<Vec<_>>().join(" AND ");
    let make_place = |columns: &[String]| {
        format!("DELETE FROM {table} AS there WHERE EXISTS (SELECT 1 FROM {staged} AS coming WHERE {});\n", same(columns))
    };
    let (place_is_made, which) = match by {
        None => (format!("DELETE FROM {table} WHERE TRUE;\n"), String::new()),
        Some(By::Key(key)) => (make_place(key), String::new()),
        Some(By::Partition(column)) => (make_place(&[column.to_owned()]), String::new()),
        Some(By::Add(key)) => (String::new(), format!(" WHERE NOT EXISTS (SELECT 1 FROM {table} AS there WHERE {})", same(key))),
    };
    let puts_back = delivery.puts_back.map_or_else(|| "NULL".to_owned(), |back| back.to_string());
    format!(
        "BEGIN TRANSACTION;\n\
         ASSERT (SELECT COUNT(*) FROM {ledger} WHERE sequence = {before} AND followed_by IS NULL) = 1 AS '{OURS}the ledger went on';\n\
         UPDATE {ledger} SET followed_by = {sequence} WHERE sequence = {before} AND followed_by IS NULL;\n\
         ASSERT (SELECT COUNT(*) FROM {staged}) = {rows} AS '{OURS}the loaded rows are not there';\n\
         {place_is_made}\
         INSERT INTO {table} ({columns}) SELECT {columns} FROM {staged} AS coming{which};\n\
         INSERT INTO {ledger} (sequence, destination, target, action, artifact, mode, by_columns, delivered_rows, puts_back, delivered_at)\n\
         VALUES ({sequence}, @destination, @target, @action, @artifact, @mode, @by_columns, {rows}, {puts_back}, CURRENT_TIMESTAMP());\n\
         COMMIT TRANSACTION;\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::{ActionKey, Digest, ManifestId};

    fn written(by: Option<By>) -> String {
        let place = Place::of("p", "d.t").unwrap();
        let digest = Digest::of(b"x");
        let (action, artifact) = (ActionKey(digest), ManifestId(digest));
        let (target, mode, columns) = ("publish/t".to_owned(), "merge".to_owned(), vec!["day".to_owned()]);
        let delivery = Delivered { sequence: 4, target, action, artifact, mode, columns, rows: 7, puts_back: None, at_ms: 0 };
        let all = ["day".to_owned(), "price".to_owned()];
        let configuration = configuration(&place, &place.staging("ab", 4), &all, by, &delivery);
        assert_eq!(configuration["queryParameters"][5]["parameterValue"]["value"], r#"["day"]"#);
        configuration["query"].as_str().unwrap().to_owned()
    }

    #[test]
    fn each_mode_makes_place_for_its_rows_and_all_stand_in_one_transaction() {
        let key = ["day".to_owned()];
        let exists = "EXISTS (SELECT 1 FROM `p.d._cbi_staging_ab_4` AS coming WHERE coming.`day` = there.`day`)";
        for (by, said) in [
            (None, "DELETE FROM `p.d.t` WHERE TRUE;".to_owned()),
            (Some(By::Key(&key)), format!("DELETE FROM `p.d.t` AS there WHERE {exists};")),
            (Some(By::Partition("day")), format!("DELETE FROM `p.d.t` AS there WHERE {exists};")),
            (Some(By::Add(&key)), "WHERE NOT EXISTS (SELECT 1 FROM `p.d.t` AS there WHERE coming.`day` = there.`day`);".to_owned()),
        ] {
            let script = written(by);
            assert!(script.contains(&said), "{script}");
            assert!(script.starts_with("BEGIN TRANSACTION;\nASSERT ") && script.ends_with("COMMIT TRANSACTION;\n"), "{script}");
            assert!(script.contains("SET followed_by = 4 WHERE sequence = 3 AND followed_by IS NULL;"), "{script}");
            assert!(script.contains("(SELECT COUNT(*) FROM `p.d._cbi_staging_ab_4`) = 7"), "{script}");
            assert!(script.contains("INSERT INTO `p.d.t` (`day`, `price`) SELECT `day`, `price` FROM"), "{script}");
        }
    }
}
