//! The output and exit codes of `retune register` and `registrator` before there is anything to register.

use crate::support::{Dir, Retune};

fn registrator<'d>(dir: &'d Dir, words: &[&str]) -> Retune<'d> {
    let nowhere = format!("unix://{}", dir.text_path("no-engine.sock"));
    Retune::called(dir, "registrator", words).env("DOCKER_HOST", &nowhere)
}

/// Returns whether a line has the format of Go's log package: `2006/01/02 15:04:05 MESSAGE`.
fn is_gos(line: &str, message: &str) -> bool {
    let shape: String = line.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).take(20).collect();
    shape == "0000/00/00 00:00:00 " && line.get(20..) == Some(message)
}

#[test]
fn under_registrators_name_the_first_lines_are_its_own_and_show_no_password() {
    let dir = Dir::new();
    let daemon = registrator(&dir, &["etcd://u:hunter2@127.0.0.1:1/services"]).spawn();
    daemon.eventually_says("Using etcd adapter");
    let log = daemon.log();
    let lines: Vec<&str> = log.lines().collect();
    let first = format!("Starting registrator v7 (retune {}) ...", env!("CARGO_PKG_VERSION"));
    assert!(is_gos(lines[0], &first), "{log}");
    assert!(is_gos(lines[1], "Using etcd adapter: etcd://u:…@127.0.0.1:1/services"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn registrators_exit_codes_are_kept() {
    let dir = Dir::new();
    registrator(&dir, &["--version"]).run().exits(0).prints("v7 (retune ");
    registrator(&dir, &[])
        .run()
        .exits(2)
        .says("Missing required argument for registry URI")
        .says("[options]");
    registrator(&dir, &["etcd://127.0.0.1:1", "-internal"]).run().exits(2).says("Extra unparsed arguments");
    registrator(&dir, &["-bogus", "etcd://127.0.0.1:1"])
        .run()
        .exits(2)
        .says("flag provided but not defined: -bogus");
    registrator(&dir, &["consul://127.0.0.1:8500"]).run().exits(1).says("etcd://HOST:PORT/PREFIX");
    registrator(&dir, &["-ttl", "5", "-ttl-refresh", "5", "etcd://127.0.0.1:1"])
        .run()
        .exits(1)
        .says("greater than");
}

#[test]
fn querying_a_registrar_that_is_not_running_fails() {
    let dir = Dir::new();
    let socket = dir.text_path("register.sock");
    for words in [vec!["register", "status"], vec!["register", "stop", "web"]] {
        let done = Retune::new(&dir, &words).args(&["--listen", &socket]).run().exits(2);
        let done = done.says("register.sock").says("does `retune register` run");
        assert_eq!(done.stdout, "");
    }
}

#[test]
fn a_requested_status_address_that_cannot_be_bound_prevents_the_start() {
    let dir = Dir::new();
    dir.write("taken", "a file");
    let taken = dir.text_path("taken");
    Retune::new(
        &dir,
        &["register", "--engine", "/nowhere.sock", "--etcd", "http://127.0.0.1:1", "--listen", &taken],
    )
    .run()
    .exits(2)
    .says("is not a socket");
}

#[test]
fn a_port_in_use_is_reported() {
    let dir = Dir::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let words =
        ["register", "--engine", "/nowhere.sock", "--endpoints", "http://127.0.0.1:1", "--listen", &at];
    Retune::new(&dir, &words)
        .run()
        .exits(2)
        .says(&format!("on {at}: "))
        .says("name another place with --listen");
}
