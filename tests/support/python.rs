//! A Python with packages from PyPI.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::programs::need_program;
use super::skips::missing;

/// Returns a Python with `packages`, created once and kept under `name`, or `None` where it is not available; then the
/// test reports that, but fails in CI.
pub fn python(name: &str, packages: &[&str]) -> Option<PathBuf> {
    if !need_program("python3") {
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    // Two test runs may start at once; the second finds the work done.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let (venv, done) = (folder.join("venv"), folder.join("done"));
    let program = venv.join("bin/python");
    if !done.exists() {
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--clear"]).arg(&venv);
        let mut install = Command::new(&program);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
        for mut command in [make, install] {
            let out = command.output();
            if !out.as_ref().is_ok_and(|out| out.status.success()) {
                let why = out.map_or_else(|error| error.to_string(), |out| said(&out));
                missing(&format!("no {name}: {command:?}: {why}"), "apt-get install python3-venv, and PyPI");
                return None;
            }
        }
        File::create(done).unwrap();
    }
    Some(program)
}

/// Returns everything that a program printed.
pub fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}
