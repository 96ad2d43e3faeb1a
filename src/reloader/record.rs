//! Assigns journal entries to resources: adopts what earlier runs left, and follows resources through edits.
//!
//! A journal entry names its destinations, not only the command: when a wrong `reload_cmd` is corrected, the corrected
//! command is the one to run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::deliver::Deliverer;
use super::generation::Generation;
use super::job::writes;
use super::journal::{JournalEntry, JournalFile};
use super::outcome::Report;
use super::pending::PendingReload;
use super::reload::ReloadAction;
use super::request::{FileChange, ReloadRequest, unrendered};
use super::resource::Resource;

impl Deliverer {
    /// Adds each request to its reload; one that needs neither reload nor verification is done.
    pub(super) fn record_all(&mut self, requests: Vec<ReloadRequest>, report: &mut Report) {
        for request in requests {
            // An invalid reload was refused before the swap.
            let action = ReloadAction::of(&request.resource, &request.dest).ok().flatten();
            if self.settings.sync_only || (action.is_none() && request.resource.verify.is_none()) {
                report.lines.extend(request.log_success());
            } else {
                self.record(request, action);
            }
        }
    }

    /// Adds one request to its reload.
    pub(super) fn record(&mut self, request: ReloadRequest, action: Option<ReloadAction>) {
        let (key, entry) = match &action {
            Some(action) => {
                let key = action.key();
                let entry = self.journal.find(&key).unwrap_or_else(|| JournalEntry::new(key.clone()));
                (key, Some(entry))
            }
            None => (format!("verify {}", request.dest.display()), None),
        };
        self.pending.entry(key).or_insert_with(|| PendingReload::new(action)).add(request, entry);
    }

    /// Adopts the journal entries that earlier runs left for the resources that are due. When all resources are due,
    /// the remaining entries belong to no resource.
    pub(super) fn adopt(&mut self, generation: &Generation, due: &BTreeSet<usize>) {
        if self.left_over.is_empty() {
            return;
        }
        let resources = &generation.confdir.resources;
        let mut left = Vec::new();
        for mut entry in std::mem::take(&mut self.left_over) {
            for file in std::mem::take(&mut entry.files) {
                match due.iter().find(|index| belongs_to(&file, &resources[**index])) {
                    Some(&index) => self.adopt_file(&entry, file, index, &resources[index]),
                    None => entry.files.push(file),
                }
            }
            if !entry.files.is_empty() {
                left.push(entry);
            }
        }
        let complete = due.len() == resources.len() && self.settings.only.is_empty();
        if complete && generation.confdir.problems.is_empty() {
            for entry in left.drain(..) {
                tracing::warn!(
                    "no resource needs the pending {} for {} any more; its journal entry is removed",
                    entry.describe(),
                    entry.dests()
                );
                self.journal.finish(&entry).ok();
            }
        }
        self.left_over = left;
    }

    fn adopt_file(
        &mut self,
        entry: &JournalEntry,
        file: JournalFile,
        index: usize,
        resource: &Arc<Resource>,
    ) {
        let content =
            if file.digest.is_empty() { FileChange::Removed } else { FileChange::Swapped(file.digest) };
        let dest: PathBuf = file.dest;
        let request = ReloadRequest::unrendered(index, resource, dest, content);
        match ReloadAction::of(resource, &request.dest) {
            Ok(Some(action)) => {
                let dest = request.dest.display();
                tracing::warn!("{} for {dest} is pending from an earlier run", action.describe());
                self.move_to_action(request, action, &entry.action);
            }
            // It needs no reload any more.
            Ok(None) => self.release(&entry.action, &request.dest),
            Err(text) => {
                let (resource, dest) = (&request.resource.name, request.dest.display());
                tracing::warn!(%resource, "the pending reload for {dest} cannot be run: reload_cmd: {text}");
                self.keep_on_disk(&request, &entry.action);
            }
        }
    }

    /// Leaves a pending reload on disk until its resource comes back or is edited.
    fn keep_on_disk(&mut self, request: &ReloadRequest, action: &str) {
        let files = vec![request.journal_file()];
        self.orphans.push(JournalEntry { files, ..JournalEntry::new(action.to_owned()) });
    }

    /// Follows a reread: each journal entry stays with its destination, under the resource's new index and its present
    /// reload. An entry whose resource is gone stays on disk, because an editor may be rewriting the resource file. The
    /// next start removes it if it still belongs to no resource.
    pub(super) fn reassign(&mut self, generation: &Generation) {
        let resources = &generation.confdir.resources;
        for (key, mut pending) in std::mem::take(&mut self.pending) {
            for mut request in pending.take_requests() {
                let Some(index) = resources.iter().position(|resource| is_wanted_by(&request, resource))
                else {
                    tracing::warn!(
                        "{} has no resource any more; its pending reload waits for one",
                        request.dest.display()
                    );
                    self.keep_on_disk(&request, &key);
                    continue;
                };
                request.index = Some(index);
                request.resource = Arc::clone(&resources[index]);
                request.verify = unrendered(&request.resource);
                match ReloadAction::of(&request.resource, &request.dest) {
                    Ok(Some(action)) if action.key() == key => pending.add_waiting(request),
                    Ok(Some(action)) => self.move_to_action(request, action, &key),
                    Ok(None) if request.resource.verify.is_some() => self.record(request, None),
                    Ok(None) => self.release(&key, &request.dest),
                    // Reported below.
                    Err(_) => self.keep_on_disk(&request, &key),
                }
            }
            // Another entry may just have been added under this reload.
            for request in
                self.pending.remove(&key).map(|mut other| other.take_requests()).unwrap_or_default()
            {
                pending.add(request, None);
            }
            if pending.is_wanted() {
                self.pending.insert(key, pending);
            }
        }
        for entry in std::mem::take(&mut self.orphans) {
            let found = entry.files.first().and_then(|file| {
                resources
                    .iter()
                    .position(|resource| belongs_to(file, resource))
                    .map(|index| (index, file.clone()))
            });
            match found {
                Some((index, file)) => self.adopt_file(&entry, file, index, &resources[index]),
                None => self.orphans.push(entry),
            }
        }
        self.rejected.clear();
        self.faults.clear();
    }

    /// Writes a request under its present reload, and removes it from the entry of its earlier reload.
    fn move_to_action(&mut self, request: ReloadRequest, action: ReloadAction, before: &str) {
        let key = action.key();
        let mut entry = JournalEntry::new(key.clone());
        entry.files.push(request.journal_file());
        if let Err(error) = self.journal.record(&entry) {
            let (reload, dest) = (action.describe(), request.dest.display());
            tracing::warn!("the pending {reload} for {dest} could not be recorded: {error}");
        }
        if before != key {
            self.release(before, &request.dest);
        }
        self.record(request, Some(action));
    }

    fn release(&self, action: &str, dest: &Path) {
        if let Err(error) = self.journal.release(action, dest) {
            tracing::warn!(
                "{}: its journal entry could not be removed; the reload will run once more: {error}",
                dest.display()
            );
        }
    }
}

/// Returns whether a journal file belongs to a resource: by its name, or by its destination if the name has changed.
pub(super) fn belongs_to(file: &JournalFile, resource: &Resource) -> bool {
    file.resource == resource.name || writes(resource, &file.dest)
}

fn is_wanted_by(request: &ReloadRequest, resource: &Resource) -> bool {
    request.resource.name == resource.name || writes(resource, &request.dest)
}
