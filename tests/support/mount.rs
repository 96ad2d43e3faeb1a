//! Mounts that end with the test.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A mount; undone when dropped.
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// Shows `source` at `at`, both files or both folders.
    pub fn bind(source: &Path, at: &Path) -> Self {
        Self::run(Command::new("mount").arg("--bind").arg(source).arg(at), at)
    }

    /// A file system in memory of this size (`64k`).
    pub fn tmpfs(size: &str, at: &Path) -> Self {
        Self::run(
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(at),
            at,
        )
    }

    /// Makes it read-only from now on.
    pub fn read_only(&self) {
        self.remount("ro");
    }

    /// Makes it writable again.
    pub fn writable(&self) {
        self.remount("rw");
    }

    /// Gives one in memory another size.
    pub fn resize(&self, size: &str) {
        self.remount(&format!("size={size}"));
    }

    fn remount(&self, option: &str) {
        let options = format!("remount,{option}");
        let done = Command::new("mount").args(["-o", &options]).arg(&self.at).status().unwrap();
        assert!(done.success(), "cannot remount {} with {option}", self.at.display());
    }

    fn run(command: &mut Command, at: &Path) -> Self {
        let done = command.output().unwrap();
        assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
        Self { at: at.to_owned() }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazy: a daemon that is just being killed may still hold it.
        let done = Command::new("umount").arg("--lazy").arg(&self.at).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("cannot unmount {}", self.at.display());
        }
    }
}
