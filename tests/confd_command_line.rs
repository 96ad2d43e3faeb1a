//! The command lines of confd's users work, and flags without meaning here are refused by name.

use crate::support::{Dir, Retune, WAIT_TIMEOUT, eventually};

const VALUE: &str = "{{ getv(\"/x\") }}\n";

fn site() -> Dir {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n").resource("a", VALUE, "");
    dir
}

#[test]
fn onetime_without_a_command_is_confds_command_line() {
    let dir = site();
    let (confdir, values) = (dir.confdir(), dir.text_path("values.yaml"));
    let words = ["-onetime", "-backend", "file", "-file", &values, "-confdir", &confdir];
    Retune::new(&dir, &words).run().exits(0).says("Target config").says("has been updated");
    dir.assert_has("a.conf", "one\n");
}

#[test]
fn under_the_name_confd_it_watches_and_polls_as_confd_does() {
    let dir = site();
    let (confdir, values) = (dir.confdir(), dir.text_path("values.yaml"));
    for mode in [&["-watch"][..], &["-interval=1"][..]] {
        dir.write("values.yaml", "x: one\n");
        let words = ["-backend=file", "-file", &values, "--confdir", &confdir];
        let daemon = Retune::called(&dir, "confd", &words).args(mode).spawn();
        eventually("the first", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
        dir.write("values.yaml", "x: two\n");
        eventually("the change", WAIT_TIMEOUT, || dir.has("a.conf", "two\n"));
        daemon.terminate();
    }
}

#[test]
fn under_the_name_confd_an_unknown_field_is_only_a_warning() {
    let dir = site();
    dir.resource("a", VALUE, "reload_cmmd = 'true'");
    let (confdir, values) = (dir.confdir(), dir.text_path("values.yaml"));
    let words = ["-onetime", "-backend", "file", "-file", &values, "-confdir", &confdir];
    Retune::called(&dir, "confd", &words).run().exits(0).says("reload_cmmd").says("reload_cmd");
    dir.assert_has("a.conf", "one\n");
}

#[test]
fn an_unsupported_backend_is_refused_by_name() {
    let dir = site();
    for backend in ["consul", "vault", "zookeeper"] {
        let words = ["-onetime", "-backend", backend, "-confdir", &dir.confdir()];
        Retune::called(&dir, "confd", &words).run().exits(2).says(backend);
    }
}

#[test]
fn all_bad_settings_are_reported_together() {
    let dir = site();
    let bad = ["--backend", "nosuch", "--interval", "soon", "--redact", "[", "--log-level", "loud"];
    let done = Retune::render(&dir).args(&bad).run().exits(2);
    let named = ["nosuch", "soon", "loud"].iter().filter(|word| done.stderr.contains(**word)).count();
    assert!(named >= 2, "each fault is worth a run of its own otherwise\n{}", done.stderr);
}

#[test]
fn flags_override_the_environment_and_that_overrides_the_file() {
    let dir = site();
    dir.write("flag.yaml", "x: flag\n").write("env.yaml", "x: env\n").write("file.yaml", "x: file\n");
    let (flag, env) = (dir.text_path("flag.yaml"), dir.text_path("env.yaml"));
    dir.write("retune.toml", "backend = 'file'\nfile = ['{dir}/file.yaml']\n");
    let config = dir.text_path("retune.toml");
    let render = || Retune::render(&dir).args(&["--config-file", &config]);
    render().run().exits(0);
    dir.assert_has("a.conf", "file\n");
    render().env("RETUNE_FILE", &env).run().exits(0);
    dir.assert_has("a.conf", "env\n");
    render().env("RETUNE_FILE", &env).args(&["--file", &flag]).run().exits(0);
    dir.assert_has("a.conf", "flag\n");
}

#[test]
fn help_completions_and_manual_are_generated() {
    let dir = Dir::new();
    Retune::new(&dir, &["--help"])
        .run()
        .exits(0)
        .prints("render")
        .prints("watch")
        .prints("diff")
        .prints("check");
    Retune::new(&dir, &["--version"]).run().exits(0).prints(env!("CARGO_PKG_VERSION"));
    Retune::new(&dir, &["completions", "bash"]).run().exits(0).prints("retune");
    Retune::new(&dir, &["man"]).run().exits(0).prints(".TH");
    Retune::new(&dir, &["no-such-command"]).run().exits(2);
    Retune::new(&dir, &[]).run().exits(2);
}

#[test]
fn json_logs_have_one_object_per_line() {
    let dir = site();
    dir.resource("b", VALUE, "check_cmd = 'echo one; echo two >&2; exit 3'");
    let done = Retune::render(&dir).file("values.yaml").args(&["--log-format", "json"]).run().exits(1);
    assert!(done.stderr.lines().count() > 1);
    for line in done.stderr.lines() {
        let event: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(event.is_object(), "{line}");
    }
}

#[test]
fn results_go_to_stdout_and_logs_to_stderr() {
    let dir = site();
    let done = Retune::render(&dir).file("values.yaml").run().exits(0).says("has been updated");
    assert!(!done.stdout.contains("Target config"), "{}", done.stdout);
    assert!(!done.stderr.contains('\u{1b}'), "no colours into a file: {:?}", done.stderr);
}
