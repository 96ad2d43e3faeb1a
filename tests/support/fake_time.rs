//! A wall clock that jumps while a process runs; its monotonic clock is not affected.

use std::fs;
use std::path::{Path, PathBuf};

use super::programs::need_program;

/// The clock of a process that runs with `env`.
#[derive(Debug)]
pub struct FakeTime {
    library: PathBuf,
    file: PathBuf,
}

impl FakeTime {
    /// Returns a correct clock; `None` where libfaketime is not installed.
    pub fn new(folder: &Path) -> Option<Self> {
        if !need_program("faketime") {
            return None;
        }
        let machine = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
        let library = PathBuf::from(machine);
        assert!(library.is_file(), "faketime is installed, but not {}", library.display());
        let clock = Self { library, file: folder.join("clock") };
        clock.set("+0s");
        Some(clock)
    }

    /// Returns the variables for the process's environment.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    /// Sets the wall clock's offset from now on, such as `+1d`.
    pub fn set(&self, offset: &str) {
        // A rename, so that nobody reads half a line.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{offset}\n")).unwrap();
        fs::rename(new, &self.file).unwrap();
    }
}
