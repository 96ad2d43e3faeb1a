//! The exit status of every command.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Everything is as wished.
    Done,
    /// It ran, and something is not as wished.
    NotAsWished,
    /// It could not run: usage, settings, no source.
    CouldNotRun,
    /// `diff` ran, and of a resource nobody can tell whether it differs.
    ResourceFailed,
}

impl Exit {
    /// `Done` when `clean`.
    pub(super) const fn clean(clean: bool) -> Self {
        if clean { Self::Done } else { Self::NotAsWished }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::NotAsWished => 1,
            Exit::CouldNotRun => 2,
            Exit::ResourceFailed => 3,
        })
    }
}
