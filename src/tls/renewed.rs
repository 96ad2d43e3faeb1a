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

use super::contents::Contents;
use super::{Files, TlsError, self_signed};

/// The minimum time between two checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a handshake waits for a check; a hanging disk must not block the port.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// The current value, and the state of the checks.
pub(super) struct Renewed<T> {
    files: Files,
    make: Make<T>,
    state: Mutex<RenewedState<T>>,
}

type Make<T> = fn(&Files, &Contents) -> Result<T, TlsError>;

struct RenewedState<T> {
    current: Arc<T>,
    /// The hash of the contents of `current`.
    digest: [u8; 32],
    /// The last error that was logged, as long as it persists.
    logged: Option<String>,
    looked: Instant,
    looking: bool,
}

impl<T: Send + Sync + 'static> Renewed<T> {
    /// Reads the files for the first time.
    pub(super) fn open(files: &Files, make: Make<T>) -> Result<Arc<Self>, TlsError> {
        self_signed::ensure(files)?;
        let contents = Contents::read(files)?;
        let state = RenewedState {
            current: Arc::new(make(files, &contents)?),
            digest: contents.digest(),
            logged: None,
            looked: Instant::now(),
            looking: false,
        };
        Ok(Arc::new(Self { files: files.clone(), make, state: Mutex::new(state) }))
    }

    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// Returns the value for the files as of at most a second ago.
    pub(super) async fn current(self: &Arc<Self>) -> Arc<T> {
        {
            let mut state = self.lock();
            if state.looking || state.looked.elapsed() < CHECK_INTERVAL {
                return Arc::clone(&state.current);
            }
            state.looking = true;
        }
        let own = Arc::clone(self);
        let look = tokio::task::spawn_blocking(move || {
            let looking = CheckGuard(&own);
            own.check_files();
            drop(looking);
        });
        timeout(CHECK_TIMEOUT, look).await.ok();
        Arc::clone(&self.lock().current)
    }

    /// Reads the files again, and keeps the old value when they are unusable.
    fn check_files(&self) {
        let cert = self.files.cert.as_deref().unwrap_or("".as_ref()).display();
        let made = Contents::read(&self.files).and_then(|contents| {
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

    fn lock(&self) -> MutexGuard<'_, RenewedState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a warning if a file is a mount of its own and was replaced outside: the new content is then not visible
/// here.
fn replaced_outside(files: &Files) -> Option<String> {
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
struct CheckGuard<'r, T: Send + Sync + 'static>(&'r Renewed<T>);

impl<T: Send + Sync + 'static> Drop for CheckGuard<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.looking = false;
        state.looked = Instant::now();
    }
}

impl<T> fmt::Debug for Renewed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewed").field("files", &self.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Opens a value for which any text but `bad` is a valid certificate.
    fn opened(cert: &Path) -> Arc<Renewed<[u8; 32]>> {
        let files = Files { cert: Some(cert.to_owned()), ..Files::default() };
        let make: Make<[u8; 32]> = |files, contents| {
            let bad = std::fs::read(files.cert.as_ref().unwrap()).unwrap() == b"bad";
            if bad { Err(TlsError("bad".to_owned())) } else { Ok(contents.digest()) }
        };
        Renewed::open(&files, make).unwrap()
    }

    #[test]
    fn other_contents_count_also_when_size_and_time_are_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert.pem");
        std::fs::write(&path, "one").unwrap();
        let time = std::fs::metadata(&path).unwrap().modified().unwrap();
        let renewed = opened(&path);
        let first = *renewed.lock().current;
        std::fs::write(&path, "two").unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        renewed.check_files();
        assert_ne!(*renewed.lock().current, first);
    }

    #[test]
    fn a_folder_of_links_that_was_swapped_counts() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (folder, text) in [("v1", "one"), ("v2", "two")] {
            std::fs::create_dir(at(folder)).unwrap();
            std::fs::write(at(folder).join("cert.pem"), text).unwrap();
        }
        std::os::unix::fs::symlink("v1", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/cert.pem", at("cert.pem")).unwrap();
        let renewed = opened(&at("cert.pem"));
        let first = *renewed.lock().current;
        std::os::unix::fs::symlink("v2", at("..new")).unwrap();
        std::fs::rename(at("..new"), at("..data")).unwrap();
        renewed.check_files();
        assert_ne!(*renewed.lock().current, first);
    }

    #[test]
    fn what_is_of_no_use_leaves_the_last_good_one_and_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert.pem");
        std::fs::write(&path, "one").unwrap();
        let renewed = opened(&path);
        let first = *renewed.lock().current;
        std::fs::write(&path, "bad").unwrap();
        renewed.check_files();
        assert_eq!(renewed.lock().logged.as_deref(), Some("bad"));
        std::fs::remove_file(&path).unwrap();
        renewed.check_files();
        let said = renewed.lock().logged.clone().unwrap();
        assert!(said.contains("cert.pem: cannot be read") && said.contains("--cert-file"), "{said}");
        assert_eq!(*renewed.lock().current, first);
        std::fs::write(&path, "two").unwrap();
        renewed.check_files();
        assert_ne!(*renewed.lock().current, first);
        assert_eq!(renewed.lock().logged, None);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_looks_twice_within_a_second() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert.pem");
        std::fs::write(&path, "one").unwrap();
        let renewed = opened(&path);
        let first = *renewed.current().await;
        std::fs::write(&path, "two").unwrap();
        assert_eq!(*renewed.current().await, first);
        tokio::time::advance(CHECK_INTERVAL).await;
        assert_ne!(*renewed.current().await, first);
    }
}
