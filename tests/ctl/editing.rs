//! `edit` with a small script as the editor.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::retune::FinishedRun;
use crate::support::{Dir, Etcd, Retune};

/// Runs `edit` with this script as the editor; the file is its `$1`.
fn edit(dir: &Dir, etcd: &Etcd, script: &str, words: &[&str]) -> FinishedRun {
    let editor = dir.path("editor");
    std::fs::write(&editor, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir_all(dir.path("drafts")).unwrap();
    Retune::new(dir, &["ctl", "--endpoints", &etcd.url(), "edit"])
        .args(words)
        .env("EDITOR", &editor.to_string_lossy())
        .env("VISUAL", "")
        .env("TMPDIR", &dir.text_path("drafts"))
        .run()
}

fn get(dir: &Dir, etcd: &Etcd, key: &str) -> String {
    Retune::new(dir, &["ctl", "--endpoints", &etcd.url(), "get", key]).run().stdout
}

fn drafts(dir: &Dir) -> usize {
    std::fs::read_dir(dir.path("drafts")).unwrap().count()
}

#[test]
fn a_value_is_written_back_without_the_editors_newline() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    etcd.put("/a", "old");
    let done = edit(&dir, &etcd, "[ \"$(stat -c %a \"$1\")\" = 600 ] || exit 9\necho new > \"$1\"", &["/a"])
        .exits(0);
    assert_eq!(done.stdout, "update /a\n");
    assert_eq!(get(&dir, &etcd, "/a"), "new\n", "the one newline is get's own");
    assert_eq!(drafts(&dir), 0);
}

#[test]
fn an_unchanged_text_writes_nothing() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    etcd.put("/a", "old");
    let index = || {
        Retune::new(&dir, &["ctl", "--endpoints", &etcd.url(), "-o", "extended", "get", "/a"]).run().stdout
    };
    let before = index();
    edit(&dir, &etcd, "echo old > \"$1\"", &["/a"]).exits(0).says("unchanged");
    edit(&dir, &etcd, "true", &["/"]).exits(0).says("unchanged");
    edit(&dir, &etcd, "exit 3", &["/a"]).exits(1).says("nothing was written");
    assert_eq!(index(), before);
    assert_eq!(drafts(&dir), 0);
}

#[test]
fn a_subtree_becomes_the_edited_document() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    etcd.put("/app/port", "80");
    etcd.put("/app/gone", "x");
    etcd.put_ttl("/app/dies", "1", 500);
    let script = "sed -i -e 's/\"80\"/\"81\"/' -e '/^gone/d' -e 's/^dies: .*/dies: 2/' \"$1\"\necho 'fresh: y' >> \"$1\"";
    let done = edit(&dir, &etcd, script, &["/app"]).exits(0);
    assert_eq!(done.stdout, "update /app/dies\ncreate /app/fresh\nupdate /app/port\nremove /app/gone\n");
    assert_eq!(get(&dir, &etcd, "/app/port"), "81\n");
    let dies = Retune::new(&dir, &["ctl", "--endpoints", &etcd.url(), "-o", "json", "get", "/app/dies"])
        .run()
        .stdout;
    assert!(dies.contains("\"ttl\":"), "what is left of its life stays: {dies}");
}

#[test]
fn a_concurrent_change_is_refused_and_the_text_is_kept() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    etcd.put("/app/a", "old");
    etcd.put("/app/b", "old");
    let put = |key: &str| {
        format!("{} ctl --endpoints {} set {key} theirs >&2", env!("CARGO_BIN_EXE_retune"), etcd.url())
    };
    let script = format!("{}\necho mine > \"$1\"", put("/app/a"));
    edit(&dir, &etcd, &script, &["/app/a"])
        .exits(4)
        .says("was changed in the store meanwhile")
        .says("kept in");
    assert_eq!(get(&dir, &etcd, "/app/a"), "theirs\n");
    // Also when another key of the subtree was changed than the edited one.
    let script = format!("{}\nsed -i 's/^a: .*/a: mine/' \"$1\"", put("/app/b"));
    edit(&dir, &etcd, &script, &["/app"]).exits(4).says("nothing was written");
    assert_eq!(get(&dir, &etcd, "/app/a"), "theirs\n");
    assert_eq!(drafts(&dir), 2);
}

#[test]
fn an_unreadable_document_writes_nothing_and_is_kept() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    etcd.put("/app/a", "old");
    edit(&dir, &etcd, "printf '{\"a\": ' > \"$1\"", &["--format", "json", "/app"])
        .exits(1)
        .says("nothing was written")
        .says("your text is kept in");
    edit(&dir, &etcd, "echo lonely > \"$1\"", &["/app"]).exits(1).says("no longer a directory");
    assert_eq!(get(&dir, &etcd, "/app/a"), "old\n");
    assert_eq!(drafts(&dir), 2);
}

#[test]
fn a_missing_key_opens_no_editor() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    edit(&dir, &etcd, "touch opened", &["/nope"]).exits(4).says("the key does not exist");
    assert!(!dir.path("opened").exists());
}
