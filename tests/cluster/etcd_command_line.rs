//! Command lines and settings files of one member, for etcd and for our program under its name: both start and
//! advertise the same, or neither starts.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::proc::Proc;
use crate::support::programs::need_program;
use crate::support::{Dir, DnsRecord, Zone, scaled};

/// The result of a start.
#[derive(Debug, PartialEq, Eq)]
enum StartOutcome {
    /// The exit status.
    Ended(i32),
    /// What it published.
    Ready(String),
    /// Neither within the time limit.
    Nothing,
}

const QUICK: [&str; 4] = ["--heartbeat-interval", "20", "--election-timeout", "200"];

/// Starts `program` in an empty folder and waits until it is ready or ends.
fn start(zone: &Zone, dir: &Dir, program: &str, words: &[&str]) -> (StartOutcome, String) {
    let (within, folder) = (zone.within(), tempfile::tempdir_in(dir.path("")).unwrap());
    let log = folder.path().join("log");
    let mut command = Command::new(&within[0]);
    // Entering a mount namespace changes the working folder.
    command.args(&within[1..]).args(["env", "-C"]).arg(folder.path()).arg(program).args(words);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
    let (mut proc, from) = (Proc::spawn(&mut command), Instant::now());
    loop {
        let ended = proc.wait(Duration::from_millis(20));
        let said = std::fs::read_to_string(&log).unwrap();
        let published = said.lines().find_map(|line| line.split_once("published {").map(|(_, rest)| rest));
        let became = match (ended, published.and_then(|rest| rest.split_once('}'))) {
            (Some(code), _) => StartOutcome::Ended(code),
            (None, Some((what, _))) => StartOutcome::Ready(what.to_owned()),
            (None, None) if from.elapsed() > scaled(Duration::from_secs(20)) => StartOutcome::Nothing,
            (None, None) => continue,
        };
        return (became, said);
    }
}

/// Runs every line with both programs; `{FILE}` is replaced by the path of a file with that text.
fn compare(rows: &[(&str, &str)]) {
    if !need_program("etcd") {
        return;
    }
    let records = [("n0.test", DnsRecord::Address(std::net::Ipv4Addr::LOCALHOST))];
    let Some(zone) = Zone::new(&records) else { return };
    let dir = Dir::new();
    let link = dir.path("bin/etcd");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_retune"), &link).unwrap();
    let (mut ready, mut wrong) = (0, Vec::new());
    for (line, text) in rows {
        let file = dir.text_path("file.yml");
        dir.write("file.yml", text);
        let line = line.replace("{FILE}", &file);
        let words: Vec<&str> = QUICK.into_iter().chain(line.split_whitespace()).collect();
        let (theirs, their_log) = start(&zone, &dir, "etcd", &words);
        let (ours, our_log) = start(&zone, &dir, link.to_str().unwrap(), &words);
        ready += usize::from(matches!(theirs, StartOutcome::Ready(_)));
        if ours != theirs {
            let tail = |log: &str| log.lines().rev().take(3).collect::<Vec<_>>().join("\n    ");
            wrong.push(format!(
                "{line} {text:?}\n  etcd {theirs:?}\n    {}\n  ours {ours:?}\n    {}",
                tail(&their_log),
                tail(&our_log)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ready > 0 && ready < rows.len(), "some start and some do not, else nothing is shown");
}

#[test]
fn a_default_that_contradicts_what_was_given_is_refused_where_etcd_refuses_it() {
    let case = "-name x -initial-cluster x=http://127.0.0.1:22901 -listen-peer-urls http://127.0.0.1:22901";
    let mut rows = vec![
        (case, ""),
        ("--initial-advertise-peer-urls http://127.0.0.1:2380", ""),
        ("--listen-peer-urls http://0.0.0.0:2380", ""),
        ("--listen-peer-urls http://0.0.0.0:2380 --name x", ""),
        (
            "--initial-cluster default=http://127.0.0.1:2380 --initial-advertise-peer-urls http://localhost:2380",
            "",
        ),
        ("--listen-client-urls http://0.0.0.0:2379 --advertise-client-urls http://localhost:2379", ""),
        ("--name y --initial-cluster x=http://localhost:2380", ""),
        ("--listen-client-urls http://:2379 --advertise-client-urls http://localhost:2379", ""),
        ("--initial-advertise-peer-urls http://:2380 --name x", ""),
    ];
    if std::env::var_os("RETUNE_TEST_SLOW").is_some() {
        rows.extend([
            ("", ""),
            ("--listen-peer-urls http://127.0.0.1:2385", ""),
            ("--name x --listen-peer-urls http://127.0.0.1:2385", ""),
            ("--listen-peer-urls http://[::]:2380 --name x", ""),
            ("--name x --initial-cluster x=http://127.0.0.1:2380", ""),
            ("--name x --initial-cluster x=http://localhost:2380", ""),
            ("--initial-cluster default=http://localhost:2380,default=http://localhost:2390", ""),
            ("--initial-cluster default=http://localhost:2380", ""),
            ("--listen-client-urls http://0.0.0.0:2379", ""),
            ("--advertise-client-urls http://10.0.0.9:2379", ""),
            ("--name x --initial-advertise-peer-urls http://127.0.0.1:2380", ""),
            ("--name x --initial-cluster x=http://n0.test:2380 --initial-advertise-peer-urls http://127.0.0.1:2380", ""),
            ("--name x --initial-cluster x=http://localhost:2380,y=http://localhost:2380", ""),
            ("--discovery-srv d.test --initial-cluster default=http://localhost:2380", ""),
        ]);
    }
    compare(&rows);
}

#[test]
fn a_settings_file_starts_the_same_cluster_as_under_etcd() {
    let file = "--config-file {FILE}";
    let mut rows = vec![
        (file, "listen-client-urls: http://0.0.0.0:2379\n"),
        ("--config-file {FILE} --name other --data-dir /nowhere", "Name: x\nfrobnicate: {a: 1}\n"),
        (file, "name: x\ninitial-cluster: x=http://127.0.0.1:2390\n"),
        (file, "name: 5\n"),
        ("--config-file /nowhere/etcd.yml", ""),
        (file, "client-transport-security:\n  client-cert-auth: 'yes'\n"),
        (file, "log-outputs: stderr\n"),
        ("--config-file {FILE} --nonsense", "name: x\n"),
    ];
    if std::env::var_os("RETUNE_TEST_SLOW").is_some() {
        rows.extend([
            (file, ""),
            (file, "{\"name\": \"j\", \"heartbeat-interval\": 100}"),
            (file, "name: x\ninitial-advertise-peer-urls: http://127.0.0.1:2380\n"),
            (file, "heartbeat-interval: '100'\n"),
            (file, "heartbeat-interval: 50.5\n"),
            (file, "listen-client-urls: [http://127.0.0.1:1]\n"),
            (file, "listen-client-urls: 127.0.0.1:5\n"),
            (file, "initial-cluster-state: old\n"),
            (file, "name = 'x'\n"),
            ("--config-file {FILE} extra", "name: x\n"),
        ]);
    }
    compare(&rows);
}
