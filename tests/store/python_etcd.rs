//! python-etcd, a client made for etcd, behaves the same with the store as with etcd.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::python::{python, said};
use crate::support::{Etcd, Store};

/// Its last version; the versions of its two dependencies are bounded because newer ones have broken it.
const PACKAGES: [&str; 3] = ["python-etcd==0.4.5", "urllib3<3", "dnspython<3"];

fn run(python: &Path, address: &str) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/python_etcd.py");
    let (host, port) = address.split_once(':').unwrap();
    // Without the variable the output's encoding depends on the machine's locale.
    let mut command = Command::new(python);
    command.arg(script).args([host, port]).env("PYTHONUTF8", "1").env_remove("PYTHONPATH");
    command.output().unwrap()
}

#[test]
fn python_etcd_works_with_the_store_as_with_etcd() {
    let Some(python) = python("python-etcd-0.4.5", &PACKAGES) else { return };
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
