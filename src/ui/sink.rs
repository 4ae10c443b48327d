//! Owns how a build is listened to. Invariant: a sink only shows; nothing it does, and no failure to write, changes the build.

use crate::model::event::Event;

/// Takes the events of one build as they happen.
pub trait EventSink {
    /// Takes one event. The last one is `Event::Finished`.
    fn event(&mut self, event: &Event);

    /// Called several times a second, so that what moves with time can be redrawn.
    fn tick(&mut self);
}

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
