//! What the log says of a failure: which file, what is on the disk now, and what happens next; each once.

use std::fs;

use crate::support::{Dir, Retune, WAIT_TIMEOUT, eventually};

const VALUE: &str = "{{ getv(\"/x\") }}\n";

fn site(extra: &str) -> Dir {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n").resource("a", VALUE, extra);
    dir
}

#[track_caller]
fn assert_once(log: &str, text: &str) {
    assert_eq!(log.matches(text).count(), 1, "{text:?} stands once in\n{log}");
}

#[test]
fn a_failed_reload_is_reported_with_its_resource_and_the_written_file() {
    let dir = site("reload_cmd = 'echo said-by-the-command; exit 7'");
    let done = Retune::render(&dir).file("values.yaml").run().exits(1);
    let named = format!("resource=a dest={}", dir.out("a.conf").display());
    let done =
        done.says("reload failed; the new file is in place, but the service has not taken it").says(&named);
    // A one-shot announces no retry of its own.
    let done = done.says("the next render or watch tries it again").does_not_say("tried again in");
    assert_once(&done.stderr, "exit status 7 | said-by-the-command");

    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    daemon.eventually_says("the service has not taken it; tried again in");
    daemon.terminate();
}

#[test]
fn a_one_shot_without_a_state_folder_reports_that_the_reload_is_not_recorded() {
    let dir = site("reload_cmd = 'false'");
    let done = Retune::render(&dir).args(&["--state-dir", "none"]).file("values.yaml").run().exits(1);
    done.says("nothing tries it again").says("run it by hand");
}

#[test]
fn a_failed_check_shows_the_command_that_ran_and_how_to_keep_the_staged_file() {
    let dir = site("check_cmd = 'grep -q good {{.src}} || { echo not-good; exit 3; }'");
    let render = || Retune::render(&dir).file("values.yaml");
    let done = render().run().exits(1).does_not_say("{{.src}}");
    let done =
        done.says("--keep-stage-file").says("the file in service stays as it is").says("exit status 3");
    assert_once(&done.stderr, " | not-good");

    let done = render().args(&["--keep-stage-file"]).run().exits(1);
    let kept =
        done.stderr.split("the staged file is kept: ").nth(1).and_then(|rest| rest.split(" | ").next());
    let kept = kept.unwrap_or_else(|| panic!("it names the kept file\n{}", done.stderr));
    assert_eq!(fs::read_to_string(kept.trim()).unwrap(), "one\n");
}

#[test]
fn multi_line_commands_and_output_are_one_line_of_the_log() {
    let many = "\"\"\"\nfor n in 1 2 3; do\n  echo line-$n\ndone\nexit 4\n\"\"\"";
    for field in ["check_cmd", "reload_cmd"] {
        let dir = site(&format!("{field} = {many}"));
        let done = Retune::render(&dir).file("values.yaml").run().exits(1);
        assert!(done.stderr.lines().all(|line| !line.starts_with(' ')), "{}", done.stderr);
        let line = done.stderr.lines().find(|line| line.contains("exit status 4"));
        assert!(line.is_some_and(|line| line.contains("line-1 | line-2 | line-3")), "{}", done.stderr);
    }
    let dir = site("check_cmd = 'yes 0123456789 | head -c 100000; false'");
    let done = Retune::render(&dir).file("values.yaml").run().exits(1).says("bytes cut");
    assert!(done.stderr.lines().all(|line| line.len() < 3000), "the length is bounded");
}

