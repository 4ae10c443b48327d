//! Owns changes of the settings by program. Invariant: one string comes into one list, and every other byte stays as it is.

use toml::de::{DeTable, DeValue};

/// The text with one more string at the front of `[section] key = [...]`; `None` where that is not written in a way that can be changed safely.
#[must_use]
pub fn into_list(text: &str, section: &str, key: &str, entry: &str) -> Option<String> {
    let root = DeTable::parse(text).ok()?;
    let Some(table) = root.get_ref().get(section) else {
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        return Some(format!("{text}{gap}\n[{section}]\n{key} = [\n    \"{entry}\",\n]\n"));
    };
    let DeValue::Table(table) = table.get_ref() else { return None };
    if let Some(list) = table.get(key) {
        let DeValue::Array(_) = list.get_ref() else { return None };
        let (before, after) = text.split_at_checked(list.span().start + 1)?;
        let after = after.trim_start_matches([' ', '\t']);
        let gap = match after.chars().next() {
            Some('\n' | '\r') => "",
            Some(']') => "\n",
            _ => "\n    ",
        };
        return before.ends_with('[').then(|| format!("{before}\n    \"{entry}\",{gap}{after}"));
    }
    // The key comes right below the section's own line.
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        if line.split('#').next().unwrap_or_default().trim() == format!("[{section}]") {
            let gap = if line.ends_with('\n') { "" } else { "\n" };
            return Some(format!("{}{gap}{key} = [\n    \"{entry}\",\n]\n{}", &text[..at], &text[at..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list after the change, and whether all that stood there before stands there still, in order.
    fn inserted(text: &str) -> Vec<String> {
        let changed = into_list(text, "trust", "keys", "new").unwrap();
        let mut rest = changed.as_str();
        for word in text.split_whitespace().filter(|word| word.len() > 2) {
            let word = word.trim_matches(['[', ']', ',']);
            rest = &rest[rest.find(word).unwrap_or_else(|| panic!("'{word}' is gone from\n{changed}"))..];
        }
        let value: toml::Table = toml::from_str(&changed).unwrap_or_else(|error| panic!("{error}:\n{changed}"));
        value["trust"]["keys"].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_string_comes_into_a_list_however_it_is_written() {
        assert_eq!(inserted("[workspace]\nname = \"x\""), ["new"]);
        assert_eq!(inserted("[trust]\nkeys = []\n[limits]\njobs = 1\n"), ["new"]);
        assert_eq!(inserted("[trust] # whose\nrequired = false\n"), ["new"]);
        assert_eq!(inserted("[trust]\nkeys = [\"a\", \"b\"]\n"), ["new", "a", "b"]);
        assert_eq!(inserted("[trust]\nkeys = [\n    \"a\", # anna\n    # nobody\n]\n"), ["new", "a"]);
        assert_eq!(inserted("trust = { keys = [ \"a\" ] }\n"), ["new", "a"]);
    }

    #[test]
    fn what_cannot_be_changed_safely_is_left() {
        assert_eq!(into_list("trust = { required = true }\n", "trust", "keys", "new"), None);
        assert_eq!(into_list("trust = 1\n", "trust", "keys", "new"), None);
        assert_eq!(into_list("[trust]\nkeys = \"a\"\n", "trust", "keys", "new"), None);
        assert_eq!(into_list("not toml", "trust", "keys", "new"), None);
    }
}
