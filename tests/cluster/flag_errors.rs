//! Errors in the flags of a group: etcd and this program refuse the same, with the same messages.

use std::process::{Command, Stdio};

use crate::support::programs::need_program;
use crate::support::{Dir, Retune};

const PORTS: [&str; 6] = [
    "--listen-client-urls",
    "http://127.0.0.1:0",
    "--advertise-client-urls",
    "http://127.0.0.1:1",
    "--listen-peer-urls",
    "http://127.0.0.1:0",
];

/// Returns etcd's final error, without its lookups.
fn etcds(dir: &Dir, words: &[&str]) -> String {
    let mut command = Command::new("etcd");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ETCD") {
            command.env_remove(name);
        }
    }
    command.args(["--logger", "capnslog", "--data-dir", &dir.text_path("theirs")]).args(PORTS).args(words);
    let output = command.current_dir(dir.path("")).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let log = String::from_utf8_lossy(&output.stderr);
    let last = log.lines().filter_map(|line| line.split_once(" C | etcdmain: ")).next_back();
    let (_, says) = last.unwrap_or_else(|| panic!("no last words: {log}"));
    says.split(" (resolved urls").next().unwrap().to_owned()
}

#[test]
fn an_inconsistent_cluster_is_refused_as_etcd_refuses_it() {
    if !need_program("etcd") {
        return;
    }
    let one = "http://127.0.0.1:9";
    let dir = Dir::new();
    for words in [
        &["--name", "n6", "--initial-cluster", "a=http://127.0.0.1:9"][..],
        &["--name", "n6", "--initial-cluster", "a=http://127.0.0.1:9", "--initial-cluster-state", "existing"],
        &["--initial-cluster", "default=http://127.0.0.1:9,b=http://127.0.0.1:8"],
        &[
            "--initial-cluster",
            "default=http://127.0.0.1:9",
            "--initial-advertise-peer-urls",
            "http://127.0.0.1:7",
        ],
        &[
            "--initial-cluster",
            "default=http://127.0.0.1:9",
            "--initial-advertise-peer-urls",
            "http://127.0.0.1:9,http://127.0.0.1:7",
        ],
        &[
            "--initial-cluster",
            "default=http://127.0.0.1:9,b=http://127.0.0.1:9",
            "--initial-advertise-peer-urls",
            one,
        ],
        &["--initial-cluster", "default=ftp://127.0.0.1:9", "--initial-advertise-peer-urls", one],
    ] {
        let says = etcds(&dir, words);
        // An invalid list of URLs has another prefix there.
        let says = says.strip_prefix("error setting up initial cluster: ").unwrap_or(&says);
        // Etcd shows another flag as the cluster here.
        let says = says.split("--initial-cluster=").next().unwrap();
        Retune::called(&dir, "etcd", &PORTS).args(words).run().exits(1).says(says);
    }
}

#[test]
fn two_spellings_of_an_address_are_equal_and_an_extra_comma_is_ignored() {
    let dir = Dir::new();
    // For etcd `localhost` is another address than 127.0.0.1.
    let (etcd, ours) = (Retune::called(&dir, "etcd", &PORTS), Retune::new(&dir, &["store"]).args(&PORTS));
    for (program, cluster) in [(etcd, "default=http://127.0.0.1:9,"), (ours, "default=http://localhost:9")] {
        let words = ["--initial-cluster", cluster, "--initial-advertise-peer-urls", "http://127.0.0.1:9"];
        // The data in a folder would take precedence over the flags.
        let folder = dir.text_path(cluster.trim_end_matches(',').rsplit('/').next().unwrap());
        let member = program.args(&words).args(&["--data-dir", &folder]).spawn();
        member.eventually_says("ready to serve client requests");
        member.terminate();
    }
}
