//! `backup` of a member of our own store.

use super::pair::published;
use crate::support::{Dir, Retune, Store};

#[test]
fn the_keys_of_a_stopped_member_are_copied_and_of_a_running_one_are_not() {
    let dir = Dir::new();
    let mut store = published(Store::start());
    let url = store.url();
    Retune::new(&dir, &["ctl", "--endpoints", &url, "set", "/app/x", "1"]).run().exits(0);
    let (data, copy) = (store.data_dir().to_string_lossy().into_owned(), dir.text_path("copy"));
    let backup = || Retune::new(&dir, &["ctl", "backup", "--data-dir", &data, "--backup-dir", &copy]).run();
    backup().exits(1);
    store.terminate();
    backup().exits(0).prints(&format!("from {data} to {copy}"));
    backup().exits(1).says("it holds something already");
}

#[test]
fn unsupported_backups_are_refused_with_the_reason() {
    let dir = Dir::new();
    let ctl = |words: &[&str]| Retune::called(&dir, "etcdctl", &["backup"]).args(words).run().exits(1);
    ctl(&[]).says("--data-dir required");
    ctl(&["--data-dir", "x"]).says("--backup-dir required");
    ctl(&["--data-dir", "x", "--backup-dir", "y", "--with-v3"])
        .says("--with-v3: it concerns files that only etcd has");
    ctl(&["--data-dir", "x", "--backup-dir", "y"]).says("it is not a member's data folder");
}
