//! The example for supervisord: the order in which its processes end, and that the key is removed before the
//! application ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::support::docker::{Docker, host, write_program};
use crate::support::port::Port;
use crate::support::proc::Proc;
use crate::support::python::python;
use crate::support::{Dir, Store, WAIT_TIMEOUT, eventually, http};

/// Older versions need a module that newer Pythons no longer have.
const PACKAGES: [&str; 1] = ["supervisor>=4.3,<5"];

/// Returns the command that runs `examples/supervisord`, with the test's folder prefixed to its paths.
fn supervisord(dir: &Dir, python: &Path, port: &Port, etcd: &str, more: &[(&str, &str)]) -> Proc {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/supervisord/supervisord.conf");
    // The folder is the image's own; everything else in the file stays the same.
    let text = fs::read_to_string(conf).unwrap();
    assert!(text.contains(" --directory /srv") && text.contains("/dev/fd/1"), "{text}");
    let text = text.replace("/srv", &dir.text_path("srv")).replace("/dev/fd/1", &dir.text_path("log/out"));
    dir.write("supervisord.conf", &text).write("srv/index.html", "hello\n");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(python.with_file_name("supervisord"));
    command.args(["-c", &dir.text_path("supervisord.conf"), "-j", &dir.text_path("pid")]);
    command.current_dir(dir.path("")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.env("PATH", format!("{}:{path}", dir.text_path("bin"))).env_remove("PYTHONPATH");
    command.env("PORT", port.number().to_string()).env("ETCD", etcd).env("DRAIN", "1").env("HOST_IP", host());
    Proc::spawn_master(command.envs(more.iter().copied()))
}

fn tool() -> Option<PathBuf> {
    python("supervisor", &PACKAGES)
}

#[test]
fn on_a_stop_the_sidecar_ends_first_and_the_application_after_the_drain() {
    let Some(python) = tool() else { return };
    let (dir, port) = (Dir::new(), Port::claim());
    // In place of the registrar, a program that records its arguments and signals.
    let book = dir.text_path("book");
    let stand_in = format!(
        "#!/bin/sh\necho \"$@\" >> {book}\ntrap 'echo asked >> {book}; sleep 0.3; echo ended >> {book}; exit 0' TERM\n\
         while :; do sleep 3600 & wait $!; done\n"
    );
    write_program(&dir.path("bin/retune"), &stand_in);
    let mut supervisor = supervisord(&dir, &python, &port, "http://192.0.2.1:2379", &[]);
    let answers = || http::get(&port.address(), "/").as_deref() == Some("hello\n");
    eventually("the application", WAIT_TIMEOUT, answers);
    eventually("its sidecar", WAIT_TIMEOUT, || !dir.lines("book").is_empty());
    let told =
        format!("register --self --port {} --endpoints http://192.0.2.1:2379 --ip {}", port.number(), host());
    assert_eq!(dir.lines("book"), [told.as_str()]);

    supervisor.signal(Signal::SIGTERM);
    eventually("the sidecar has ended", WAIT_TIMEOUT, || dir.lines("book").len() == 3);
    assert_eq!(dir.lines("book")[1..], ["asked", "ended"]);
    assert!(answers(), "the application must outlive its key");
    assert_eq!(supervisor.wait(WAIT_TIMEOUT), Some(0));
    assert!(!answers());
}

#[test]
fn the_key_exists_while_the_application_runs_and_is_removed_before_it_ends() {
    let Some(docker) = Docker::acquire() else { return };
    let Some(python) = tool() else { return };
    let (dir, store, port) = (Dir::new(), Store::start(), Port::claim());
    let Some(image) = docker.image(&[port.number()]) else { return };
    let inner = port.number().to_string();
    // The own container cannot be detected from outside, so it is passed.
    let app = docker.run(&image, &["-p", &inner, "-e", &format!("PORT={inner}")]);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_retune"), dir.path("bin/retune")).unwrap();
    let own = [("RETUNE_CONTAINER", app.name.as_str())];
    let mut supervisor = supervisord(&dir, &python, &port, &store.url(), &own);
    let key = format!("/v2/keys/service/{}:{}", host(), app.mapped(port.number()).unwrap());
    let there = || http::get(&store.address(), &key).is_some();
    let answers = || http::get(&port.address(), "/").is_some();
    eventually("key and application", WAIT_TIMEOUT, || there() && answers());
    supervisor.signal(Signal::SIGTERM);
    eventually("the key is gone", WAIT_TIMEOUT, || !there());
    assert!(
        supervisor.ended().is_none() && http::get(&port.address(), "/").is_some(),
        "the application is not"
    );
    assert_eq!(supervisor.wait(WAIT_TIMEOUT), Some(0));
}
