//! Which files a `for_each` resource made: only those are ever removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::owed::digest;

/// The files made by each `for_each` resource of one confdir, kept in the state folder.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    path: Option<PathBuf>,
    files: Arc<Mutex<BTreeMap<String, BTreeSet<PathBuf>>>>,
}

impl Manifest {
    /// Opens the manifest of a confdir; without a state folder it lasts as long as the process.
    pub(super) fn open(state_dir: Option<&Path>, confdir: &Path) -> io::Result<Self> {
        let path = match state_dir {
            None => None,
            Some(dir) => {
                let dir = dir.join("made");
                fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
                Some(dir.join(file_name(confdir)?))
            }
        };
        Ok(Self::read(path))
    }

    /// Looks at a confdir's manifest without making anything.
    pub(super) fn peek(state_dir: Option<&Path>, confdir: &Path) -> io::Result<Self> {
        let name = file_name(confdir)?;
        Ok(Self::read(state_dir.map(|dir| dir.join("made").join(name))))
    }

    fn read(path: Option<PathBuf>) -> Self {
        let files = match path.as_ref().map(fs::read) {
            // A torn manifest owns nothing: files stay behind rather than somebody else's being removed.
            Some(Ok(bytes)) => serde_json::from_slice(&bytes).unwrap_or_default(),
            _ => BTreeMap::new(),
        };
        Self { path, files: Arc::new(Mutex::new(files)) }
    }

    /// The files a resource made.
    pub(super) fn of(&self, resource: &str) -> BTreeSet<PathBuf> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).get(resource).cloned().unwrap_or_default()
    }

    /// Notes files about to be made.
    pub(super) fn add(&self, resource: &str, dests: Vec<PathBuf>) -> io::Result<()> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = files.entry(resource.to_owned()).or_default();
        let before = mine.len();
        mine.extend(dests);
        if mine.len() == before {
            return Ok(());
        }
        self.save(&files)
    }

    /// Forgets a file that was removed.
    pub(super) fn drop_one(&self, resource: &str, dest: &Path) -> io::Result<()> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.get_mut(resource).is_some_and(|mine| mine.remove(dest)) { self.save(&files) } else { Ok(()) }
    }

    fn save(&self, files: &BTreeMap<String, BTreeSet<PathBuf>>) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if let Some(dir) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let temporary = path.with_extension(format!("new.{}", std::process::id()));
        fs::write(&temporary, serde_json::to_vec(files).map_err(io::Error::other)?)?;
        fs::File::open(&temporary)?.sync_all()?;
        fs::rename(&temporary, path)
    }
}

fn file_name(confdir: &Path) -> io::Result<String> {
    let confdir = std::path::absolute(confdir)?;
    Ok(format!("{}.json", &digest(confdir.as_os_str().as_encoded_bytes())[..32]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_known_after_a_restart_and_only_to_its_confdir() {
        let dir = tempfile::tempdir().unwrap();
        let open = |confdir: &str| Manifest::open(Some(dir.path()), Path::new(confdir)).unwrap();
        open("/c").add("sites", vec!["/o/a".into(), "/o/b".into()]).unwrap();
        open("/c").drop_one("sites", Path::new("/o/a")).unwrap();
        assert_eq!(open("/c").of("sites"), BTreeSet::from([PathBuf::from("/o/b")]));
        assert!(open("/other").of("sites").is_empty());
    }
}
