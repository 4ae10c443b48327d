//! Owns what becomes of a step that wishes for a graphics adapter where none will do. Invariant: a person is told, whether it fails or the processor
//! takes the adapter's place.

use crate::base::diagnostic::ExitCode;
use crate::exec::failure::Failure;
use crate::graph::build::Node;
use crate::model::adapter::Wish;

/// Nothing, or that the adapter is lacking, for the sentence that says why the step runs.
#[must_use]
pub fn lacking(node: &Node) -> String {
    match &node.declared.adapter {
        Some(Wish { found: Err(none), .. }) => format!("; on the processor: {none}"),
        _ => String::new(),
    }
}

/// Refuses a step that needs an adapter where there is none.
///
/// # Errors
/// With what it lacks.
pub fn is_there(node: &Node) -> Result<(), Failure> {
    match &node.declared.adapter {
        Some(Wish { needed: true, found: Err(none), .. }) => Err(Failure {
            error: format!("it is to be computed on a graphics adapter: {none}"),
            hint: Some("cbi doctor, or `device = \"auto\"`, which takes the processor where there is none".into()),
            log_tail: Vec::new(),
            code: ExitCode::ActionFailed,
        }),
        _ => Ok(()),
    }
}
