//! The exit status of every command.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Success.
    Done,
    /// It ran, with a negative result: something failed, differs or was not found.
    Negative,
    /// It could not run: usage, settings, no source.
    CouldNotRun,
    /// `diff` ran, but a resource failed, so its difference is unknown.
    ResourceFailed,
}

impl Exit {
    /// Returns `Done` when `clean`.
    pub(super) const fn clean(clean: bool) -> Self {
        if clean { Self::Done } else { Self::Negative }
    }

    /// Returns `next`, unless this is a failure.
    pub(super) fn and(self, next: Self) -> Self {
        if self == Self::Done { next } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Negative => 1,
            Exit::CouldNotRun => 2,
            Exit::ResourceFailed => 3,
        })
    }
}
