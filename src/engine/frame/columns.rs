//! Owns the choice of feature columns. Invariant: the choice depends only on the columns that the patterns match, so a column that no pattern
//! names changes nothing.

use globset::{Glob, GlobMatcher};

use crate::base::name::nearest;
use crate::engine::frame::error::FrameError;

/// The frame's own columns, which no feature may shadow.
const RESERVED: [&str; 6] = ["date", "outcome_date", "split", "price", "label", "weight"];

/// The columns that `patterns` name, in their order; those a pattern with wildcards matches are sorted by name. A column named twice stands
/// where it was named first. Patterns with wildcards pass over the columns in `skip` (the date, the weight). `input` is the table in words.
///
/// # Errors
/// When a name or pattern matches no column, or matches a reserved one.
pub fn select(patterns: &[String], columns: &[String], skip: &[&str], input: &str) -> Result<Vec<String>, FrameError> {
    let mut chosen: Vec<String> = Vec::new();
    for pattern in patterns {
        for column in matching(pattern, columns, skip, input)? {
            if RESERVED.contains(&column.as_str()) {
                return Err(FrameError::Reserved { column });
            }
            if !chosen.contains(&column) {
                chosen.push(column);
            }
        }
    }
    Ok(chosen)
}

/// Reads a pattern of column names.
///
/// # Errors
/// When the pattern is not one.
pub fn compile(pattern: &str) -> Result<GlobMatcher, FrameError> {
    let glob = Glob::new(pattern).map_err(|e| FrameError::BadPattern { pattern: pattern.to_owned(), why: e.kind().to_string() })?;
    Ok(glob.compile_matcher())
}

fn matching(pattern: &str, columns: &[String], skip: &[&str], input: &str) -> Result<Vec<String>, FrameError> {
    // An exact name always means that column, even one with brackets in it.
    if columns.iter().any(|c| c == pattern) {
        return Ok(vec![pattern.to_owned()]);
    }
    let near = || nearest(pattern, columns.iter().map(String::as_str)).map(ToOwned::to_owned);
    if !pattern.contains(['*', '?', '[', '{']) {
        return Err(FrameError::UnknownColumn { input: input.to_owned(), column: pattern.to_owned(), nearest: near() });
    }
    let glob = compile(pattern)?;
    let mut found: Vec<String> = columns.iter().filter(|c| glob.is_match(c) && !skip.contains(&c.as_str())).cloned().collect();
    if found.is_empty() {
        return Err(FrameError::NoMatch { input: input.to_owned(), pattern: pattern.to_owned(), nearest: near() });
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(Into::into).collect()
    }

    #[test]
    fn names_keep_their_order_and_patterns_sort() {
        let columns = words("date vol_20 vol_5 ret_1 month");
        assert_eq!(
            select(&words("ret_1 vol_* month"), &columns, &["date"], "the feature table").unwrap(),
            words("ret_1 vol_20 vol_5 month")
        );
        assert_eq!(select(&words("vol_5 vol_?*"), &columns, &["date"], "the feature table").unwrap(), words("vol_5 vol_20"));
        assert_eq!(select(&words("*"), &columns, &["date"], "the feature table").unwrap(), words("month ret_1 vol_20 vol_5"));
    }

    #[test]
    fn what_names_no_column_is_refused_with_the_nearest() {
        let columns = words("date vol_20 ret_1");
        let error = select(&words("vol_2"), &columns, &[], "the feature table").unwrap_err();
        assert!(matches!(&error, FrameError::UnknownColumn { nearest: Some(n), .. } if n == "vol_20"), "{error}");
        assert!(matches!(select(&words("mom_*"), &columns, &[], "the feature table"), Err(FrameError::NoMatch { .. })));
        assert!(matches!(select(&words("d?te"), &columns, &["date"], "the feature table"), Err(FrameError::NoMatch { .. })));
        assert!(matches!(select(&words("[z-"), &columns, &[], "the feature table"), Err(FrameError::BadPattern { .. })));
    }

    #[test]
    fn a_feature_may_not_shadow_a_column_of_the_frame() {
        for name in RESERVED {
            let columns = vec![name.to_owned(), "x".to_owned()];
            assert!(
                matches!(select(&words("*"), &columns, &[], "the feature table"), Err(FrameError::Reserved { column }) if column == name)
            );
        }
    }

    proptest! {
        #[test]
        fn columns_that_no_pattern_names_change_nothing(added in prop::collection::btree_set("z[a-z]{1,5}", 0..8), at in 0_usize..5) {
            let columns = words("date vol_20 vol_5 ret_1");
            let mut more = columns.clone();
            for name in added {
                more.insert(at.min(more.len()), name);
            }
            let patterns = words("ret_1 vol_*");
            prop_assert_eq!(select(&patterns, &columns, &["date"], "the feature table").unwrap(), select(&patterns, &more, &["date"], "the feature table").unwrap());
        }
    }
}
