//! One generation: the resources and templates of a confdir as they were read together.
//!
//! An editor's save or a package upgrade changes resources and templates together, so a pass uses one consistent set
//! of both. A newer generation replaces an older one only when it is at least as good: a bad edit is logged and the
//! old set stays.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::confdir::Confdir;
use super::settings::Settings;
use crate::template::{Engine, TemplateErrorKind};

/// At most this many files of a confdir are checked for changes.
const MAX_FILES: usize = 100_000;

/// Resources and their templates, read together.
#[derive(Clone)]
pub(super) struct Generation {
    /// The resources.
    pub confdir: Arc<Confdir>,
    /// The templates, compiled on first use.
    pub engine: Arc<Engine>,
    /// The stamps of all files, to detect changes.
    stamp: Arc<BTreeSet<FileStamp>>,
    /// Every folder that holds one of these files.
    folders: Arc<BTreeSet<PathBuf>>,
}

/// A newer set that is worse than the current one.
pub(super) struct RejectedGeneration {
    /// What is wrong with it.
    pub(super) problems: Vec<String>,
    /// The set itself.
    pub(super) next: Generation,
}

/// The state of a file: path, size, inode, and change time (which an edit cannot hide) in seconds and nanoseconds.
type FileStamp = (PathBuf, u64, u64, i64, i64);

impl Generation {
    /// Reads the confdir for a single use.
    #[must_use]
    pub(super) fn load(settings: &Settings) -> Self {
        Self::load_with_stamps(settings, (BTreeSet::new(), BTreeSet::new()))
    }

    /// Reads the confdir of a daemon, which rereads it when it changes.
    #[must_use]
    pub(super) fn load_to_follow(settings: &Settings) -> Self {
        // The stamp is taken first: an edit during the read then shows as a change at the next check.
        Self::load_with_stamps(settings, stamp_files(&settings.confdir))
    }

    fn load_with_stamps(
        settings: &Settings,
        (stamp, folders): (BTreeSet<FileStamp>, BTreeSet<PathBuf>),
    ) -> Self {
        let confdir = Arc::new(Confdir::load(settings));
        let engine = Arc::new(Engine::new(&settings.confdir.join("templates"), settings.limits));
        Self { confdir, engine, stamp: Arc::new(stamp), folders: Arc::new(folders) }
    }

    /// Logs the valid and the invalid resources.
    pub(super) fn log_resources(&self) {
        for problem in &self.confdir.problems {
            tracing::error!("{problem}");
        }
        for warning in &self.confdir.warnings {
            tracing::warn!("{warning}");
        }
        if self.confdir.files == 0 {
            tracing::warn!("Found no templates");
        }
        for resource in &self.confdir.resources {
            tracing::debug!("Found template: {}", resource.file.display());
        }
    }

    /// Rereads the confdir if any of its files changed, or in any case when `forced`. Returns `Ok(None)` when nothing
    /// changed. Blocking.
    ///
    /// # Errors
    /// The problems of the new set that this one does not have; this one stays in use.
    pub(super) fn reread(
        &self,
        settings: &Settings,
        forced: bool,
    ) -> Result<Option<Self>, RejectedGeneration> {
        let (stamp, folders) = stamp_files(&settings.confdir);
        if !forced && stamp == *self.stamp {
            return Ok(None);
        }
        let next = Self::load_with_stamps(settings, (stamp, folders));
        let known = &self.confdir.problems;
        let new = next.confdir.problems.iter().filter(|problem| !known.contains(problem));
        let mut problems: Vec<String> = new.map(ToString::to_string).collect();
        problems.extend(self.newly_broken_templates(&next, settings));
        problems.sort();
        problems.dedup();
        if problems.is_empty() { Ok(Some(next)) } else { Err(RejectedGeneration { problems, next }) }
    }

    /// Returns the templates that were valid before and are broken now, included ones as well. A template that was
    /// broken before may stay so: its resource fails, the others continue.
    fn newly_broken_templates(&self, next: &Self, settings: &Settings) -> Vec<String> {
        let folder = settings.confdir.join("templates");
        let used = self.engine.files();
        let used = used
            .iter()
            .filter_map(|path| Some(path.strip_prefix(&folder).ok()?.to_string_lossy().into_owned()));
        let sources: BTreeSet<String> =
            next.confdir.resources.iter().map(|resource| resource.src.clone()).collect();
        let mut worse = Vec::new();
        for name in used.chain(sources.iter().cloned()).collect::<BTreeSet<_>>() {
            let Err(error) = next.engine.check(&name) else { continue };
            let gone = error.kind == TemplateErrorKind::MissingTemplate && !sources.contains(&name);
            if !gone && self.engine.check(&name).is_ok() {
                worse.push(error.to_string());
            }
        }
        worse
    }

    /// Remembers the stamps of a refused set, so that it is not refused again until it changes.
    pub(super) fn keep_stamps_of(&mut self, refused: &Self) {
        (self.stamp, self.folders) = (Arc::clone(&refused.stamp), Arc::clone(&refused.folders));
    }

    /// The folders to watch for edits.
    pub(super) fn folders(&self) -> &BTreeSet<PathBuf> {
        &self.folders
    }
}

fn stamp_files(confdir: &Path) -> (BTreeSet<FileStamp>, BTreeSet<PathBuf>) {
    let (mut seen, mut folders) = (BTreeSet::new(), BTreeSet::from([confdir.to_owned()]));
    for folder in ["conf.d", "templates"] {
        add(&confdir.join(folder), 0, &mut seen, &mut folders);
    }
    (seen, folders)
}

fn add(dir: &Path, depth: usize, seen: &mut BTreeSet<FileStamp>, folders: &mut BTreeSet<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    folders.insert(dir.to_owned());
    for path in entries.flatten().map(|entry| entry.path()) {
        if seen.len() >= MAX_FILES {
            return;
        }
        // Follows symlinks: an update of a ConfigMap changes the inode behind the name.
        let Ok(meta) = fs::metadata(&path) else { continue };
        if meta.is_dir() {
            if depth < 16 {
                add(&path, depth + 1, seen, folders);
            }
        } else {
            seen.insert((path, meta.len(), meta.ino(), meta.ctime(), meta.ctime_nsec()));
        }
    }
}
