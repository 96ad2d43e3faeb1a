//! A destination whose service has to be told of a change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::journal::{JournalFile, digest};
use super::outcome::{DestOutcome, ReportLine};
use super::probe::Verify;
use super::resource::Resource;
use crate::replace::{Previous, Target};

/// What was at a destination before, for a way back: `None` inside when nothing was.
pub(super) type Before = (Target, Option<Previous>);

/// What this run did to a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Swapped a file with this digest in.
    Swapped(String),
    /// Removed it: its `for_each` entry is gone.
    Removed,
    /// Nothing: an earlier run did, or the reload is forced.
    Present,
    /// Put the previous file back after a verification failed.
    PutBack,
}

/// One destination that wants a reload.
#[derive(Clone, Debug)]
pub(super) struct ReloadRequest {
    /// The resource's number in the present generation; `None` when that no longer has it.
    pub(super) index: Option<usize>,
    pub(super) resource: Arc<Resource>,
    pub(super) dest: PathBuf,
    pub(super) content: Content,
    /// What to ask its service after the reload. `None` while the resource asks nothing, or nothing that is known.
    pub(super) verify: Option<Arc<Verify>>,
    /// What was there before, kept only where a verification may want it back.
    pub(super) previous: Option<Before>,
}

impl ReloadRequest {
    /// For a destination that this run did not touch.
    pub(super) fn present(index: usize, resource: &Arc<Resource>, dest: &Path) -> Self {
        Self::unrendered(index, resource, dest.to_owned(), Content::Present)
    }

    /// For a destination that was not rendered in this pass.
    pub(super) fn unrendered(
        index: usize,
        resource: &Arc<Resource>,
        dest: PathBuf,
        content: Content,
    ) -> Self {
        let (resource, verify) = (Arc::clone(resource), unrendered(resource));
        Self { index: Some(index), resource, dest, content, verify, previous: None }
    }

    /// Whether its service cannot be asked yet, because its template has not rendered in this run.
    pub(super) fn is_unknown(&self) -> bool {
        let rendered = matches!(self.content, Content::Swapped(_) | Content::Present);
        rendered && self.resource.verify.is_some() && self.verify.is_none()
    }

    /// How it stands in a journal entry.
    pub(super) fn journal_file(&self) -> JournalFile {
        let digest = match &self.content {
            Content::Swapped(digest) => digest.clone(),
            Content::Removed => String::new(),
            Content::Present | Content::PutBack => {
                fs::read(&self.dest).map(|bytes| digest(&bytes)).unwrap_or_default()
            }
        };
        JournalFile { dest: self.dest.clone(), digest, resource: self.resource.name.clone() }
    }

    /// Its line in a report.
    pub(super) fn line_for(&self, outcome: DestOutcome) -> ReportLine {
        line(self.index, &self.resource, &self.dest, outcome)
    }

    /// The whole chain succeeded for it. A file that was put back is no success to tell of.
    pub(super) fn done(&self) -> Option<ReportLine> {
        let dest = self.dest.display();
        match self.content {
            Content::Swapped(_) | Content::Present => {
                tracing::info!("Target config {dest} has been updated");
                Some(self.line_for(DestOutcome::Updated))
            }
            Content::Removed => {
                tracing::info!("Target config {dest} has been removed");
                Some(self.line_for(DestOutcome::Removed))
            }
            Content::PutBack => {
                tracing::info!("the previous {dest} is in service again");
                None
            }
        }
    }
}

/// What a resource asks its service where no rendering is at hand.
pub(super) fn unrendered(resource: &Resource) -> Option<Arc<Verify>> {
    resource.verify.as_ref().and_then(|verify| verify.unrendered()).map(Arc::new)
}

/// A line of a report.
pub(super) fn line(
    index: impl Into<Option<usize>>,
    resource: &Resource,
    dest: &Path,
    outcome: DestOutcome,
) -> ReportLine {
    ReportLine { resource: resource.name.clone(), dest: dest.to_owned(), outcome, index: index.into() }
}
