//! A value made from a port's files, made again when their contents change.
//!
//! The contents are compared, not times or inodes: this detects every kind of change (overwritten, renamed into
//! place, a folder of links swapped as in Kubernetes), and the compared bytes are the used bytes. The files are
//! small, and only a connection causes a check.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::contents::FileContents;
use super::{TlsError, TlsFiles, self_signed};

/// The minimum time between two checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a handshake waits for a check; a hanging disk must not block the port.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// The current value, and the state of the checks.
pub(super) struct HotReload<T> {
    files: TlsFiles,
    make: Make<T>,
    state: Mutex<HotReloadState<T>>,
}

type Make<T> = fn(&TlsFiles, &FileContents) -> Result<T, TlsError>;

struct HotReloadState<T> {
    current: Arc<T>,
    /// The hash of the contents of `current`.
    digest: [u8; 32],
    /// The last error that was logged, as long as it persists.
    logged: Option<String>,
    last_check: Instant,
    checking: bool,
}

impl<T: Send + Sync + 'static> HotReload<T> {
    /// Reads the files for the first time.
    pub(super) fn open(files: &TlsFiles, make: Make<T>) -> Result<Arc<Self>, TlsError> {
        self_signed::ensure(files)?;
        let contents = FileContents::read(files)?;
        let state = HotReloadState {
            current: Arc::new(make(files, &contents)?),
            digest: contents.digest(),
            logged: None,
            last_check: Instant::now(),
            checking: false,
        };
        Ok(Arc::new(Self { files: files.clone(), make, state: Mutex::new(state) }))
    }

    pub(super) fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// Returns the value for the files as of at most a second ago.
    pub(super) async fn current(self: &Arc<Self>) -> Arc<T> {
        {
            let mut state = self.lock();
            if state.checking || state.last_check.elapsed() < CHECK_INTERVAL {
                return Arc::clone(&state.current);
            }
            state.checking = true;
        }
        let own = Arc::clone(self);
        let look = tokio::task::spawn_blocking(move || {
            let checking = CheckGuard(&own);
            own.check_files();
            drop(checking);
        });
        timeout(CHECK_TIMEOUT, look).await.ok();
        Arc::clone(&self.lock().current)
    }

    /// Reads the files again, and keeps the old value when they are unusable.
    fn check_files(&self) {
        let cert = self.files.cert.as_deref().unwrap_or("".as_ref()).display();
        let made = FileContents::read(&self.files).and_then(|contents| {
            let digest = contents.digest();
            let same = self.lock().digest == digest;
            if same { Ok(None) } else { (self.make)(&self.files, &contents).map(|made| Some((made, digest))) }
        });
        let mut state = self.lock();
        match made {
            Ok(None) => {
                let says = replaced_outside(&self.files);
                if says.is_some() && state.logged != says {
                    tracing::warn!("{}", says.as_deref().unwrap_or_default());
                }
                state.logged = says;
            }
            Ok(Some((made, digest))) => {
                state.current = Arc::new(made);
                state.digest = digest;
                state.logged = None;
                tracing::info!(flag = self.files.flag("cert-file"), "TLS files were read again: {cert}");
            }
            Err(error) => {
                let says = error.to_string();
                if state.logged.as_ref() != Some(&says) {
                    tracing::warn!("{says}; the previous files stay in use");
                    state.logged = Some(says);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HotReloadState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a warning if a file is a mount of its own and was replaced outside: the new content is then not visible
/// here.
fn replaced_outside(files: &TlsFiles) -> Option<String> {
    let all = [&files.cert, &files.key, &files.trusted_ca].into_iter().flatten();
    let stale = |path: &&std::path::PathBuf| std::fs::metadata(path).is_ok_and(|found| found.nlink() == 0);
    let path = all.into_iter().find(stale)?;
    Some(format!(
        "{}: this file is mounted by itself and was replaced outside, and the old one stays in use: mount its folder in place \
         of the file, and start again",
        path.display()
    ))
}

/// Ends a check on every path.
struct CheckGuard<'r, T: Send + Sync + 'static>(&'r HotReload<T>);

impl<T: Send + Sync + 'static> Drop for CheckGuard<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.checking = false;
        state.last_check = Instant::now();
    }
}

impl<T> fmt::Debug for HotReload<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HotReload").field("files", &self.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Opens a value for which any text but `bad` is a valid certificate.
    fn opened(cert: &Path) -> Arc<HotReload<[u8; 32]>> {
        let files = TlsFiles { cert: Some(cert.to_owned()), ..TlsFiles::default() };
        let make: Make<[u8; 32]> = |files, contents| {
            let bad = std::fs::read(files.cert.as_ref().unwrap()).unwrap() == b"bad";
            if bad { Err(TlsError("bad".to_owned())) } else { Ok(contents.digest()) }
        };
        HotReload::open(&files, make).unwrap()
    }

    #[test]
    fn changed_contents_are_detected_even_with_the_same_size_and_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert.pem");
        std::fs::write(&path, "one").unwrap();
        let time = std::fs::metadata(&path).unwrap().modified().unwrap();
        let reloaded = opened(&path);
        let first = *reloaded.lock().current;
        std::fs::write(&path, "two").unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        reloaded.check_files();
        assert_ne!(*reloaded.lock().current, first);
    }

    #[test]
    fn a_swapped_folder_of_links_is_detected() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (folder, text) in [("v1", "one"), ("v2", "two")] {
            std::fs::create_dir(at(folder)).unwrap();
            std::fs::write(at(folder).join("cert.pem"), text).unwrap();
        }
        std::os::unix::fs::symlink("v1", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/cert.pem", at("cert.pem")).unwrap();
        let reloaded = opened(&at("cert.pem"));
        let first = *reloaded.lock().current;
        std::os::unix::fs::symlink("v2", at("..new")).unwrap();
        std::fs::rename(at("..new"), at("..data")).unwrap();
        reloaded.check_files();
        assert_ne!(*reloaded.lock().current, first);
    }

    #[test]
    fn an_invalid_renewal_keeps_the_last_good_certificate_and_is_retried() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert.pem");
        std::fs::write(&path, "one").unwrap();
        let reloaded = opened(&path);
        let first = *reloaded.lock().current;
        std::fs::write(&path, "bad").unwrap();
        reloaded.check_files();
        assert_eq!(reloaded.lock().logged.as_deref(), Some("bad"));
        std::fs::remove_file(&path).unwrap();
        reloaded.check_files();
        let said = reloaded.lock().logged.clone().unwrap();
        assert!(said.contains("cert.pem: cannot be read") && said.contains("--cert-file"), "{said}");
        assert_eq!(*reloaded.lock().current, first);
        std::fs::write(&path, "two").unwrap();
        reloaded.check_files();
        assert_ne!(*reloaded.lock().current, first);
        assert_eq!(reloaded.lock().logged, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_files_are_checked_at_most_once_a_second() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert.pem");
        std::fs::write(&path, "one").unwrap();
        let reloaded = opened(&path);
        let first = *reloaded.current().await;
        std::fs::write(&path, "two").unwrap();
        assert_eq!(*reloaded.current().await, first);
        tokio::time::advance(CHECK_INTERVAL).await;
        assert_ne!(*reloaded.current().await, first);
    }
}
