//! Pending reloads: through edits, restarts and changes of the file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::{Dir, Retune, WAIT_TIMEOUT, eventually, stays};

const VALUE: &str = "{{ getv(\"/x\") }}\n";
const WRONG: &str = "reload_cmd = 'echo w >> {dir}/wrong; exit 1'";
const RIGHT: &str = "reload_cmd = 'cat {out}/a.conf >> {dir}/right'";
const RELOAD_IF_ALLOWED: &str =
    "reload_cmd = 'echo t >> {dir}/tries; test -f {dir}/allow && echo d >> {dir}/done'";

fn site(extra: &str) -> Dir {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n").resource("a", VALUE, extra).resource("other", VALUE, "");
    dir
}

fn count_files(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let count = |path: &Path| if path.is_dir() { count_files(path) } else { 1 };
    entries.flatten().map(|entry| count(&entry.path())).sum()
}

#[test]
fn a_corrected_reload_runs_at_once_and_the_wrong_one_is_not_tried_again() {
    let dir = site(WRONG);
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("the wrong one backs off", WAIT_TIMEOUT, || dir.lines("wrong").len() >= 3);
    dir.resource("a", VALUE, RIGHT);
    eventually("the right one, long before a retry's turn", Duration::from_secs(2), || {
        dir.lines("right") == ["one"]
    });
    let wrong = dir.lines("wrong").len();
    stays("the wrong one is gone and the right one ran once", Duration::from_secs(4), || {
        dir.lines("wrong").len() == wrong && dir.lines("right").len() == 1
    });
    assert_eq!(count_files(&dir.path("state/pending")), 0);
    daemon.terminate();
}

#[test]
fn a_reload_corrected_while_nothing_runs_is_done_by_the_next_render() {
    let dir = site(WRONG);
    let render = || Retune::render(&dir).file("values.yaml").run();
    render().exits(1);
    dir.resource("a", VALUE, RIGHT);
    render().exits(0);
    render().exits(0);
    assert_eq!((dir.lines("wrong").len(), dir.lines("right").len()), (1, 1));
    assert_eq!(count_files(&dir.path("state/pending")), 0);
}

#[test]
fn a_corrected_reload_that_also_fails_stays_pending() {
    let dir = site(WRONG);
    let render = || Retune::render(&dir).file("values.yaml").run();
    render().exits(1);
    dir.resource("a", VALUE, RELOAD_IF_ALLOWED);
    render().exits(1);
    render().exits(1);
    dir.write("allow", "");
    render().exits(0);
    assert_eq!((dir.lines("wrong").len(), dir.lines("tries").len(), dir.lines("done").len()), (1, 3, 1));
}

#[test]
fn removing_the_resource_cancels_its_pending_reload() {
    let dir = site(WRONG);
    Retune::render(&dir).file("values.yaml").run().exits(1);
    assert_eq!(count_files(&dir.path("state/pending")), 1);
    fs::remove_file(dir.path("confdir/conf.d/a.toml")).unwrap();
    Retune::render(&dir).file("values.yaml").run().exits(0);
    assert_eq!((dir.lines("wrong").len(), count_files(&dir.path("state/pending"))), (1, 0));

    let dir = site(WRONG);
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("a try", WAIT_TIMEOUT, || !dir.lines("wrong").is_empty());
    fs::remove_file(dir.path("confdir/conf.d/a.toml")).unwrap();
    eventually("no resource", WAIT_TIMEOUT, || daemon.log().contains("has no resource any more"));
    let wrong = dir.lines("wrong").len();
    stays("no more tries", Duration::from_secs(3), || dir.lines("wrong").len() == wrong);
    daemon.terminate();
    // An editor may be rewriting the file; only a later start treats it as gone.
    Retune::render(&dir).file("values.yaml").run().exits(0);
    assert_eq!((dir.lines("wrong").len(), count_files(&dir.path("state/pending"))), (wrong, 0));
}

#[test]
fn a_resource_file_that_is_removed_and_written_again_keeps_its_pending_reload() {
    let dir = site("reload_cmd = 'echo try >> {dir}/tries; test -f {dir}/allow'");
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("a try", WAIT_TIMEOUT, || !dir.lines("tries").is_empty());
    let file = dir.path("confdir/conf.d/a.toml");
    let text = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    eventually("it is seen to be gone", WAIT_TIMEOUT, || daemon.log().contains("has no resource any more"));
    dir.write("allow", "");
    let tries = dir.lines("tries").len();
    fs::write(&file, text).unwrap();
    eventually("its reload runs", WAIT_TIMEOUT, || dir.lines("tries").len() > tries);
    daemon.terminate();
    assert_eq!(count_files(&dir.path("state/pending")), 0);
}

