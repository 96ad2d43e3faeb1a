//! One generation: the resources and templates of a confdir as they were read together.
//!
//! Resources and templates change together in an editor's save or a package upgrade; a pass uses one
//! consistent set of both. A newer generation takes the place of an older one only when it is at least as
//! good: a bad edit is logged and the old set stays.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::confdir::Confdir;
use super::settings::Settings;
use crate::template::{Engine, TemplateErrorKind};

/// How many files of a confdir are looked at for changes at most.
const MAX_FILES: usize = 100_000;

/// Resources and their templates, read together.
#[derive(Clone)]
pub(super) struct Generation {
    /// The resources.
    pub confdir: Arc<Confdir>,
    /// The templates, compiled as they are first used.
    pub engine: Arc<Engine>,
    /// What the files looked like: path, size, time and inode of each.
    stamp: Arc<BTreeSet<FileStamp>>,
    /// Every folder that holds one of them.
    folders: Arc<BTreeSet<PathBuf>>,
}

/// A newer set that is worse than the present one.
pub(super) struct RejectedGeneration {
    /// What is wrong with it.
    pub(super) problems: Vec<String>,
    /// The set itself.
    pub(super) next: Generation,
}

/// What a file looked like: path, size, inode, and when it changed, which an edit cannot hide, in seconds and
/// nanoseconds.
type FileStamp = (PathBuf, u64, u64, i64, i64);

impl Generation {
    /// Reads the confdir, for one use.
    #[must_use]
    pub(super) fn load(settings: &Settings) -> Self {
        Self::load_as(settings, (BTreeSet::new(), BTreeSet::new()))
    }

    /// Reads the confdir, to be read again when it changes.
    #[must_use]
    pub(super) fn load_to_follow(settings: &Settings) -> Self {
        // The stamp is taken first: an edit while reading shows as a change at the next look.
        Self::load_as(settings, look(&settings.confdir))
    }

    fn load_as(settings: &Settings, (stamp, folders): (BTreeSet<FileStamp>, BTreeSet<PathBuf>)) -> Self {
        let confdir = Arc::new(Confdir::load(settings));
        let engine = Arc::new(Engine::new(&settings.confdir.join("templates"), settings.limits));
        Self { confdir, engine, stamp: Arc::new(stamp), folders: Arc::new(folders) }
    }

    /// Says what was found, good and bad.
    pub(super) fn announce(&self) {
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

    /// Reads the confdir again if any of its files changed, or in any case when `asked`. `Ok(None)`: nothing
    /// changed. Blocking.
    ///
    /// # Errors
    /// What is wrong with the new set that was not wrong with this one; this one stays in use.
    pub(super) fn reread(
        &self,
        settings: &Settings,
        asked: bool,
    ) -> Result<Option<Self>, RejectedGeneration> {
        let (stamp, folders) = look(&settings.confdir);
        if !asked && stamp == *self.stamp {
            return Ok(None);
        }
        let next = Self::load_as(settings, (stamp, folders));
        let known = &self.confdir.problems;
        let new = next.confdir.problems.iter().filter(|problem| !known.contains(problem));
        let mut problems: Vec<String> = new.map(ToString::to_string).collect();
        problems.extend(self.worse_templates(&next, settings));
        problems.sort();
        problems.dedup();
        if problems.is_empty() { Ok(Some(next)) } else { Err(RejectedGeneration { problems, next }) }
    }

    /// Templates that were good and are not any more, included ones as well. One that was broken before may stay
    /// so: its resource fails, the others go on.
    fn worse_templates(&self, next: &Self, settings: &Settings) -> Vec<String> {
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
            let gone = error.kind() == TemplateErrorKind::MissingTemplate && !sources.contains(&name);
            if !gone && self.engine.check(&name).is_ok() {
                worse.push(error.to_string());
            }
        }
        worse
    }

    /// Remembers how a refused set looked, so that it is not refused again until it changes.
    pub(super) fn remember(&mut self, refused: &Self) {
        (self.stamp, self.folders) = (Arc::clone(&refused.stamp), Arc::clone(&refused.folders));
    }

    /// The folders to watch for edits.
    pub(super) fn folders(&self) -> &BTreeSet<PathBuf> {
        &self.folders
    }
}

fn look(confdir: &Path) -> (BTreeSet<FileStamp>, BTreeSet<PathBuf>) {
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
        // Through links: a ConfigMap's swap changes the inode behind the name.
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
