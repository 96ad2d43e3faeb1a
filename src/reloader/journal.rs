//! The reload journal: files that were swapped in, and whose service was not reloaded successfully yet.
//!
//! An entry is written and synced before the file is swapped, and removed after the reload succeeded. So whatever
//! happens in between (a failing command, a throttled reload, SIGTERM, kill -9, a power cut), the next run finds the
//! entry and runs the reload, although the file on disk is already in sync.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::log_text::{named, one_line};
use super::state_file::{self, make_folder, name_of, name_of_confdir};
use crate::disk;

/// One pending reload, as kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JournalEntry {
    /// The reload to run: its identity (`ReloadAction::key`).
    pub(super) action: String,
    /// What was swapped.
    pub(super) files: Vec<JournalFile>,
    /// Distinguishes this run's entry from a later one for the same action.
    pub(super) token: String,
}

/// One destination of a journal entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JournalFile {
    /// The path.
    pub(super) dest: PathBuf,
    /// The digest of the file that was swapped in; empty where the file was removed.
    pub(super) digest: String,
    /// The name of the resource.
    pub(super) resource: String,
}

impl JournalEntry {
    /// Returns the command or signal as logs show it.
    pub(super) fn describe(&self) -> String {
        one_line(self.action.strip_prefix("command ").unwrap_or(&self.action))
    }

    /// Returns its destinations as the log names them.
    pub(super) fn dests(&self) -> String {
        named(self.files.iter().map(|file| file.dest.display().to_string()))
    }

    /// Returns a journal entry for an action, with no files yet and a new token.
    pub(super) fn new(action: String) -> Self {
        Self { action, files: Vec::new(), token: format!("{:016x}", rand::random::<u64>()) }
    }
}

/// The folder of journal entries of one confdir; without a state folder, entries last as long as the process.
#[derive(Clone, Debug)]
pub(super) struct ReloadJournal {
    dir: Option<PathBuf>,
}

impl ReloadJournal {
    /// Opens the journal below a state folder, and creates it if missing, readable by its owner only.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub(super) fn open(state_dir: Option<&Path>, confdir: &Path) -> io::Result<Self> {
        let journal = Self::peek(state_dir, confdir)?;
        journal.dir.as_deref().map_or(Ok(()), make_folder)?;
        Ok(journal)
    }

    /// Opens the journal below a state folder for reading; creates nothing.
    ///
    /// # Errors
    /// When the confdir's path cannot be made absolute.
    pub(super) fn peek(state_dir: Option<&Path>, confdir: &Path) -> io::Result<Self> {
        let Some(state_dir) = state_dir else { return Ok(Self { dir: None }) };
        Ok(Self { dir: Some(state_dir.join("pending").join(name_of_confdir(confdir)?)) })
    }

    /// Writes a journal entry. The files of an earlier entry for the same action are merged into it: if this run dies
    /// before its own swap, they still get their reload.
    ///
    /// # Errors
    /// When it cannot be made durable; the file must then not be swapped.
    pub(super) fn record(&self, entry: &JournalEntry) -> io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let path = dir.join(file_name(&entry.action));
        let mut entry = entry.clone();
        // All files of one action share one entry.
        for file in read(&path).into_iter().flat_map(|earlier| earlier.files) {
            if entry.files.iter().all(|known| known.dest != file.dest) {
                entry.files.push(file);
            }
        }
        write(&entry, &path)?;
        fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(disk::at(dir))
    }

    /// Removes one destination from the entry of an action: it needs another reload now, or none. The other
    /// destinations stay.
    ///
    /// # Errors
    /// When the entry cannot be changed: the reload then runs once more than needed.
    pub(super) fn release(&self, action: &str, dest: &Path) -> io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let path = dir.join(file_name(action));
        let Some(mut entry) = read(&path) else { return Ok(()) };
        entry.files.retain(|file| file.dest != dest);
        if entry.files.is_empty() {
            return self.finish(&entry);
        }
        write(&entry, &path)
    }

    /// Removes a journal entry, unless another run has taken it over since.
    ///
    /// # Errors
    /// When the file cannot be removed: the reload then runs once more than needed.
    pub(super) fn finish(&self, entry: &JournalEntry) -> io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let path = dir.join(file_name(&entry.action));
        match read(&path) {
            Some(present) if present.token != entry.token => Ok(()),
            _ => match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk::at(&path)(error)),
                _ => Ok(()),
            },
        }
    }

    /// Returns the journal entry for an action, if there is one.
    pub(super) fn find(&self, action: &str) -> Option<JournalEntry> {
        read(&self.dir.as_ref()?.join(file_name(action))).filter(|entry| entry.action == action)
    }

    /// Returns every journal entry that earlier runs left. An entry counts even if its file has changed since: the
    /// service may have read neither version, and one reload too many is harmless.
    pub(super) fn left_over(&self) -> Vec<JournalEntry> {
        let Some(entries) = self.dir.as_ref().and_then(|dir| fs::read_dir(dir).ok()) else {
            return Vec::new();
        };
        let papers = entries.flatten().map(|entry| entry.path());
        let papers = papers.filter(|path| path.extension().is_some_and(|end| end == "json"));
        let mut entries: Vec<JournalEntry> = papers.filter_map(|path| read(&path)).collect();
        entries.sort_by(|a, b| a.action.cmp(&b.action));
        entries
    }
}

