//! Owns how a recipe's parameters are checked against a library's documented ones. Invariant: what passes stands under the library's primary name,
//! once, in the form the library reads; so the library has nothing left to ignore in silence.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::base::name::nearest;

/// What a parameter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A whole number.
    Int,
    /// Any number.
    Number,
    /// `true` or `false`.
    Bool,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One or several of these words.
    Words(&'static [&'static str]),
    /// Numbers, or a number for all.
    Numbers,
    /// Lists of features, by name or index.
    Groups,
    /// -1, 0 or 1 for features by their names, or for each.
    Signs,
    /// Words for features by their names, or for each.
    Types(&'static [&'static str]),
    /// Names or indexes of features.
    Features,
    /// Lags: a whole number for all up to it, or a list of those there are.
    Lags,
}

/// One documented parameter that a recipe may give.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its primary name.
    pub name: &'static str,
    /// The other names that the library documents for it.
    pub aliases: &'static [&'static str],
    /// What it holds.
    pub form: Form,
}

impl Parameter {
    /// A parameter that has one name.
    #[must_use]
    pub const fn new(name: &'static str, form: Form) -> Self {
        Self { name, aliases: &[], form }
    }
}

/// Documented parameters that a recipe may not give, and what to do instead.
#[derive(Debug, Clone, Copy)]
pub struct Owned {
    /// Their names and aliases.
    pub names: &'static [&'static str],
    /// Who decides, and what a recipe says instead.
    pub instead: &'static str,
}

/// One library's parameters.
#[derive(Debug, Clone, Copy)]
pub struct Vocabulary {
    /// The library.
    pub library: &'static str,
    /// The version whose documentation the lists follow; empty where it is a kind of our own.
    pub version: &'static str,
    /// What a recipe may give.
    pub parameters: &'static [Parameter],
    /// What it may not.
    pub owned: &'static [Owned],
}

/// Why a parameter is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// The library documents no such parameter.
    #[error("{library} has no parameter '{name}'")]
    Unknown {
        /// The name given.
        name: String,
        /// The library and its version.
        library: String,
        /// The one that may have been meant.
        nearest: Option<&'static str>,
    },
    /// The library has it, but a recipe may not set it.
    #[error("'{name}' may not be set here: {instead}")]
    Owned {
        /// The name given.
        name: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// The same parameter under two names.
    #[error("'{name}' and '{other}' are one parameter, given twice")]
    Twice {
        /// The second name.
        name: String,
        /// The first.
        other: String,
    },
    /// A value the parameter cannot hold.
    #[error("'{name}' must be {want}, not {found}")]
    Value {
        /// The name given.
        name: String,
        /// What it holds.
        want: String,
        /// What was given.
        found: String,
    },
    /// A parameter that has no default and is not given.
    #[error("'{name}' is missing: {want}")]
    Missing {
        /// The name.
        name: String,
        /// What it holds.
        want: String,
    },
    /// Two parameters that cannot go together.
    #[error("'{name}' cannot be used {with}: {why}")]
    Clash {
        /// One.
        name: String,
        /// The other and its value, in words.
        with: &'static str,
        /// Why.
        why: &'static str,
    },
}

impl ParameterError {
    /// The name as given in the recipe.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown { name, .. }
            | Self::Owned { name, .. }
            | Self::Twice { name, .. }
            | Self::Value { name, .. }
            | Self::Missing { name, .. }
            | Self::Clash { name, .. } => name,
        }
    }

    /// The way out, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest: Some(near), .. } => Some(format!("did you mean '{near}'?")),
            _ => None,
        }
    }
}

impl Vocabulary {
    /// The given parameters under their primary names.
    ///
    /// # Errors
    /// The first that is unknown, owned by something else, given twice or of the wrong form.
    pub fn check(&self, given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
        let mut found: BTreeMap<String, Value> = BTreeMap::new();
        let mut names: BTreeMap<&str, &String> = BTreeMap::new();
        for (name, value) in given {
            let parameter = self.find(name)?;
            if !parameter.form.holds(value) {
                return Err(ParameterError::Value { name: name.clone(), want: parameter.form.words(), found: value.to_string() });
            }
            if let Some(other) = names.insert(parameter.name, name) {
                return Err(ParameterError::Twice { name: name.clone(), other: other.clone() });
            }
            found.insert(parameter.name.to_owned(), value.clone());
        }
        Ok(found)
    }

    fn find(&self, name: &str) -> Result<&'static Parameter, ParameterError> {
        if let Some(parameter) = self.parameters.iter().find(|p| p.name == name || p.aliases.contains(&name)) {
            return Ok(parameter);
        }
        if let Some(owned) = self.owned.iter().find(|owned| owned.names.contains(&name)) {
            return Err(ParameterError::Owned { name: name.to_owned(), instead: owned.instead });
        }
        let all = self.parameters.iter().flat_map(|p| std::iter::once(&p.name).chain(p.aliases)).copied();
        let library = format!("{} {}", self.library, self.version).trim_end().to_owned();
        Err(ParameterError::Unknown { name: name.to_owned(), library, nearest: nearest(name, all) })
    }
}

impl Form {
    fn holds(self, value: &Value) -> bool {
        let all = |each: &dyn Fn(&Value) -> bool| value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(each));
        let word = |words: &[&str], value: &Value| value.as_str().is_some_and(|word| words.contains(&word));
        match self {
            Self::Int => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Bool => value.is_boolean(),
            Self::Word(words) => word(words, value),
            Self::Words(words) => word(words, value) || all(&|item| word(words, item)),
            Self::Numbers => value.is_number() || all(&Value::is_number),
            Self::Groups => all(&|item| item.as_array().is_some_and(|group| group.iter().all(|item| item.is_string() || item.is_u64()))),
            Self::Signs => of_features(value, &|item| item.as_i64().is_some_and(|sign| (-1..=1).contains(&sign))),
            Self::Types(words) => of_features(value, &|item| word(words, item)),
            Self::Lags => value.is_u64() || all(&|item| item.as_u64().is_some_and(|lag| lag > 0)),
            Self::Features => value.is_string() || all(&|item| item.is_string() || item.is_u64()),
        }
    }

    fn words(self) -> String {
        match self {
            Self::Int => "a whole number".into(),
            Self::Number => "a number".into(),
            Self::Bool => "true or false".into(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Words(words) => format!("one of, or a list of, {}", words.join(", ")),
            Self::Numbers => "a number or a list of numbers".into(),
            Self::Groups => "a list of lists of feature names".into(),
            Self::Signs => "-1, 0 or 1 by feature names, { ret_5 = 1 }, or a list with one for each".into(),
            Self::Types(words) => {
                format!("one of {} by feature names, {{ month = \"{}\" }}, or a list with one for each", words.join(", "), words[0])
            }
            Self::Features => "a list of feature names".into(),
            Self::Lags => "a whole number, or a list of whole numbers from 1".into(),
        }
    }
}

/// Whether every value holds, of a table by feature names or of a list with one for each.
fn of_features(value: &Value, holds: &dyn Fn(&Value) -> bool) -> bool {
    match value {
        Value::Object(named) => !named.is_empty() && named.values().all(holds),
        Value::Array(items) => !items.is_empty() && items.iter().all(holds),
        _ => false,
    }
}
