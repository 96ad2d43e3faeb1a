//! The outcome of a pass for each destination.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// The step at which a destination failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailedStep {
    /// Its resource file.
    Resource,
    /// Rendering its template.
    Template,
    /// The syntax of what was rendered.
    Format,
    /// Writing the staged file.
    Stage,
    /// Its check command.
    Check,
    /// Swapping the file in.
    Place,
    /// Its reload.
    Reload,
    /// Verifying the service after the reload.
    Verify,
}

impl FailedStep {
    /// Returns whether rendering again may help. Reloads are retried separately, and a content that failed its
    /// verification waits for different content.
    #[must_use]
    pub const fn is_retried(self) -> bool {
        !matches!(self, Self::Reload | Self::Verify)
    }
}

impl fmt::Display for FailedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resource => "resource",
            Self::Template => "template",
            Self::Format => "output format",
            Self::Stage => "stage",
            Self::Check => "config check",
            Self::Place => "place",
            Self::Reload => "reload",
            Self::Verify => "verify",
        })
    }
}

/// The outcome of one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum DestOutcome {
    /// The file is up to date.
    InSync,
    /// It differs and was left alone (noop).
    WouldChange,
    /// The new file is in place and its reload, if any, succeeded.
    Updated,
    /// The file of an entry that is gone was removed.
    Removed,
    /// Left unchanged on purpose.
    Skipped {
        /// Why.
        why: String,
    },
    /// The new file is in place; its reload is still pending.
    Pending {
        /// Why it waits.
        why: String,
    },
    /// Something failed.
    Failed {
        /// The step.
        step: FailedStep,
        /// The error, and what to do.
        text: String,
    },
}

impl DestOutcome {
    /// Returns whether the destination is not up to date.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }

    /// Returns a failure at a step.
    pub(super) fn failed(step: FailedStep, text: impl fmt::Display) -> Self {
        Self::Failed { step, text: text.to_string() }
    }
}

/// One line of a report.
#[derive(Clone, Debug, Serialize)]
pub struct ReportLine {
    /// The resource's name.
    pub resource: String,
    /// The destination; empty when the resource could not be read.
    pub dest: PathBuf,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: DestOutcome,
    /// Index of the resource in its generation.
    #[serde(skip)]
    pub index: Option<usize>,
}

/// The outcome of a whole pass.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Every destination of the pass.
    pub lines: Vec<ReportLine>,
}

impl Report {
    /// Returns whether nothing failed.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        !self.lines.iter().any(|line| line.outcome.is_failure())
    }
}
