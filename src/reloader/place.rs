//! The swap itself: all accepted files of a pass at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::job::Job;
use super::journal::{JournalEntry, ReloadJournal};
use super::manifest::Manifest;
use super::outcome::{DestOutcome, FailedStep, ReportLine};
use super::probe::Verify;
use super::reload::ReloadAction;
use super::request::{FileChange, PreviousFile, ReloadRequest, line};
use super::resource::Resource;
use crate::replace::{self, Staged, Target, WriteMethod, sync_folder};

/// A checked file on its way to its destination.
#[derive(Debug)]
pub(super) struct CheckedFile {
    pub(super) job: Job,
    pub(super) target: Target,
    pub(super) staged: Staged,
    pub(super) digest: String,
    /// The verification after the reload.
    pub(super) verify: Option<Arc<Verify>>,
    /// The reload it needs.
    pub(super) action: Option<ReloadAction>,
    /// Whether the present file is kept, because a verification may need it back.
    pub(super) keep_previous: bool,
}

/// A file of ours whose `for_each` entry is gone.
#[derive(Clone, Debug)]
pub(super) struct OrphanedFile {
    pub(super) index: usize,
    pub(super) resource: Arc<Resource>,
    pub(super) dest: PathBuf,
}

impl OrphanedFile {
    /// Returns the reload that its removal needs; an invalid one was reported when the file was rendered.
    pub(super) fn action(&self) -> Option<ReloadAction> {
        ReloadAction::of(&self.resource, &self.dest).ok().flatten()
    }
}

/// Everything that one pass swaps.
pub(super) struct SwapBatch {
    pub(super) accepted: Vec<CheckedFile>,
    pub(super) gone: Vec<OrphanedFile>,
    pub(super) entries: BTreeMap<String, JournalEntry>,
    pub(super) journal: ReloadJournal,
    pub(super) keep_staged: bool,
    pub(super) manifest: Manifest,
}

/// The result of the swaps.
#[derive(Default)]
pub(super) struct SwapResult {
    pub(super) requests: Vec<ReloadRequest>,
    /// What was not done, and why.
    pub(super) failed: Vec<ReportLine>,
    /// Destinations that are mounts of their own and could not be renamed over.
    pub(super) in_place: Vec<PathBuf>,
}

/// Returns the report line of a destination that could not be changed.
fn place_failure(index: usize, resource: &Resource, dest: &Path, text: &str) -> ReportLine {
    line(index, resource, dest, DestOutcome::failed(FailedStep::Place, text))
}

/// Writes the journal entries, swaps every file, makes the swaps durable. Blocking.
pub(super) fn place_all(swap: SwapBatch) -> SwapResult {
    let mut swapped = SwapResult::default();
    let SwapBatch { accepted, gone, entries, journal, keep_staged, manifest } = swap;
    if let Err(text) = record_entries(&entries, &journal, &accepted, &manifest) {
        // Without the journal entry on disk, a crash after the swap would lose the reload: do not swap.
        let files = accepted.iter().map(|one| (one.job.index, &one.job.resource, &one.job.dest));
        let gone = gone.iter().map(|gone| (gone.index, &gone.resource, &gone.dest));
        for (index, resource, dest) in files.chain(gone) {
            swapped.failed.push(place_failure(index, resource, dest, &text));
        }
        return swapped;
    }
    let mut folders = BTreeSet::new();
    for one in accepted {
        let (index, resource, dest) = (one.job.index, Arc::clone(&one.job.resource), one.job.dest.clone());
        folders.extend([one.target.folder().to_owned()]);
        match place(one, keep_staged) {
            Ok((request, placed)) => {
                if placed == WriteMethod::InPlace {
                    swapped.in_place.push(dest);
                }
                swapped.requests.push(request);
            }
            Err(text) => {
                swapped.failed.push(place_failure(index, &resource, &dest, &text));
            }
        }
    }
    let missing: BTreeMap<usize, PathBuf> = swapped
        .failed
        .iter()
        .filter(|line| line.dest.symlink_metadata().is_err())
        .filter_map(|line| Some((line.index?, line.dest.clone())))
        .collect();
    for OrphanedFile { index, resource, dest } in gone {
        if let Some(new) = missing.get(&index) {
            let why = waits_for(new);
            swapped.failed.push(line(index, &resource, &dest, DestOutcome::Skipped { why }));
            continue;
        }
        folders.extend(dest.parent().map(Path::to_owned));
        match remove(&resource, &dest, &manifest) {
            Ok(previous) => {
                let request = ReloadRequest::unrendered(index, &resource, dest, FileChange::Removed);
                swapped.requests.push(ReloadRequest { is_unchanged: false, previous, ..request });
            }
            Err(text) => {
                swapped.failed.push(place_failure(index, &resource, &dest, &text));
            }
        }
    }
    for folder in folders {
        if let Err(error) = sync_folder(&folder) {
            tracing::warn!("{}: the swap may not survive a power cut: {error}", folder.display());
        }
    }
    swapped
}

