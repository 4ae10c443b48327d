//! Floor 2: the only door to the operating system.

pub mod process;
