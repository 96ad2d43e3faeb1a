//! Which files a `for_each` resource created: only those are ever removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::job::writes;
use super::resource::Resource;
use super::state_file;

/// The files created by each `for_each` resource of one confdir, kept in the state folder.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    path: Option<PathBuf>,
    files: Arc<Mutex<BTreeMap<String, BTreeSet<PathBuf>>>>,
}

impl Manifest {
    /// Opens the manifest of a confdir; without a state folder it lasts as long as the process.
    pub(super) fn open(state_dir: Option<&Path>, confdir: &Path) -> io::Result<Self> {
        state_dir.map_or(Ok(()), |dir| state_file::make_folder(&dir.join("made")))?;
        Self::peek(state_dir, confdir)
    }

    /// Opens a confdir's manifest for reading; creates nothing.
    pub(super) fn peek(state_dir: Option<&Path>, confdir: &Path) -> io::Result<Self> {
        let path = |dir: &Path| -> io::Result<PathBuf> {
            Ok(dir.join("made").join(state_file::name_of_confdir(confdir)?).with_extension("json"))
        };
        let path = state_dir.map(path).transpose()?;
        let files = match path.as_ref().map(fs::read) {
            // If the manifest is damaged, no file counts as ours: leaving a file is better than removing somebody
            // else's.
            Some(Ok(bytes)) => serde_json::from_slice(&bytes).unwrap_or_default(),
            _ => BTreeMap::new(),
        };
        Ok(Self { path, files: Arc::new(Mutex::new(files)) })
    }

    /// Returns the files a resource created. Files recorded under a name that none of `present` has any more also
    /// count if they fit its pattern: its resource file was renamed.
    pub(super) fn of(&self, resource: &Resource, present: &[Arc<Resource>]) -> BTreeSet<PathBuf> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = files.iter().flat_map(|(name, dests)| {
            let is_mine = *name == resource.name;
            let is_left = !is_mine && present.iter().all(|other| other.name != *name);
            dests.iter().filter(move |dest| is_mine || (is_left && writes(resource, dest)))
        });
        mine.cloned().collect()
    }

    /// Adds files that are about to be created.
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

    /// Removes a file that was deleted.
    pub(super) fn remove(&self, dest: &Path) -> io::Result<()> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        // A renamed resource may have left it under two names: remove it from both.
        let removed = files.values_mut().filter_map(|mine| mine.remove(dest).then_some(())).count();
        files.retain(|_, mine| !mine.is_empty());
        if removed > 0 { self.save(&files) } else { Ok(()) }
    }

    fn save(&self, files: &BTreeMap<String, BTreeSet<PathBuf>>) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let bytes = serde_json::to_vec(files).map_err(io::Error::other)?;
        state_file::write(path, 0o666, |file| file.write_all(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::super::resource;
    use super::super::settings::Settings;
    use super::*;

    fn sites(name: &str) -> Arc<Resource> {
        let text = "[template]\nsrc=\"a\"\ndest=\"/o/{{ item }}\"\nkeys=[\"/s\"]\nfor_each=\"/s\"\n";
        Arc::new(resource::parse(name, Path::new("a.toml"), text, &Settings::default()).resource.unwrap())
    }

    #[test]
    fn created_files_are_known_after_a_restart_and_only_to_their_confdir() {
        let dir = tempfile::tempdir().unwrap();
        let open = |confdir: &str| Manifest::open(Some(dir.path()), Path::new(confdir)).unwrap();
        open("/c").add("sites", vec!["/o/a".into(), "/o/b".into()]).unwrap();
        open("/c").remove(Path::new("/o/a")).unwrap();
        let resource = sites("sites");
        let present = [Arc::clone(&resource)];
        assert_eq!(open("/c").of(&resource, &present), BTreeSet::from([PathBuf::from("/o/b")]));
        assert!(open("/other").of(&resource, &present).is_empty());
    }

    #[test]
    fn a_renamed_resource_keeps_only_its_own_files() {
        let manifest = Manifest::open(None, Path::new("/c")).unwrap();
        manifest.add("old", vec!["/o/a".into(), "/elsewhere/b".into()]).unwrap();
        manifest.add("other", vec!["/o/c".into()]).unwrap();
        let (new, other) = (sites("new"), sites("other"));
        let mine = manifest.of(&new, &[Arc::clone(&new), other]);
        assert_eq!(mine, BTreeSet::from([PathBuf::from("/o/a")]));
    }
}
