//! Unusual destinations: mounted, linked, replaced, edited by hand.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::thread::sleep;
use std::time::Duration;

use crate::support::programs::need_mounts;
use crate::support::{Dir, Mount, Retune, WAIT_TIMEOUT, eventually};

const VALUE: &str = "{{ getv(\"/x\") }}\n";

fn site(extra: &str) -> Dir {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource("a", VALUE, extra);
    dir
}

fn mode(dir: &Dir, name: &str) -> u32 {
    fs::metadata(dir.out(name)).unwrap().permissions().mode() & 0o7777
}

#[test]
fn two_resources_with_one_destination_are_refused_by_name() {
    let dir = site("");
    dir.conf("b", "[template]\nsrc = 'a.tmpl'\ndest = '{out}/../out/a.conf'\nkeys = ['/']\n");
    let done = Retune::render(&dir).file("values.yaml").run().says("a.toml").says("b.toml");
    assert_ne!(done.code, 0);
    assert!(dir.outputs().is_empty(), "neither is right, so neither is written: {:?}", dir.outputs());
}

#[test]
fn a_bind_mounted_destination_is_written_in_place() {
    if !need_mounts() {
        return;
    }
    let dir = site("");
    dir.write("out/a.conf", "old\n").write("inner", "a longer old text\n");
    let mount = Mount::bind(&dir.path("inner"), &dir.out("a.conf"));
    let inode = fs::metadata(dir.out("a.conf")).unwrap().ino();
    Retune::render(&dir).file("values.yaml").run().exits(0).says("mount");
    dir.assert_has("a.conf", "one\n");
    assert_eq!(dir.read("inner").as_deref(), Some("one\n"), "the file behind the mount has the new text");
    assert_eq!(fs::metadata(dir.out("a.conf")).unwrap().ino(), inode);
    assert_eq!(dir.outputs(), ["a.conf"]);
    Retune::render(&dir).file("values.yaml").args(&["--log-level", "debug"]).run().exits(0).says("in sync");
    drop(mount);
    dir.assert_has("a.conf", "old\n");
}

/// As `docker run -v ./values.yaml:/values.yaml` and an editor outside do it.
#[test]
fn a_source_mounted_as_a_single_file_and_replaced_outside_is_reported_once() {
    if !need_mounts() {
        return;
    }
    let dir = site("");
    dir.write("outside.yaml", "x: outside\n");
    let _mount = Mount::bind(&dir.path("outside.yaml"), &dir.path("values.yaml"));
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("what is mounted", WAIT_TIMEOUT, || dir.has("a.conf", "outside\n"));
    // Written in place, it is the same file.
    fs::write(dir.path("outside.yaml"), "x: again\n").unwrap();
    eventually("what was written over", WAIT_TIMEOUT, || dir.has("a.conf", "again\n"));
    let said = "mounted by itself and was replaced outside";
    assert!(!daemon.log().contains(said), "{}", daemon.log());
    dir.write("new.yaml", "x: new\n");
    fs::rename(dir.path("new.yaml"), dir.path("outside.yaml")).unwrap();
    daemon.eventually_says(said);
    sleep(Duration::from_millis(300));
    assert_eq!(daemon.log().matches(said).count(), 1, "{}", daemon.log());
    dir.assert_has("a.conf", "again\n");
    daemon.terminate();
}

#[test]
fn a_symlinked_destination_is_replaced_at_its_target() {
    let dir = site("");
    dir.write("elsewhere/real.conf", "old\n");
    symlink("../elsewhere/real.conf", dir.out("a.conf")).unwrap();
    Retune::render(&dir).file("values.yaml").run().exits(0);
    assert!(dir.out("a.conf").is_symlink(), "the link stays a link");
    assert_eq!(dir.read("elsewhere/real.conf").as_deref(), Some("one\n"));
    assert_eq!(dir.outputs(), ["a.conf"], "staged beside the target, and nothing left");
}

