//! Mounts that end with the test.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A mount; undone when dropped.
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// Mounts `source` at `at`, both files or both folders.
    pub fn bind(source: &Path, at: &Path) -> Self {
        Self::run(Command::new("mount").arg("--bind").arg(source).arg(at), at)
    }

    /// Mounts a file system in memory of this size (`64k`).
    pub fn tmpfs(size: &str, at: &Path) -> Self {
        Self::run(
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(at),
            at,
        )
    }

    /// Mounts an ext4 file system from a file, which turns read-only at the first error.
    pub fn ext4(image: &Path, megabytes: u64, at: &Path) -> Self {
        std::fs::File::create(image).unwrap().set_len(megabytes << 20).unwrap();
        let made = Command::new("mkfs.ext4").arg("-q").arg(image).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self::run(Command::new("mount").args(["-o", "loop,errors=remount-ro"]).arg(image).arg(at), at)
    }

    /// Simulates a disk error on an ext4.
    pub fn fail(&self) {
        let source = Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(&self.at).output().unwrap();
        let source = String::from_utf8(source.stdout).unwrap();
        let device = source.trim().strip_prefix("/dev/").expect("a loop device");
        std::fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").unwrap();
    }

    /// Makes it read-only from now on.
    pub fn read_only(&self) {
        self.remount("ro");
    }

    /// Makes it writable again.
    pub fn writable(&self) {
        self.remount("rw");
    }

    /// Resizes a file system in memory.
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
        // Lazy: a daemon that is being killed may still use it.
        let done = Command::new("umount").arg("--lazy").arg(&self.at).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("cannot unmount {}", self.at.display());
        }
    }
}
