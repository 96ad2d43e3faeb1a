//! Which files a file source reads, and which paths must be watched to notice every change.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::SourceError;
use super::glob::Glob;

/// More files than this in one source are a mistake in its path.
const MAX_FILES: usize = 10_000;
/// The number of symbolic links in a row that Linux follows.
const MAX_LINKS: usize = 40;
/// A file changed this recently may change again within the clock's resolution, unseen by its times.
const MTIME_GRANULARITY: Duration = Duration::from_secs(1);

/// The result of one check of the file system; no file is opened for it.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The files to read, in the order in which later ones win.
    pub(super) files: Vec<PathBuf>,
    /// Folders and files to watch, each without its subfolders.
    pub(super) watch_paths: BTreeSet<PathBuf>,
    /// Equal only if no file changed, was added or removed.
    pub(super) stamp: Vec<(PathBuf, u64, u64, u64, i64, i64)>,
    /// Whether a file is so fresh that equal stamps prove nothing.
    pub(super) recently_modified: bool,
}

impl Walk {
    /// Checks every path. On an error it still returns the paths found so far, so that a recovery is noticed.
    pub(super) fn new(paths: &[PathBuf], filter: &Glob) -> (Self, Result<(), SourceError>) {
        let mut walk = Self::default();
        for path in paths {
            collect_watch_paths(path, &mut walk.watch_paths);
        }
        let mut outcome = Ok(());
        for path in paths {
            let one = match fs::metadata(path) {
                Ok(found) if found.is_dir() => walk.folder(path, filter, &mut Vec::new()),
                Ok(found) => walk.file(path.clone(), &found),
                Err(error) => Err(file_error(path, &error)),
            };
            // The first error is returned; the paths of the others are still needed.
            outcome = outcome.and(one);
        }
        (walk, outcome)
    }

    fn folder(&mut self, dir: &Path, filter: &Glob, above: &mut Vec<PathBuf>) -> Result<(), SourceError> {
        let real = fs::canonicalize(dir).map_err(|error| file_error(dir, &error))?;
        if above.contains(&real) {
            tracing::debug!(path = %dir.display(), "a folder that links to one above it is not read again");
            return Ok(());
        }
        self.watch_paths.insert(real.clone());
        above.push(real);
        let listed = fs::read_dir(dir).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<OsString>, _>>()
        });
        let mut names = listed.map_err(|error| file_error(dir, &error))?;
        names.sort();
        for name in names {
            let shown = name.to_string_lossy();
            // `..data` of a mounted ConfigMap, editors' swap files.
            if shown.starts_with('.') {
                continue;
            }
            let path = dir.join(&name);
            if fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
                collect_watch_paths(&path, &mut self.watch_paths);
            }
            match fs::metadata(&path) {
                Ok(found) if found.is_dir() => self.folder(&path, filter, above)?,
                Ok(found) if has_known_format(&path) && filter.matches(&shown) => self.file(path, &found)?,
                Ok(_) => tracing::debug!(path = %path.display(), "not a file of this source"),
                // It was removed between the listing and the check.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(file_error(&path, &error)),
            }
        }
        above.pop();
        Ok(())
    }

    fn file(&mut self, path: PathBuf, found: &fs::Metadata) -> Result<(), SourceError> {
        if !found.is_file() {
            return Err(SourceError::File {
                path,
                line: None,
                message: "is neither a file nor a folder".into(),
            });
        }
        if self.files.len() >= MAX_FILES {
            let message = format!("is one of more than {MAX_FILES} files; name a smaller folder");
            return Err(SourceError::File { path, line: None, message });
        }
        let age = found.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        self.recently_modified |= age.is_none_or(|age| age < MTIME_GRANULARITY);
        let times = (
            found.mtime() * 1_000_000_000 + found.mtime_nsec(),
            found.ctime() * 1_000_000_000 + found.ctime_nsec(),
        );
        self.stamp.push((path.clone(), found.dev(), found.ino(), found.size(), times.0, times.1));
        self.files.push(path);
        Ok(())
    }
}

/// Returns whether a file in a folder has one of the formats a source reads.
fn has_known_format(path: &Path) -> bool {
    path.extension().is_some_and(|kind| ["toml", "json", "yaml", "yml"].iter().any(|known| kind == *known))
}

pub(super) fn file_error(path: &Path, error: &std::io::Error) -> SourceError {
    let message = match error.kind() {
        std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    SourceError::File { path: path.to_owned(), line: None, message }
}

/// Adds every place where a change may make `path` mean another file: the folder of each link on the way, the final
/// folder, the file itself (a file mounted by itself raises events only there), or the last folder that exists.
fn collect_watch_paths(path: &Path, watch_paths: &mut BTreeSet<PathBuf>) {
    let Ok(whole) = std::path::absolute(path) else { return };
    let mut at = PathBuf::from("/");
    let mut todo: Vec<OsString> = names(&whole);
    let mut links = 0;
    while let Some(name) = todo.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        match fs::symlink_metadata(&next) {
            Ok(found) if found.is_symlink() && links < MAX_LINKS => {
                links += 1;
                watch_paths.insert(at.clone());
                let Ok(target) = fs::read_link(&next) else { return };
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                todo.extend(names(&target));
            }
            Ok(found) if found.is_dir() => at = next,
            Ok(_) => {
                watch_paths.insert(next);
                break;
            }
            Err(_) => break,
        }
    }
    if let Some(parent) =
        at.parent().filter(|_| todo.is_empty() && fs::metadata(path).is_ok_and(|m| m.is_dir()))
    {
        // Renaming or deleting a folder raises an event in its parent.
        watch_paths.insert(parent.to_owned());
    }
    watch_paths.insert(at);
}

/// Returns the names in a path, last first, so that the next one is popped.
fn names(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}
