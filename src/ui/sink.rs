//! Owns how much is shown. Invariant: it never decides what happens.

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Failures only.
    Quiet,
    /// What ran, what failed, a summary.
    #[default]
    Normal,
    /// Also keys, reasons and what was reused.
    Verbose,
}
