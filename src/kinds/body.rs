//! Owns how a kind reads its stanza. Invariant: readers are called after `check`, so a value that is there has the type its key table says.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::base::name::{TargetName, nearest};
use crate::kinds::context::{DeclareContext, KindError};
use crate::model::recipe::{Place, Source, Spot, Stanza};
use crate::syntax::error::{Fault, SyntaxError};
use crate::syntax::shape::{self, Key};

/// Typed readers over one stanza.
#[derive(Clone, Copy)]
pub struct Body<'a>(pub &'a Stanza);

/// Every way in which a stanza differs from its kind's key table.
#[must_use]
pub fn check(stanza: &Stanza, keys: &[Key]) -> Vec<KindError> {
    let body = Body(stanza);
    let owner = format!("{} '{}'", stanza.kind, stanza.name);
    let errors = shape::check(&owner, &stanza.body, keys, &|path| body.spot(path));
    errors.into_iter().map(|error| refusal(error, stanza)).collect()
}

fn refusal(mut error: SyntaxError, stanza: &Stanza) -> KindError {
    if let Fault::UnknownKey { key, unquoted, .. } = &mut error.fault
        && matches!(stanza.body.get(key), Some(Value::Object(_)))
    {
        *unquoted = Some(format!("[{}.\"{}.{key}\"]", stanza.kind, stanza.name));
    }
    KindError { message: error.fault.to_string(), hint: error.fault.hint(), place: error.place }
}

impl<'a> Body<'a> {
    /// The value of a key.
    #[must_use]
    pub fn value(self, key: &str) -> Option<&'a Value> {
        self.0.body.get(key)
    }

    /// A text.
    #[must_use]
    pub fn text(self, key: &str) -> Option<&'a str> {
        self.value(key)?.as_str()
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// When it is missing.
    pub fn required_text(self, key: &str) -> Result<&'a str, KindError> {
        self.text(key).ok_or_else(|| self.error("", format!("{} '{}' needs the key '{key}'", self.0.kind, self.0.name)))
    }

    /// A whole number.
    #[must_use]
    pub fn int(self, key: &str) -> Option<i64> {
        self.value(key)?.as_i64()
    }

    /// A list of texts; empty where the key is missing.
    #[must_use]
    pub fn texts(self, key: &str) -> Vec<&'a str> {
        self.value(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// A table.
    #[must_use]
    pub fn table(self, key: &str) -> Option<&'a Map<String, Value>> {
        self.value(key)?.as_object()
    }

    /// A text inside a table, by the key and the key inside.
    #[must_use]
    pub fn text_in(self, key: &str, inner: &str) -> Option<&'a str> {
        self.table(key)?.get(inner)?.as_str()
    }

    /// The target that a key names. Its artifact is what follows `#`, else `artifact`; where that is `""` too, the target's only artifact.
    ///
    /// # Errors
    /// When the key is missing or holds no target name.
    pub fn target(self, key: &str, artifact: &str) -> Result<Source, KindError> {
        let text = match key.split_once('.') {
            Some((outer, inner)) => self.text_in(outer, inner),
            None => self.text(key),
        };
        let text = text.ok_or_else(|| self.error("", format!("{} '{}' needs the key '{key}'", self.0.kind, self.0.name)))?;
        self.parse_target(key, text, artifact)
    }

    /// The targets that a list names, in its order.
    ///
    /// # Errors
    /// When an item is no target name.
    pub fn targets(self, key: &str, artifact: &str) -> Result<Vec<Source>, KindError> {
        let texts = self.texts(key).into_iter().enumerate();
        texts.map(|(index, text)| self.parse_target(&format!("{key}.{index}"), text, artifact)).collect()
    }

    /// The target that the text at a path names. Its artifact is what follows `#`, else `artifact`.
    ///
    /// # Errors
    /// When it is no target name.
    pub fn parse_target(self, path: &str, text: &str, artifact: &str) -> Result<Source, KindError> {
        let (name, given) = text.split_once('#').unwrap_or((text, artifact));
        let name: TargetName = name.parse().map_err(|error| self.error(path, format!("{error}")))?;
        Ok(Source::Target { name, artifact: given.to_owned() })
    }

    /// The workspace file that a key names, and its text.
    ///
    /// # Errors
    /// When the key is missing or the file cannot be read; the hint names the nearest file beside it.
    pub fn file(self, key: &str, context: &DeclareContext) -> Result<(&'a str, Arc<str>), KindError> {
        let path = self.required_text(key)?;
        if !stays_inside(path) {
            let error = self.error(key, format!("'{path}' is not a path inside the workspace"));
            return Err(error.hint("copy the file into the workspace"));
        }
        let read = (context.text)(path);
        read.map(|text| (path, text)).map_err(|why| {
            let error = self.error(key, format!("the file '{path}' cannot be read: {why}"));
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let beside = (context.files)(&if folder.is_empty() { "*".to_owned() } else { format!("{folder}/*") });
            match nearest(path, beside.iter().map(String::as_str).filter(|near| *near != path)) {
                Some(near) => error.hint(format!("did you mean '{near}'?")),
                None => error,
            }
        })
    }

    /// Where the key and value at a dotted path stand, else the nearest enclosing ones, else the stanza's header.
    #[must_use]
    pub fn spot(self, path: &str) -> Spot {
        let mut paths = std::iter::successors(Some(path), |path| path.rsplit_once('.').map(|(outer, _)| outer));
        paths.find_map(|path| self.0.spots.get(path)).cloned().unwrap_or_else(|| Spot::both(self.0.place.clone()))
    }

    /// Where the value at a dotted path stands.
    #[must_use]
    pub fn place(self, path: &str) -> Place {
        self.spot(path).value
    }

    /// A refusal at the value of a key (`""`: the stanza's header).
    pub fn error(self, path: &str, message: impl Into<String>) -> KindError {
        KindError::new(self.place(path), message)
    }

    /// A refusal of a key that should not be there, at the key itself.
    pub fn key_error(self, path: &str, message: impl Into<String>) -> KindError {
        KindError::new(self.spot(path).key(), message)
    }
}

/// Whether a path or glob is relative and never leaves the folder it starts from.
#[must_use]
pub fn stays_inside(path: &str) -> bool {
    !path.contains(['\\', '\0']) && path.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}