/// Returns why the file of an entry that is gone stays.
pub(super) fn waits_for(new: &Path) -> String {
    format!("its entry is gone, but the file of a new entry, {}, is not in place yet", new.display())
}

fn record_entries(
    entries: &BTreeMap<String, JournalEntry>,
    journal: &ReloadJournal,
    accepted: &[CheckedFile],
    manifest: &Manifest,
) -> Result<(), String> {
    for entry in entries.values() {
        journal.record(entry).map_err(|error| format!("cannot record the reload it needs: {error}"))?;
    }
    let mut by_resource: BTreeMap<&str, Vec<PathBuf>> = BTreeMap::new();
    for one in accepted.iter().filter(|one| one.job.resource.for_each.is_some()) {
        by_resource.entry(&one.job.resource.name).or_default().push(one.job.dest.clone());
    }
    for (resource, dests) in by_resource {
        manifest
            .add(resource, dests)
            .map_err(|error| format!("cannot update the list of our files: {error}"))?;
    }
    Ok(())
}

fn place(one: CheckedFile, keep_staged: bool) -> Result<(ReloadRequest, WriteMethod), String> {
    let CheckedFile { job, target, staged, digest, verify, keep_previous, .. } = one;
    let previous = if keep_previous { Some(previous(&target)?) } else { None };
    if job.resource.backup {
        target.backup(".bak").map_err(|error| format!("cannot write the backup: {error}"))?;
    }
    if keep_staged {
        let copy = staged.keep_copy().map_err(|error| format!("cannot keep the staged file: {error}"))?;
        tracing::info!("Keeping staged file: {}", copy.display());
    }
    let placed = staged.place().map_err(|error| error.to_string())?;
    let request = ReloadRequest::unrendered(job.index, &job.resource, job.dest, FileChange::Swapped(digest));
    Ok((ReloadRequest { verify, is_unchanged: false, previous, ..request }, placed))
}

fn previous(target: &Target) -> Result<PreviousFile, String> {
    let saved = target
        .save()
        .map_err(|error| format!("cannot keep a copy of the present file for a rollback: {error}"))?;
    Ok((target.clone(), saved))
}

/// Removes the file of an entry that is gone; a file that is already missing counts as removed.
fn remove(resource: &Resource, dest: &Path, manifest: &Manifest) -> Result<Option<PreviousFile>, String> {
    let trust = resource.trust();
    let target = Target::resolve_with(dest, trust).map_err(|error| error.to_string())?;
    let previous = if resource.verify.is_some() { Some(previous(&target)?) } else { None };
    replace::remove(dest, trust).map_err(|error| error.to_string())?;
    manifest.remove(dest).map_err(|error| format!("cannot remove it from the list of our files: {error}"))?;
    Ok(previous)
}
