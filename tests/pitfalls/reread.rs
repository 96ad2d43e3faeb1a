//! Resources and templates are read again when they change, and a bad edit changes nothing.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{Daemon, Dir, Retune, WAIT_TIMEOUT, eventually, stays};

const VALUE: &str = "{{ getv(\"/x\") }}\n";

fn running(dir: &Dir) -> Daemon<'_> {
    dir.write("values.yaml", "x: one\n");
    dir.resource("a", VALUE, "reload_cmd = 'echo a >> {dir}/reloads'");
    let daemon = Retune::watch(dir).file("values.yaml").spawn();
    eventually("the file", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    eventually("its reload", WAIT_TIMEOUT, || dir.lines("reloads").len() == 1);
    daemon
}

#[test]
fn an_edited_template_is_rendered() {
    let dir = Dir::new();
    let daemon = running(&dir);
    dir.template("a.tmpl", "new {{ getv(\"/x\") }}\n");
    eventually("the new text", WAIT_TIMEOUT, || dir.has("a.conf", "new one\n"));
    daemon.terminate();
}

#[test]
fn a_template_replaced_by_rename_is_rendered() {
    let dir = Dir::new();
    let daemon = running(&dir);
    for round in 0..3 {
        dir.write("edited", &format!("{round} {{{{ getv(\"/x\") }}}}\n"));
        fs::rename(dir.path("edited"), dir.path("confdir/templates/a.tmpl")).unwrap();
        eventually("the new text", WAIT_TIMEOUT, || dir.has("a.conf", &format!("{round} one\n")));
    }
    daemon.terminate();
}

#[test]
fn a_new_resource_renders_and_does_not_affect_the_others() {
    let dir = Dir::new();
    let daemon = running(&dir);
    dir.resource("b", "b {{ getv(\"/x\") }}\n", "");
    eventually("the new resource", WAIT_TIMEOUT, || dir.has("b.conf", "b one\n"));
    sleep(Duration::from_millis(300));
    assert_eq!(dir.lines("reloads").len(), 1, "the old resource is not reloaded for it");
    fs::remove_file(dir.path("confdir/conf.d/b.toml")).unwrap();
    sleep(Duration::from_millis(800));
    dir.write("values.yaml", "x: two\n");
    eventually("the one that stayed", WAIT_TIMEOUT, || dir.has("a.conf", "two\n"));
    dir.assert_has("b.conf", "b one\n");
    daemon.terminate();
}

#[test]
fn a_bad_edit_is_logged_and_the_old_set_is_kept() {
    let dir = Dir::new();
    let mut daemon = running(&dir);
    dir.write("confdir/conf.d/a.toml", "[template\nsrc = ");
    daemon.eventually_says("a.toml");
    dir.write("values.yaml", "x: two\n");
    eventually("the old resource still works", WAIT_TIMEOUT, || dir.has("a.conf", "two\n"));
    assert!(daemon.is_running());
    dir.resource("a", "mended {{ getv(\"/x\") }}\n", "");
    eventually("the mended one", WAIT_TIMEOUT, || dir.has("a.conf", "mended two\n"));
    daemon.terminate();
}

#[test]
fn a_broken_template_keeps_the_file_until_it_is_fixed() {
    let dir = Dir::new();
    let daemon = running(&dir);
    dir.template("a.tmpl", "{% for %}");
    daemon.eventually_says("a.tmpl");
    stays("the old file", Duration::from_millis(500), || dir.has("a.conf", "one\n"));
    dir.template("a.tmpl", "mended {{ getv(\"/x\") }}\n");
    eventually("the mended one", WAIT_TIMEOUT, || dir.has("a.conf", "mended one\n"));
    daemon.terminate();
}

#[test]
fn sighup_reloads_what_no_file_watch_can_detect() {
    let dir = Dir::new();
    // The template's folder is a link; its target is swapped while the link's own folder stays the same.
    dir.write("values.yaml", "x: one\n").write("one/t.tmpl", "first {{ getv(\"/x\") }}\n");
    std::os::unix::fs::symlink(dir.path("one"), dir.path("confdir/templates/linked")).unwrap();
    dir.conf("a", "[template]\nsrc = 'linked/t.tmpl'\ndest = '{out}/a.conf'\nkeys = ['/']\n");
    let mut daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("the file", WAIT_TIMEOUT, || dir.has("a.conf", "first one\n"));
    fs::rename(dir.path("one"), dir.path("old")).unwrap();
    dir.write("one/t.tmpl", "second {{ getv(\"/x\") }}\n");
    daemon.signal(Signal::SIGHUP);
    eventually("the new text", WAIT_TIMEOUT, || dir.has("a.conf", "second one\n"));
    assert!(daemon.is_running());
    daemon.terminate();
}

#[test]
fn many_sighups_do_no_harm() {
    let dir = Dir::new();
    let mut daemon = running(&dir);
    for _ in 0..50 {
        daemon.signal(Signal::SIGHUP);
    }
    dir.write("values.yaml", "x: two\n");
    eventually("the new value", WAIT_TIMEOUT, || dir.has("a.conf", "two\n"));
    assert!(daemon.is_running());
    // The file is in place a moment before its reload has finished.
    eventually("its reload", WAIT_TIMEOUT, || dir.lines("reloads").len() > 1);
    stays("one reload for one change", Duration::from_millis(300), || dir.lines("reloads").len() == 2);
    daemon.terminate();
}

#[test]
fn a_source_folder_swapped_as_kubernetes_does_is_detected() {
    let dir = Dir::new();
    dir.write("mount/..1/values.yaml", "x: one\n");
    let link = |to: &str, at: &str| {
        std::os::unix::fs::symlink(to, dir.path("mount/new")).unwrap();
        fs::rename(dir.path("mount/new"), dir.path(at)).unwrap();
    };
    link("..1", "mount/..data");
    link("..data/values.yaml", "mount/values.yaml");
    dir.resource("a", VALUE, "");
    let daemon = Retune::watch(&dir).file("mount/values.yaml").spawn();
    eventually("the first", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    for round in 2..5 {
        dir.write(&format!("mount/..{round}/values.yaml"), &format!("x: v{round}\n"));
        link(&format!("..{round}"), "mount/..data");
        fs::remove_dir_all(dir.path(&format!("mount/..{}", round - 1))).unwrap();
        eventually("the swapped one", WAIT_TIMEOUT, || dir.has("a.conf", &format!("v{round}\n")));
    }
    daemon.terminate();
}

#[test]
fn a_source_file_is_followed_through_rename_delete_and_a_broken_state() {
    let dir = Dir::new();
    let daemon = running(&dir);
    dir.write("edited", "x: two\n");
    fs::rename(dir.path("edited"), dir.path("values.yaml")).unwrap();
    eventually("saved by rename", WAIT_TIMEOUT, || dir.has("a.conf", "two\n"));
    fs::remove_file(dir.path("values.yaml")).unwrap();
    stays("a missing file is no data, not empty data", Duration::from_millis(400), || {
        dir.has("a.conf", "two\n")
    });
    dir.write("values.yaml", "x: three\n");
    eventually("written anew", WAIT_TIMEOUT, || dir.has("a.conf", "three\n"));
    dir.write("values.yaml", "x: [half\n");
    stays("a half-written file changes nothing", Duration::from_millis(400), || dir.has("a.conf", "three\n"));
    dir.write("values.yaml", "x: four\n");
    eventually("whole again", WAIT_TIMEOUT, || dir.has("a.conf", "four\n"));
    daemon.terminate();
}
