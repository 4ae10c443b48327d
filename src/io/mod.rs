//! Floor 2: the only door to the operating system.

pub mod failpoint;
pub mod file;
pub mod folder;
pub mod fs;
pub mod jail;
pub mod lock;
pub mod machine;
pub mod notice;
pub mod process;
pub mod resident;
pub mod retry;
pub mod tree;
pub mod webhook;
