//! A destination whose service needs a reload.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::journal::JournalFile;
use super::outcome::{DestOutcome, ReportLine};
use super::probe::Verify;
use super::resource::Resource;
use super::state_file::digest;
use crate::replace::{Previous, Target};

/// The file at a destination before the swap, for a rollback: `None` inside when there was none.
pub(super) type PreviousFile = (Target, Option<Previous>);

/// What this run did to a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileChange {
    /// Swapped a file with this digest in.
    Swapped(String),
    /// Removed it: its `for_each` entry is gone.
    Removed,
    /// Nothing: an earlier run did, or the reload is forced.
    Present,
    /// Put the previous file back after a failed verification.
    RolledBack,
}

/// One destination that needs a reload.
#[derive(Clone, Debug)]
pub(super) struct ReloadRequest {
    /// The resource's index in the current generation; `None` when it is gone.
    pub(super) index: Option<usize>,
    pub(super) resource: Arc<Resource>,
    pub(super) dest: PathBuf,
    pub(super) content: FileChange,
    /// The verification after the reload. `None` if there is none, or it is not known yet.
    pub(super) verify: Option<Arc<Verify>>,
    /// Whether this run left the destination as it was.
    pub(super) is_unchanged: bool,
    /// The file before the swap, kept only where a verification may need it back.
    pub(super) previous: Option<PreviousFile>,
}

impl ReloadRequest {
    /// Returns a request for a destination that this run did not change.
    pub(super) fn present(index: usize, resource: &Arc<Resource>, dest: &Path) -> Self {
        Self::unrendered(index, resource, dest.to_owned(), FileChange::Present)
    }

    /// Returns a request for a destination that was not rendered in this pass.
    pub(super) fn unrendered(
        index: usize,
        resource: &Arc<Resource>,
        dest: PathBuf,
        content: FileChange,
    ) -> Self {
        let (resource, verify) = (Arc::clone(resource), unrendered(resource));
        Self { index: Some(index), resource, dest, content, verify, is_unchanged: true, previous: None }
    }

    /// Returns whether its verification is not known yet, because its template has not rendered in this run.
    pub(super) fn is_unknown(&self) -> bool {
        let rendered = matches!(self.content, FileChange::Swapped(_) | FileChange::Present);
        rendered && self.resource.verify.is_some() && self.verify.is_none()
    }

    /// Returns its form in a journal entry.
    pub(super) fn journal_file(&self) -> JournalFile {
        let digest = match &self.content {
            FileChange::Swapped(digest) => digest.clone(),
            FileChange::Removed => String::new(),
            FileChange::Present | FileChange::RolledBack => {
                let target = Target::resolve_with(&self.dest, self.resource.trust()).ok();
                let bytes = target.and_then(|target| target.read().ok().flatten());
                bytes.map(|bytes| digest(&bytes)).unwrap_or_default()
            }
        };
        JournalFile { dest: self.dest.clone(), digest, resource: self.resource.name.clone() }
    }

    /// Returns its line in a report.
    pub(super) fn line_for(&self, outcome: DestOutcome) -> ReportLine {
        line(self.index, &self.resource, &self.dest, outcome)
    }

    /// Logs and returns the success of the whole chain. A file that was rolled back is not a success, and one that this run
    /// found in place is not an update.
    pub(super) fn log_success(&self) -> Option<ReportLine> {
        let dest = self.dest.display();
        let (verb, outcome) = match self.content {
            FileChange::Swapped(_) | FileChange::Present => ("updated", DestOutcome::Updated),
            FileChange::Removed => ("removed", DestOutcome::Removed),
            FileChange::RolledBack => {
                tracing::info!("the previous {dest} is in service again");
                return None;
            }
        };
        if self.is_unchanged {
            tracing::info!("{dest} was {verb} before; its reload is done");
        } else {
            tracing::info!("Target config {dest} has been {verb}");
        }
        Some(self.line_for(outcome))
    }
}

/// Returns the verification of a resource if it needs no rendering.
pub(super) fn unrendered(resource: &Resource) -> Option<Arc<Verify>> {
    resource.verify.as_ref().and_then(|verify| verify.unrendered()).map(Arc::new)
}

/// Builds a line of a report.
pub(super) fn line(
    index: impl Into<Option<usize>>,
    resource: &Resource,
    dest: &Path,
    outcome: DestOutcome,
) -> ReportLine {
    ReportLine { resource: resource.name.clone(), dest: dest.to_owned(), outcome, index: index.into() }
}
