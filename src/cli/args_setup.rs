//! Owns the options of the commands that set up a shell or a folder. Invariant: only what a person can type; what it does stands elsewhere.

use std::path::PathBuf;

use clap::{Args as Group, ValueEnum, ValueHint};

/// `cbi completions`.
#[derive(Debug, Clone, Copy, Group)]
pub struct Completions {
    /// bash, zsh or fish
    #[arg(value_enum, hide_possible_values = true)]
    pub shell: Shell,
}

/// Shells that completions are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Bash
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}

/// `cbi init`.
#[derive(Debug, Clone, Group)]
pub struct Init {
    /// The folder to begin in; it is made where there is none
    #[arg(value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
}