fn sites() -> Dir {
    let dir = Dir::new();
    dir.write("values.yaml", "sites: {a: 1, b: 2}\n").template("site.tmpl", "{{ item }}\n");
    let fields =
        "src = 'site.tmpl'\ndest = '{out}/{{ item }}.conf'\nfor_each = '/sites'\nkeys = ['/sites']\n";
    dir.conf("sites", &format!("[template]\n{fields}{RELOAD_IF_ALLOWED}\n")).write("allow", "");
    Retune::render(&dir).file("values.yaml").run().exits(0);
    assert_eq!((dir.outputs().len(), dir.lines("done").len()), (2, 1));
    fs::remove_file(dir.path("allow")).unwrap();
    dir.write("values.yaml", "sites: {a: 1}\n");
    dir
}

#[test]
fn a_removal_whose_reload_failed_is_reloaded_by_the_next_render() {
    let dir = sites();
    let render = || Retune::render(&dir).file("values.yaml").run();
    render().exits(1);
    assert_eq!(dir.outputs(), ["a.conf"]);
    render().exits(1);
    dir.write("allow", "");
    render().exits(0);
    render().exits(0);
    assert_eq!((dir.lines("tries").len(), dir.lines("done").len()), (4, 2));
}

#[test]
fn a_removal_whose_reload_failed_is_reloaded_by_the_next_daemon() {
    let dir = sites();
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("the removal and its reload", WAIT_TIMEOUT, || {
        dir.outputs() == ["a.conf"] && dir.lines("tries").len() > 1
    });
    daemon.terminate();
    dir.write("allow", "");
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("paid", WAIT_TIMEOUT, || dir.lines("done").len() == 2);
    stays("once", Duration::from_secs(1), || dir.lines("done").len() == 2);
    daemon.terminate();
}

#[test]
fn a_pending_reload_survives_reverted_content_and_manual_edits() {
    let dir = site(RELOAD_IF_ALLOWED);
    let render = |value: &str, code| {
        dir.write("values.yaml", &format!("x: {value}\n"));
        Retune::render(&dir).file("values.yaml").run().exits(code);
        dir.assert_has("a.conf", &format!("{value}\n"));
    };
    dir.write("allow", "");
    render("zero", 0);
    fs::remove_file(dir.path("allow")).unwrap();
    for value in ["one", "two", "one", "zero", "zero"] {
        render(value, 1);
    }
    // Edited by hand: first to something else, then to the content that comes next.
    dir.write_bytes("out/a.conf", b"by hand\n");
    render("zero", 1);
    dir.write_bytes("out/a.conf", b"two\n");
    render("two", 1);
    fs::remove_file(dir.out("a.conf")).unwrap();
    render("two", 1);
    dir.write("allow", "");
    render("two", 0);
    let tries = dir.lines("tries").len();
    render("two", 0);
    assert_eq!((dir.lines("done").len(), dir.lines("tries").len()), (2, tries), "paid is paid");
}

#[test]
fn a_daemon_keeps_a_pending_reload_through_reverted_changes_and_manual_edits() {
    let dir = site(RELOAD_IF_ALLOWED);
    dir.write("allow", "");
    let daemon = Retune::watch(&dir).file("values.yaml").args(&["--interval", "500ms"]).spawn();
    eventually("the first", WAIT_TIMEOUT, || dir.lines("done").len() == 1);
    fs::remove_file(dir.path("allow")).unwrap();
    for value in ["two", "one"] {
        dir.write("values.yaml", &format!("x: {value}\n"));
        eventually("the file", WAIT_TIMEOUT, || dir.has("a.conf", &format!("{value}\n")));
    }
    dir.write_bytes("out/a.conf", b"by hand\n");
    eventually("the file is back", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    assert_eq!(dir.lines("done").len(), 1);
    dir.write("allow", "");
    eventually("paid", WAIT_TIMEOUT, || dir.lines("done").len() == 2);
    stays("once", Duration::from_secs(1), || dir.lines("done").len() == 2);
    daemon.terminate();
}

#[test]
fn reloads_continue_when_the_state_folder_is_removed_under_the_daemon() {
    let dir = site(RIGHT);
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("the first", WAIT_TIMEOUT, || dir.lines("right") == ["one"]);
    fs::remove_dir_all(dir.path("state")).unwrap();
    dir.write("values.yaml", "x: two\n");
    eventually("the second", WAIT_TIMEOUT, || dir.lines("right") == ["one", "two"]);
    dir.write("values.yaml", "x: three\n");
    eventually("the third", WAIT_TIMEOUT, || dir.lines("right").len() == 3);
    daemon.terminate();
}