fn write(entry: &JournalEntry, path: &Path) -> io::Result<()> {
    let bytes = serde_json::to_vec(entry).map_err(io::Error::other)?;
    state_file::write(path, 0o666, |file| file.write_all(&bytes))
}

fn read(path: &Path) -> Option<JournalEntry> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn file_name(action: &str) -> String {
    format!("{}.json", name_of(action.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::state_file::digest;
    use super::*;

    fn entry(dest: &Path, content: &[u8], token: &str) -> JournalEntry {
        let digest = if content.is_empty() { String::new() } else { digest(content) };
        let file = JournalFile { dest: dest.to_owned(), digest, resource: "nginx".into() };
        JournalEntry { action: "sh nginx".into(), files: vec![file], token: token.into() }
    }

    fn journal(dir: &Path) -> ReloadJournal {
        ReloadJournal::open(Some(dir), Path::new("/confdir")).unwrap()
    }

    #[test]
    fn an_entry_survives_a_restart_and_ends_when_finished() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("dest");
        fs::write(&dest, "new").unwrap();
        let pending = entry(&dest, b"new", "1");
        journal(dir.path()).record(&pending).unwrap();
        assert_eq!(journal(dir.path()).left_over(), std::slice::from_ref(&pending));
        journal(dir.path()).finish(&pending).unwrap();
        assert!(journal(dir.path()).left_over().is_empty());
    }

    #[test]
    fn entries_belong_to_one_confdir_and_only_their_owner_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("dest");
        fs::write(&dest, "new").unwrap();
        journal(dir.path()).record(&entry(&dest, b"new", "1")).unwrap();
        assert!(ReloadJournal::open(Some(dir.path()), Path::new("/other")).unwrap().left_over().is_empty());
        let mode = fs::metadata(dir.path().join("pending")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn an_entry_counts_even_if_its_file_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("dest");
        journal(dir.path()).record(&entry(&dest, b"new", "1")).unwrap();
        assert_eq!(journal(dir.path()).left_over().len(), 1, "the file is missing");
        fs::write(&dest, "edited by hand").unwrap();
        assert_eq!(journal(dir.path()).left_over().len(), 1, "the file is another");
    }

    #[test]
    fn a_cleared_state_folder_is_created_again() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(dir.path());
        fs::remove_dir_all(dir.path().join("pending")).unwrap();
        journal.record(&entry(Path::new("/x"), b"new", "1")).unwrap();
        assert_eq!(journal.left_over().len(), 1);
    }

    #[test]
    fn a_later_entry_includes_the_earlier_one_even_without_its_own_swap() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        fs::write(&first, "swapped").unwrap();
        journal(dir.path()).record(&entry(&first, b"swapped", "1")).unwrap();
        journal(dir.path()).record(&entry(&second, b"never", "2")).unwrap();
        let dests: Vec<_> =
            journal(dir.path()).left_over()[0].files.iter().map(|file| file.dest.clone()).collect();
        assert!(dests.contains(&first), "{dests:?}");
    }

    #[test]
    fn releasing_one_destination_keeps_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(dir.path());
        journal.record(&entry(Path::new("/a"), b"a", "1")).unwrap();
        journal.record(&entry(Path::new("/b"), b"b", "2")).unwrap();
        journal.release("sh nginx", Path::new("/a")).unwrap();
        let dests: Vec<_> = journal.left_over()[0].files.iter().map(|file| file.dest.clone()).collect();
        assert_eq!(dests, [PathBuf::from("/b")]);
        journal.release("sh nginx", Path::new("/b")).unwrap();
        assert!(journal.left_over().is_empty());
    }

    #[test]
    fn finishing_keeps_an_entry_that_another_run_took_over() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("dest");
        journal(dir.path()).record(&entry(&dest, b"a", "1")).unwrap();
        journal(dir.path()).record(&entry(&dest, b"b", "2")).unwrap();
        journal(dir.path()).finish(&entry(&dest, b"a", "1")).unwrap();
        assert!(journal(dir.path()).find("sh nginx").is_some());
    }

    #[test]
    fn a_damaged_file_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(dir.path());
        fs::write(journal.dir.as_ref().unwrap().join(file_name("x")), "{\"act").unwrap();
        assert!(journal.left_over().is_empty());
    }
}
