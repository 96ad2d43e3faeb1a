//! Expands the resources that are due into the files to render and the files whose entry is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::confdir::Confdir;
use super::generation::Generation;
use super::job::{Job, jobs};
use super::manifest::Manifest;
use super::outcome::{DestOutcome, FailedStep, ReportLine};
use super::place::OrphanedFile;
use super::request::line;
use crate::template::Reads;
use crate::values::Values;

/// Which resource writes which destination: two writers would overwrite each other for ever. `conf.d` is checked when
/// it is read; the files of a `for_each` are only known here.
#[derive(Debug, Default)]
pub(super) struct DestinationOwners {
    confdir: Option<Arc<Confdir>>,
    by_dest: BTreeMap<PathBuf, String>,
}

impl DestinationOwners {
    /// Starts again with the plain destinations of a generation, unless it is the current one.
    fn reset_if_changed(&mut self, confdir: &Arc<Confdir>) {
        if self.confdir.as_ref().is_some_and(|known| Arc::ptr_eq(known, confdir)) {
            return;
        }
        self.confdir = Some(Arc::clone(confdir));
        let plain = confdir.resources.iter().filter(|resource| resource.for_each.is_none());
        self.by_dest = plain.map(|resource| (PathBuf::from(&resource.dest), resource.name.clone())).collect();
    }

    /// Claims a destination; the error is the resource that already has it.
    fn register(&mut self, dest: &Path, resource: &str) -> Result<(), String> {
        match self.by_dest.get(dest) {
            Some(owner) if owner != resource => Err(owner.clone()),
            Some(_) => Ok(()),
            None => {
                self.by_dest.insert(dest.to_owned(), resource.to_owned());
                Ok(())
            }
        }
    }

    fn belongs_to_another(&self, dest: &Path, resource: &str) -> bool {
        self.by_dest.get(dest).is_some_and(|owner| owner != resource)
    }
}

/// The work of a pass, before anything is rendered.
#[derive(Default)]
pub(super) struct Expanded {
    pub(super) jobs: Vec<Job>,
    pub(super) gone: Vec<OrphanedFile>,
    pub(super) failed: Vec<ReportLine>,
    pub(super) reads: BTreeMap<usize, Reads>,
}

/// Returns the files of all resources that are due.
pub(super) fn expand(
    generation: &Generation,
    values: &Values,
    due: &BTreeSet<usize>,
    manifest: &Manifest,
    owners: &mut DestinationOwners,
) -> Expanded {
    owners.reset_if_changed(&generation.confdir);
    let mut all = Expanded::default();
    for &index in due {
        let Some(resource) = generation.confdir.resources.get(index) else { continue };
        let expanded = jobs(index, resource, values);
        let mut problems = expanded.problems;
        let mut mine = Vec::new();
        for job in expanded.jobs {
            match owners.register(&job.dest, &resource.name) {
                Ok(()) => mine.push(job),
                Err(owner) => problems.push(format!("{} is also written by {owner}", job.dest_text())),
            }
        }
        if let Some(dir) = expanded.listing {
            all.reads.entry(index).or_default().listings.insert(dir);
            let dests: BTreeSet<&Path> = mine.iter().map(|job| job.dest.as_path()).collect();
            let left = manifest.of(resource, &generation.confdir.resources).into_iter();
            let left = left.filter(|dest| {
                !dests.contains(dest.as_path()) && !owners.belongs_to_another(dest, &resource.name)
            });
            // An invalid entry may be a valid one that is being edited: then nothing is removed.
            if problems.is_empty() {
                all.gone.extend(left.map(|dest| OrphanedFile {
                    index,
                    resource: Arc::clone(resource),
                    dest,
                }));
            }
        }
        for text in problems {
            let outcome = DestOutcome::failed(FailedStep::Resource, text);
            all.failed.push(line(index, resource, Path::new(&resource.dest), outcome));
        }
        all.jobs.extend(mine);
    }
    for gone in &all.gone {
        owners.by_dest.remove(&gone.dest);
    }
    all
}
