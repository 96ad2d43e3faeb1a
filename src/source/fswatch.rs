//! Hints that files may have changed.
//!
//! A hint does not say what changed: events get lost, arrive under another name, and some mounts send none. So whoever
//! receives one checks everything, and also checks at intervals without a hint.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Config, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// How often files are checked without an event.
const POLL_INTERVAL: Duration = Duration::from_secs(30);
/// The same if the system provides no file events.
const UNWATCHED_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// A save causes several events; after this time without one it is complete.
const QUIET_DELAY: Duration = Duration::from_millis(20);
/// A folder that is never quiet is checked at this interval.
const MAX_QUIET_DELAY: Duration = Duration::from_millis(200);

/// Watches files and folders, and signals when they must be checked.
pub struct FileWatcher {
    watcher: Option<RecommendedWatcher>,
    hints: mpsc::Receiver<()>,
    /// Each watched path with the inode it had when the watch was set.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    /// When the current hint came; kept here so that a dropped wait does not lose it.
    hinted_at: Option<Instant>,
    /// Files already reported as mounted by themselves and replaced outside.
    stale: BTreeSet<PathBuf>,
    /// Something was removed or renamed. Its inode number may be reused at once, so a replaced path can look
    /// unchanged; all watches are then set again.
    paths_moved: Arc<AtomicBool>,
}

impl FileWatcher {
    /// Returns a watcher without watches. Where the system has no file events, it logs this once and checks every
    /// second.
    #[must_use]
    pub fn new() -> Self {
        // One hint in the queue is enough: the next check sees every earlier change.
        let (hint, hints) = mpsc::channel(1);
        let paths_moved = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&paths_moved);
        let watcher = RecommendedWatcher::new(
            move |event: notify::Result<notify::Event>| {
                if event.as_ref().is_ok_and(|event| !is_change(event)) {
                    return;
                }
                if event.map_or(true, |event| may_be_replaced(&event)) {
                    seen.store(true, Ordering::Release);
                }
                // A full queue means that a check is due anyway.
                let _ = hint.try_send(());
            },
            Config::default(),
        );
        let watcher = watcher.inspect_err(warn_without_events).ok();
        Self {
            watcher,
            hints,
            watched: BTreeMap::new(),
            hinted_at: None,
            stale: BTreeSet::new(),
            paths_moved,
        }
    }

    /// Watches exactly these paths. Returns whether any of them is new, so that an earlier check may have missed a
    /// change.
    pub fn set_paths(&mut self, paths: &BTreeSet<PathBuf>) -> bool {
        let mut now: BTreeMap<PathBuf, (u64, u64)> = BTreeMap::new();
        for path in paths {
            let Ok(found) = fs::metadata(path) else { continue };
            now.insert(path.clone(), (found.dev(), found.ino()));
            if found.nlink() > 0 {
                self.stale.remove(path);
            } else if self.stale.insert(path.clone()) {
                tracing::warn!(
                    path = %path.display(),
                    "this file is mounted by itself and was replaced outside: this process will always see the old one. \
                     Mount its folder in place of the file, and start again"
                );
            }
        }
        let Some(watcher) = &mut self.watcher else { return false };
        let rewatch = self.paths_moved.swap(false, Ordering::AcqRel);
        for (path, inode) in &self.watched {
            if rewatch || now.get(path) != Some(inode) {
                // The watch of a deleted inode is already gone.
                watcher.unwatch(path).ok();
            }
        }
        self.watched.retain(|path, inode| !rewatch && now.get(path) == Some(inode));
        let mut fresh = false;
        for (path, inode) in now {
            if self.watched.contains_key(&path) {
                continue;
            }
            match watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path, inode);
                    fresh = true;
                }
                Err(error) if is_exhausted(&error) => {
                    warn_without_events(&error);
                    self.watcher = None;
                    return true;
                }
                Err(error) => tracing::debug!(path = %path.display(), "cannot be watched: {error}"),
            }
        }
        fresh
    }

    /// Waits for a hint and then until no more arrive, or until the next check is due, at most for `limit`.
    pub async fn wait(&mut self, limit: Option<Duration>) {
        let interval = if self.watcher.is_some() { POLL_INTERVAL } else { UNWATCHED_POLL_INTERVAL };
        let limit = limit.unwrap_or(interval).min(interval);
        if self.watcher.is_none() {
            return sleep(limit).await;
        }
        if self.hinted_at.is_none() {
            if !matches!(timeout(limit, self.hints.recv()).await, Ok(Some(()))) {
                return;
            }
            self.hinted_at = Some(Instant::now());
        }
        while self.hinted_at.is_some_and(|since| since.elapsed() < MAX_QUIET_DELAY)
            && timeout(QUIET_DELAY, self.hints.recv()).await.is_ok()
        {}
        self.hinted_at = None;
    }
}

impl Default for FileWatcher {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns whether an event counts: reading a file causes one too, which must not wake its own reader.
fn is_change(event: &notify::Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// Returns whether a watched path may be gone or replaced. An ambiguous event counts.
fn may_be_replaced(event: &notify::Event) -> bool {
    event.need_rescan()
        || matches!(
            event.kind,
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) | EventKind::Any
        )
}

/// Returns whether the system has run out of watches or open files.
fn is_exhausted(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => true,
        notify::ErrorKind::Io(error) => matches!(
            error.raw_os_error().map(nix::errno::Errno::from_raw),
            Some(nix::errno::Errno::ENOSPC | nix::errno::Errno::EMFILE | nix::errno::Errno::ENFILE)
        ),
        _ => false,
    }
}

fn warn_without_events(error: &notify::Error) {
    tracing::warn!(
        "the system gives no file events ({error}); checking every second instead. Raising \
         fs.inotify.max_user_watches or max_user_instances helps"
    );
}
