//! Owns parameters that are given by a feature's name, as the libraries read them: by its place. Invariant: a name that is no feature of the frame,
//! a list of another length than the features, and a code of a category that is none are refused; nothing is padded or cut.

use serde_json::Value;

use crate::base::name::nearest;
use crate::engine::gbdt::data::TrainingData;
use crate::engine::gbdt::error::GbdtError;

/// Codes of categories are whole numbers below this: both libraries hold them in single precision.
const CODES: f64 = 16_777_216.0;

/// The place of a feature that `parameter` names, or that it gives by its index.
///
/// # Errors
/// When the frame has no such feature.
pub fn place(parameter: &'static str, word: &str, features: &[String]) -> Result<usize, GbdtError> {
    let named = features.iter().position(|name| name == word);
    let numbered = word.parse().ok().filter(|index: &usize| *index < features.len());
    named.or(numbered).ok_or_else(|| {
        let near = nearest(word, features.iter().map(String::as_str)).map(str::to_owned);
        GbdtError::NoFeature { parameter, name: word.to_owned(), nearest: near }
    })
}

/// One value a feature: those that a table gives by name, `rest` for the others; a list must hold one for each.
///
/// # Errors
/// When a name is no feature, or a list is of another length.
pub fn values(parameter: &'static str, given: &Value, rest: &Value, features: &[String]) -> Result<Vec<Value>, GbdtError> {
    match given {
        Value::Object(named) => {
            let mut all = vec![rest.clone(); features.len()];
            for (name, value) in named {
                all[place(parameter, name, features)?] = value.clone();
            }
            Ok(all)
        }
        Value::Array(items) if items.len() == features.len() => Ok(items.clone()),
        other => {
            let given = other.as_array().map_or(1, Vec::len);
            Err(GbdtError::Length { parameter, given, features: features.len() })
        }
    }
}

/// Groups of features, by name or index, as groups of indexes.
///
/// # Errors
/// When a name is no feature.
pub fn groups(parameter: &'static str, given: &Value, features: &[String]) -> Result<Value, GbdtError> {
    let index = |item: &Value| match item {
        Value::String(name) => place(parameter, name, features).map(Value::from),
        other => place(parameter, &other.to_string(), features).map(Value::from),
    };
    let group = |group: &Value| group.as_array().into_iter().flatten().map(index).collect::<Result<Vec<_>, _>>().map(Value::from);
    given.as_array().into_iter().flatten().map(group).collect::<Result<Vec<_>, _>>().map(Value::from)
}

/// Refuses features at these places whose values are no codes of categories, in any row that is learnt from or judged by.
///
/// # Errors
/// The first value that is not a whole number from 0.
pub fn check_codes(places: &[usize], data: &TrainingData) -> Result<(), GbdtError> {
    let samples = std::iter::once(&data.train).chain(&data.valid);
    for row in samples.flat_map(|sample| sample.values.chunks(data.features.len().max(1))) {
        let wrong = places.iter().find(|&&at| !row[at].is_nan() && (row[at].fract() != 0.0 || !(0.0..CODES).contains(&row[at])));
        if let Some(&at) = wrong {
            return Err(GbdtError::Code { feature: data.features[at].clone(), value: row[at] });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::gbdt::data::Sample;

    fn features() -> Vec<String> {
        ["ret_5", "month", "vol"].map(str::to_owned).to_vec()
    }

    #[test]
    fn what_is_given_by_name_stands_at_the_features_place() {
        let signs = |given: Value| values("monotone_constraints", &given, &json!(0), &features());
        assert_eq!(signs(json!({"vol": -1})).unwrap(), [json!(0), json!(0), json!(-1)]);
        assert_eq!(signs(json!([1, 0, 0])).unwrap(), [json!(1), json!(0), json!(0)]);
        assert_eq!(groups("interaction_constraints", &json!([["vol", "ret_5"], [1]]), &features()).unwrap(), json!([[2, 0], [1]]));
    }

    #[test]
    fn a_name_that_is_no_feature_is_refused_with_the_nearest_and_so_is_a_short_list() {
        let error = values("monotone_constraints", &json!({"ret_50": 1}), &json!(0), &features()).unwrap_err();
        assert!(matches!(&error, GbdtError::NoFeature { nearest: Some(near), .. } if near == "ret_5"), "{error}");
        assert_eq!(error.to_string(), "'monotone_constraints' names 'ret_50', which is not a feature of the frame");
        let error = values("monotone_constraints", &json!([1]), &json!(0), &features()).unwrap_err();
        assert_eq!(error.to_string(), "'monotone_constraints' holds 1 values for 3 features");
    }

    #[test]
    fn a_category_is_a_whole_number_from_0_or_missing() {
        let data = |month: f64| TrainingData {
            features: features(),
            train: Sample { values: vec![0.5, month, -2.0], label: vec![1.0], weight: None },
            valid: None,
        };
        assert!(check_codes(&[1], &data(12.0)).is_ok() && check_codes(&[1], &data(f64::NAN)).is_ok());
        for wrong in [0.5, -1.0, 3e9] {
            assert!(matches!(check_codes(&[1], &data(wrong)), Err(GbdtError::Code { .. })), "{wrong}");
        }
    }
}