#[test]
fn a_replaced_destination_folder_is_written_to() {
    let dir = site("");
    let daemon = Retune::watch(&dir).file("values.yaml").args(&["--interval", "1"]).spawn();
    eventually("the file", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    fs::rename(dir.path("out"), dir.path("moved")).unwrap();
    fs::create_dir(dir.path("out")).unwrap();
    eventually("the file in the new folder", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    dir.write("values.yaml", "x: two\n");
    eventually("the change in the new folder", WAIT_TIMEOUT, || dir.has("a.conf", "two\n"));
    assert_eq!(dir.read("moved/a.conf").as_deref(), Some("one\n"));
    daemon.terminate();
}

#[test]
fn mode_is_octal_with_and_without_the_zero() {
    for (written, expected) in [("644", 0o644), ("0640", 0o640), ("0o600", 0o600), ("4755", 0o4755)] {
        let dir = site(&format!("mode = \"{written}\""));
        Retune::render(&dir).file("values.yaml").run().exits(0);
        assert_eq!(mode(&dir, "a.conf"), expected, "mode = {written:?}");
    }
    let dir = site("mode = \"698\"");
    Retune::render(&dir).file("values.yaml").run().exits(1).says("698");
}

#[test]
fn an_unset_mode_keeps_the_files_own_and_a_set_one_is_restored() {
    let dir = site("");
    dir.write_bytes("out/a.conf", b"old\n");
    fs::set_permissions(dir.out("a.conf"), fs::Permissions::from_mode(0o604)).unwrap();
    Retune::render(&dir).file("values.yaml").run().exits(0);
    assert_eq!(mode(&dir, "a.conf"), 0o604);

    let dir = site("mode = \"0600\"");
    Retune::render(&dir).file("values.yaml").run().exits(0);
    fs::set_permissions(dir.out("a.conf"), fs::Permissions::from_mode(0o666)).unwrap();
    Retune::render(&dir).file("values.yaml").run().exits(0).says("out of sync");
    assert_eq!(mode(&dir, "a.conf"), 0o600, "drift of the mode alone is corrected");
}

#[test]
fn a_manually_edited_file_is_restored_at_the_interval() {
    let dir = site("reload_cmd = 'echo r >> {dir}/reloads'");
    let daemon = Retune::watch(&dir).file("values.yaml").args(&["--interval", "1s"]).spawn();
    eventually("the file", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    eventually("its reload", WAIT_TIMEOUT, || dir.lines("reloads").len() == 1);
    dir.write_bytes("out/a.conf", b"by hand\n");
    eventually("the file is back", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    eventually("the service knows", WAIT_TIMEOUT, || dir.lines("reloads").len() == 2);
    fs::remove_file(dir.out("a.conf")).unwrap();
    eventually("a deleted file is back", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    daemon.terminate();
}

#[test]
fn staged_files_left_by_a_crash_are_removed() {
    let dir = site("check_cmd = 'echo c >> {dir}/checks; test -f {dir}/fast || sleep 2'");
    dir.write_bytes("out/.keep", b"not ours");
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("the check has begun", WAIT_TIMEOUT, || !dir.lines("checks").is_empty());
    assert!(dir.outputs().len() > 1, "a staged file to check: {:?}", dir.outputs());
    daemon.kill();
    dir.write("fast", "");
    Retune::render(&dir).file("values.yaml").run().exits(0);
    assert_eq!(dir.outputs(), [".keep", "a.conf"]);
    assert_eq!(dir.read("out/.keep").as_deref(), Some("not ours"));
}

#[test]
fn noop_changes_nothing_and_runs_nothing() {
    let dir = site("check_cmd = 'touch {dir}/checked'\nreload_cmd = 'touch {dir}/reloaded'");
    dir.write_bytes("out/a.conf", b"old\n");
    Retune::render(&dir).file("values.yaml").args(&["--noop"]).run().exits(0).says("out of sync");
    dir.assert_has("a.conf", "old\n");
    assert_eq!(dir.outputs(), ["a.conf"]);
    assert!(!dir.path("reloaded").exists());
    // A run with --noop does not count as done.
    Retune::render(&dir).file("values.yaml").run().exits(0);
    dir.assert_has("a.conf", "one\n");
    assert!(dir.path("reloaded").exists());
}

#[test]
fn sync_only_writes_files_and_runs_no_command() {
    let dir = site("check_cmd = 'touch {dir}/checked'\nreload_cmd = 'touch {dir}/reloaded'");
    Retune::render(&dir).file("values.yaml").args(&["--sync-only"]).run().exits(0);
    dir.assert_has("a.conf", "one\n");
    assert!(!dir.path("checked").exists() && !dir.path("reloaded").exists());
}

#[test]
fn keep_stage_file_leaves_the_staged_file_and_still_writes() {
    let dir = site("mode = \"0600\"");
    Retune::render(&dir).file("values.yaml").args(&["--keep-stage-file"]).run().exits(0);
    dir.assert_has("a.conf", "one\n");
    assert_eq!(mode(&dir, "a.conf"), 0o600);
    let outputs = dir.outputs();
    assert_eq!(outputs.len(), 2, "{outputs:?}");
    let kept = outputs.iter().find(|name| *name != "a.conf").unwrap();
    assert_eq!(dir.read(&format!("out/{kept}")).as_deref(), Some("one\n"));
}

#[test]
fn keep_stage_file_works_at_every_log_level() {
    for level in ["info", "error"] {
        let dir = site("");
        let words = ["--noop", "--keep-stage-file", "--log-level", level];
        Retune::render(&dir).file("values.yaml").args(&words).run();
        assert_eq!(dir.outputs().len(), 1, "{level}: {:?}", dir.outputs());
    }
}

#[test]
fn a_destination_with_spaces_and_quotes_survives_its_check_command() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n").template("a.tmpl", VALUE);
    let dest = "it's a $(touch pwned) file.conf";
    dir.conf(
        "a",
        &format!(
            "[template]\nsrc = 'a.tmpl'\ndest = \"{{out}}/{dest}\"\nkeys = ['/']\ncheck_cmd = {{check}}\n"
        ),
    );
    for check in ["['grep', '-q', 'one', '{{.src}}']", "'grep -q one \"$RETUNE_SRC\"'"] {
        let text = dir.read("confdir/conf.d/a.toml").unwrap();
        dir.conf("a", &text.replace("{check}", check));
        Retune::render(&dir).file("values.yaml").run().exits(0);
        dir.assert_has(dest, "one\n");
        fs::remove_file(dir.out(dest)).unwrap();
        dir.conf("a", &text);
    }
    assert!(!dir.path("pwned").exists());
}

#[test]
fn a_reader_never_sees_a_partial_file() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: a\n");
    dir.resource("a", "{% for i in range(20000) %}{{ getv(\"/x\") }}{% endfor %}\n", "");
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("the file", WAIT_TIMEOUT, || dir.out("a.conf").exists());
    for round in 0..10 {
        let next = if round % 2 == 0 { "b" } else { "a" };
        dir.write("next", &format!("x: {next}\n"));
        fs::rename(dir.path("next"), dir.path("values.yaml")).unwrap();
        eventually("the next text", WAIT_TIMEOUT, || {
            let text = dir.read("out/a.conf").expect("there is always a file");
            assert!(text.len() == 20_001 && text.trim_end().bytes().all(|byte| byte == text.as_bytes()[0]));
            text.starts_with(next)
        });
    }
    sleep(Duration::from_millis(50));
    assert_eq!(dir.outputs(), ["a.conf"]);
    daemon.terminate();
}