#[test]
fn a_lasting_failure_is_logged_once_by_a_daemon_and_again_after_its_end() {
    // With a reload, the end of the failure is reported later than the failure.
    for reload in ["", "reload_cmd = 'true'\n"] {
        let dir =
            site(&format!("check_cmd = 'echo x >> {{out}}/tries; ! grep -q bad {{{{.src}}}}'\n{reload}"));
        let tries = |dir: &Dir| dir.lines("out/tries").len();
        dir.write("values.yaml", "x: bad\n");
        let daemon = Retune::watch(&dir).file("values.yaml").spawn();
        eventually("it is tried again", WAIT_TIMEOUT, || tries(&dir) >= 3);
        assert_once(&daemon.log(), "exit status 1");
        dir.write("values.yaml", "x: one\n");
        eventually("good", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
        daemon.eventually_says("has been updated");
        assert_once(&daemon.log(), "has been updated");
        dir.write("values.yaml", "x: bad\n");
        eventually("it is new again", WAIT_TIMEOUT, || daemon.log().matches("exit status 1").count() == 2);
        daemon.terminate();
    }
}

#[test]
fn a_repeatedly_failing_reload_is_logged_once() {
    let dir = site("reload_cmd = 'echo x >> {out}/tries; test -e {out}/mended'");
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("it is tried again", WAIT_TIMEOUT, || dir.lines("out/tries").len() >= 3);
    assert_once(&daemon.log(), "reload failed");
    dir.write("out/mended", "");
    daemon.eventually_says("reloaded for ");
    daemon.eventually_says("has been updated");
    daemon.terminate();
}

#[test]
fn a_pending_reload_of_an_earlier_run_is_reported_with_its_file_and_not_as_an_update() {
    let dir = site("reload_cmd = 'test -e {out}/mended'");
    Retune::render(&dir).file("values.yaml").run().exits(1);
    dir.write("out/mended", "");
    let done = Retune::render(&dir).file("values.yaml").run().exits(0).says("reloaded for ");
    let dest = dir.out("a.conf");
    let done = done.says(&format!(" for {} is pending from an earlier run", dest.display()));
    done.does_not_say("has been updated");
}

#[test]
fn a_signal_logs_the_state() {
    let dir = site("");
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("rendered", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    daemon.signal(nix::sys::signal::Signal::SIGUSR1);
    daemon.eventually_says("status: ready, 1 of 1 resources rendered, 0 failing");
    daemon.terminate();
}

#[test]
fn an_error_of_a_one_shot_is_logged_once() {
    let dir = site("");
    dir.resource("b", "{{ getv(\"/missing/key\") }}\n", "");
    let done = Retune::render(&dir).file("values.yaml").run().exits(1).says("1 of 2 destinations failed");
    assert_once(&done.stderr, "b.tmpl:1");
}

#[test]
fn a_rollback_reports_what_is_in_service_and_when_the_new_content_is_retried() {
    let dir = site(
        "reload_cmd = 'true'\n[template.verify]\ncommand = '! grep -q bad {out}/a.conf'\ntimeout = '300ms'\n",
    );
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("good", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    dir.write("values.yaml", "x: bad\n");
    daemon.eventually_says(
        "the previous file is back in service; the new content is not tried again until its input changes",
    );
    daemon.terminate();
    let done = Retune::render(&dir).file("values.yaml").run().exits(1);
    done.says("the previous file is back in service; the next render tries the new content again");
}

#[test]
fn a_reload_and_a_corrected_edit_are_logged_at_info() {
    let dir = site("reload_cmd = 'true'");
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    daemon.eventually_says(&format!("reloaded for {}", dir.out("a.conf").display()));
    dir.template("a.tmpl", "{{ getv(\"/x\" }}\n");
    daemon.eventually_says("the edit is rejected");
    assert!(!daemon.log().contains("were read again"), "{}", daemon.log());
    dir.template("a.tmpl", VALUE);
    daemon.eventually_says("resources and templates were read again: 1 in use");
    daemon.terminate();
}

#[test]
fn a_resource_that_recovers_without_a_change_is_reported() {
    let dir = site("check_cmd = '! grep -q bad {{.src}}'");
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("good", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    dir.write("values.yaml", "x: bad\n");
    daemon.eventually_says("exit status 1");
    dir.write("values.yaml", "x: one\n");
    daemon.eventually_says("in order again");
    daemon.terminate();
}

#[test]
fn a_second_watch_of_one_state_folder_is_refused_and_the_first_continues() {
    let dir = site("");
    let first = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("rendered", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    let second = Retune::watch(&dir).file("values.yaml").run().exits(2);
    second.says(&format!("another watch (process {})", first.pid())).says(".lock").says("--state-dir");
    let own = dir.text_path("other");
    let confdir = dir.confdir();
    let third =
        Retune::new(&dir, &["watch", "--confdir", &confdir, "--state-dir", &own]).file("values.yaml").spawn();
    third.eventually_says("Starting retune");
    third.terminate();
    first.kill();
    let next = Retune::watch(&dir).file("values.yaml").spawn();
    dir.write("values.yaml", "x: two\n");
    eventually("a killed one leaves no lock", WAIT_TIMEOUT, || dir.has("a.conf", "two\n"));
    next.terminate();
}

#[test]
fn a_missing_resource_folder_is_reported_with_its_option_and_contents() {
    let dir = Dir::new();
    let done = Retune::new(&dir, &["render", "--confdir", "/nowhere", "--backend", "env"]).run().exits(2);
    done.says("--confdir names the folder that holds conf.d");
}
