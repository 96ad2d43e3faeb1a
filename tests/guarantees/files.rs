//! What is written, what is left alone, and what is only reported.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;
use std::time::Duration;

use crate::support::programs::{need_program, need_root};
use crate::support::{Dir, Retune, WAIT_TIMEOUT, eventually, stays};

const VALUE: &str = "{{ getv(\"/x\") }}\n";

#[test]
fn an_optional_resource_waits_for_its_key_and_keeps_the_file() {
    let dir = Dir::new();
    dir.write("values.yaml", "y: one\n").write("out/a.conf", "old\n");
    dir.resource("a", VALUE, "optional = true");
    Retune::render(&dir).file("values.yaml").run().exits(0);
    dir.assert_has("a.conf", "old\n");
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    stays("the old file", Duration::from_millis(500), || dir.has("a.conf", "old\n"));
    dir.write("values.yaml", "x: come\n");
    eventually("the key came", WAIT_TIMEOUT, || dir.has("a.conf", "come\n"));
    daemon.terminate();
}

#[test]
fn broken_json_is_refused_and_the_old_file_stays() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: '{\"a\": 1}'\n");
    dir.resource("a", VALUE, "output_format = 'json'\nreload_cmd = 'echo r >> {dir}/reloads'");
    Retune::render(&dir).file("values.yaml").run().exits(0);
    dir.write("values.yaml", "x: '{\"a\": }'\n");
    Retune::render(&dir).file("values.yaml").run().exits(1).says("a.conf");
    dir.assert_has("a.conf", "{\"a\": 1}\n");
    assert_eq!((dir.outputs().len(), dir.lines("reloads").len()), (1, 1));
}

const EACH: &str = "dest = '{out}/{{ item }}.conf'\n";

fn conflicting_resources(second: &str) -> Dir {
    let dir = Dir::new();
    dir.write("values.yaml", "one: {a: 1, shared: 1}\ntwo: {b: 1, shared: 1}\n");
    dir.template("one.tmpl", "one\n").template("two.tmpl", "two\n");
    let reload = "reload_cmd = 'cat {out}/shared.conf >> {dir}/versions'\n";
    dir.conf(
        "one",
        &format!("[template]\nsrc = 'one.tmpl'\n{EACH}for_each = '/one'\nkeys = ['/one']\n{reload}"),
    );
    dir.conf("two", &format!("[template]\nsrc = 'two.tmpl'\nkeys = ['/two']\n{second}{reload}"));
    dir
}

#[test]
fn two_for_each_resources_with_one_pattern_are_refused_by_name() {
    let dir = conflicting_resources(&format!("{EACH}for_each = '/two'\n"));
    Retune::render(&dir).file("values.yaml").run().exits(1).says("one.toml").says("two.toml");
    assert!(dir.outputs().is_empty(), "neither is right, so neither is written: {:?}", dir.outputs());
}

#[test]
fn two_resources_with_one_destination_are_refused_and_never_alternate() {
    // The same text would be refused at once; this only shows when both are filled in.
    let other = "dest = '{out}/{{item}}.conf'\nfor_each = '/two'\n";
    for second in [other.to_owned(), "dest = '{out}/shared.conf'\n".to_owned()] {
        let dir = conflicting_resources(&second);
        let done = Retune::render(&dir).file("values.yaml").run().exits(1);
        done.says("shared.conf").says("one").says("two");
        dir.assert_has("a.conf", "one\n");
        let daemon = Retune::watch(&dir).file("values.yaml").args(&["--interval", "200ms"]).spawn();
        daemon.eventually_says("shared.conf");
        let before = dir.read("out/shared.conf");
        stays("nobody takes turns", Duration::from_secs(2), || dir.read("out/shared.conf") == before);
        let mut versions = dir.lines("versions");
        versions.dedup();
        assert!(versions.len() <= 1, "{versions:?}");
        daemon.terminate();
    }
}

#[test]
fn diff_and_noop_report_what_would_be_removed() {
    let dir = Dir::new();
    dir.write("values.yaml", "sites: {a: 1, b: 2}\n").template("site.tmpl", "text of {{ item }}\n");
    dir.conf(
        "sites",
        &format!("[template]\nsrc = 'site.tmpl'\n{EACH}for_each = '/sites'\nkeys = ['/sites']\n"),
    );
    Retune::render(&dir).file("values.yaml").run().exits(0);
    let state = dir.text_path("state");
    let diff = || Retune::diff(&dir).file("values.yaml").args(&["--state-dir", &state]).run();
    diff().exits(0);
    dir.write("values.yaml", "sites: {a: 1}\n");
    diff().exits(1).prints("b.conf would be removed");
    Retune::render(&dir).file("values.yaml").args(&["--noop"]).run().exits(0).says("b.conf would be removed");
    assert_eq!(dir.outputs(), ["a.conf", "b.conf"]);
    Retune::render(&dir).file("values.yaml").run().exits(0);
    assert_eq!(dir.outputs(), ["a.conf"]);
    diff().exits(0);
}

#[test]
fn noop_with_force_runs_nothing() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n").resource("a", VALUE, "reload_cmd = 'echo r >> {dir}/reloads'");
    let render = |words: &[&str]| Retune::render(&dir).file("values.yaml").args(words).run().exits(0);
    render(&["--noop", "--force"]);
    assert!(dir.outputs().is_empty() && dir.lines("reloads").is_empty());
    render(&[]);
    render(&["--noop", "--force"]);
    assert_eq!(dir.lines("reloads").len(), 1);
    render(&["--force"]);
    assert_eq!(dir.lines("reloads").len(), 2, "it is noop that held it back");
}

#[test]
fn an_unknown_resource_is_a_usage_error() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n").resource("nginx", VALUE, "");
    Retune::render(&dir).file("values.yaml").args(&["--resource", "ngnix"]).run().exits(2).says("ngnix");
    assert!(dir.outputs().is_empty());
    Retune::render(&dir).file("values.yaml").args(&["--resource", "nginx"]).run().exits(0);
}

#[test]
fn a_user_without_a_home_renders_with_a_warning() {
    if !need_root() || !need_program("setpriv") {
        return;
    }
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n").resource("a", VALUE, "reload_cmd = 'echo r >> {out}/reloads'");
    // Other users may have no access to the build's own folder.
    fs::copy(env!("CARGO_BIN_EXE_retune"), dir.path("bin/retune")).unwrap();
    fs::set_permissions(dir.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    chown(dir.path("out"), Some(65534), Some(65534)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(dir.path("bin/retune"));
    command.args(["render", "--confdir", &dir.confdir(), "--backend", "file"]);
    command.args(["--file", &dir.text_path("values.yaml")]);
    let path = std::env::var("PATH").unwrap_or_default();
    let done = command.env_clear().env("PATH", path).env("HOME", "/nonexistent").output().unwrap();
    let log = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{log}");
    assert!(log.contains("WARN") && log.contains("/nonexistent"), "{log}");
    dir.assert_has("a.conf", "one\n");
    assert_eq!(dir.lines("out/reloads").len(), 1);
}
