//! python-etcd, a client written for etcd, does the same with the store as with etcd.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::programs::{need, skipped};
use crate::support::{Etcd, Store};

/// Its last version; the two libraries it stands on are bounded because they have broken it before.
const PACKAGES: [&str; 3] = ["python-etcd==0.4.5", "urllib3<3", "dnspython<3"];

/// A Python with the client, or `None` where it cannot be had; then the test says so, but fails in CI.
fn python() -> Option<PathBuf> {
    if !need("python3") {
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-etcd-0.4.5");
    fs::create_dir_all(&folder).unwrap();
    // Two test runs may come here at once; the second finds the work done.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let (venv, done) = (folder.join("venv"), folder.join("done"));
    let program = venv.join("bin/python");
    if !done.exists() {
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--clear"]).arg(&venv);
        let mut install = Command::new(&program);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES);
        for mut command in [make, install] {
            let out = command.output();
            if !out.as_ref().is_ok_and(|out| out.status.success()) {
                let why = out.map_or_else(|error| error.to_string(), |out| said(&out));
                let what = format!("no python-etcd: {command:?}: {why}");
                assert!(std::env::var_os("CI").is_none(), "{what} (apt-get install python3-venv, and PyPI)");
                skipped(&what);
                return None;
            }
        }
        File::create(done).unwrap();
    }
    Some(program)
}

fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

fn run(python: &Path, address: &str) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/python_etcd.py");
    let (host, port) = address.split_once(':').unwrap();
    // Without the variable the encoding of what is printed depends on the machine's locale.
    let mut command = Command::new(python);
    command.arg(script).args([host, port]).env("PYTHONUTF8", "1").env_remove("PYTHONPATH");
    command.output().unwrap()
}

#[test]
fn python_etcd_does_the_same_with_the_store_as_with_etcd() {
    let Some(python) = python() else { return };
    let Some(etcd) = Etcd::start() else { return };
    let store = Store::start();
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| run(&python, &etcd.address()));
        let ours = run(&python, &store.address());
        (theirs.join().unwrap(), ours)
    });
    assert!(theirs.status.success(), "the program fails with etcd itself:\n{}", said(&theirs));
    let (theirs, ours) = (said(&theirs), said(&ours));
    let both = theirs.lines().zip(ours.lines()).find(|(theirs, ours)| theirs != ours);
    assert!(both.is_none(), "etcd and the store:\n{both:#?}\nall of the store's:\n{ours}");
    assert_eq!(theirs, ours);
    assert!(theirs.lines().last().is_some_and(|line| line.starts_with("done at")), "{theirs}");
}
