//! Owns how the lower floors' errors become what a person is told. Invariant: every conversion keeps the place, the cause and the way out.

use crate::app::texts::Texts;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::exec::failure::Failure;
use crate::graph::error::GraphError;
use crate::kinds::context::KindError;
use crate::registry::journal::JournalError;
use crate::store::error::StoreError;
use crate::syntax::error::SyntaxError;

/// One or more things that ended a use-case.
pub type Problems = Vec<Diagnostic>;

/// The result of a use-case.
pub type Outcome<T> = Result<T, Problems>;

/// A mistake in the text of a recipe or of the settings.
#[must_use]
pub fn syntax(error: &SyntaxError, texts: &Texts) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(ExitCode::Invalid, error.to_string());
    diagnostic.snippets.extend(texts.snippet(&error.place, ""));
    diagnostic.hint = error.fault.hint();
    diagnostic
}

/// A stanza that its kind refuses.
#[must_use]
pub fn kind(error: &KindError, texts: &Texts) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(ExitCode::Invalid, error.message.clone());
    diagnostic.snippets.extend(texts.snippet(&error.place, ""));
    diagnostic.hint.clone_from(&error.hint);
    diagnostic
}

/// A graph that cannot be, or a target that is not in it.
#[must_use]
pub fn graph(error: &GraphError, texts: &Texts) -> Diagnostic {
    let typed = matches!(error, GraphError::NoMatch { .. } | GraphError::BadGlob { .. });
    let mut diagnostic = Diagnostic::new(if typed { ExitCode::Usage } else { ExitCode::Invalid }, error.to_string());
    diagnostic.snippets.extend(error.place().and_then(|p| texts.snippet(p, "")));
    diagnostic.snippets.extend(error.also().and_then(|(p, label)| texts.snippet(p, label)));
    diagnostic.hint = error.hint();
    if diagnostic.hint.is_none() && typed {
        diagnostic.hint = Some("cbi graph lists all targets".to_owned());
    }
    diagnostic
}

/// A store that cannot be used.
#[must_use]
pub fn store(error: &StoreError) -> Diagnostic {
    let mut diagnostic = Diagnostic::of(error.code(), error);
    diagnostic.hint = error.hint();
    diagnostic
}

/// A store that cannot be used, as the end of a use-case.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
pub fn stores(error: StoreError) -> Problems {
    vec![store(&error)]
}

/// A journal that has no answer, as the end of a use-case.
#[must_use]
pub fn journal(error: JournalError) -> Problems {
    match error {
        JournalError::Store(error) => stores(error),
        JournalError::Unknown { .. } => vec![Diagnostic::of(ExitCode::Usage, &error).hint("cbi log lists the builds")],
        JournalError::Ambiguous { ref candidates, .. } => {
            let all: Vec<String> = candidates.iter().map(ToString::to_string).collect();
            vec![Diagnostic::of(ExitCode::Usage, &error).hint(format!("type more of one of them: {}", all.join(", ")))]
        }
        JournalError::TargetsLost { .. } => vec![Diagnostic::of(ExitCode::Damaged, &error).hint("cbi build makes what is missing again")],
    }
}

/// Engines or programs that cannot be told apart from others, as the end of a use-case.
#[must_use]
pub fn engines(failure: Failure) -> Problems {
    let mut diagnostic = Diagnostic::new(failure.code, failure.error);
    diagnostic.hint = failure.hint;
    vec![diagnostic]
}

/// A failed step, told after the build's own output.
#[must_use]
pub fn failure(target: &str, failure: &Failure) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(failure.code, format!("target '{target}': {}", failure.error));
    diagnostic.hint.clone_from(&failure.hint);
    diagnostic
}
