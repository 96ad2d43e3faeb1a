//! `retune store` and the name `etcd`: etcd's command line.

use std::time::Duration;

use super::*;
use crate::consensus::StartMode;

const LISTEN: &str = "--listen-client-urls http://127.0.0.1:1";

pub(super) fn built(invocation: Invocation) -> Member {
    match invocation.task {
        Task::Store(member) => *member,
        other => panic!("{other:?}"),
    }
}

pub(super) fn member(line: &str) -> Member {
    built(run(line))
}

pub(super) fn status(line: &str) -> u8 {
    match Machine::new().parse(&line.split_whitespace().collect::<Vec<_>>()) {
        Err(problems) => problems.status(),
        Ok(parsed) => panic!("{line}: {parsed:?}"),
    }
}

#[test]
fn both_names_have_etcds_defaults() {
    for line in ["retune store", "etcd", "/usr/local/bin/etcd"] {
        let got = member(line);
        let consensus = &got.consensus;
        assert_eq!(consensus.name, "default", "{line}");
        assert_eq!(consensus.data_dir, PathBuf::from("default.etcd"), "{line}");
        assert_eq!(consensus.cluster_token, "etcd-cluster", "{line}");
        let own = "http://localhost:2380".to_owned();
        assert_eq!(consensus.initial_cluster, [("default".to_owned(), own.clone())], "{line}");
        assert_eq!(consensus.peer_urls, [own], "{line}");
        assert_eq!(consensus.client_urls, ["http://localhost:2379"], "{line}");
        assert_eq!(consensus.snapshot_count, 100_000, "{line}");
        assert_eq!(consensus.heartbeat, Duration::from_millis(100), "{line}");
        assert_eq!(consensus.election, Duration::from_secs(1), "{line}");
        assert_eq!(consensus.quota, None, "{line}");
        assert_eq!(got.api.listen_client_urls, ["http://127.0.0.1:2379"], "{line}");
        assert_eq!(got.api.max_request_bytes, 10 << 20, "{line}");
        assert_eq!((got.api.cors, got.api.tls), (None, None), "{line}");
        let listens = if !line.starts_with("retune") { &["http://127.0.0.1:2380"][..] } else { &[] };
        assert_eq!(consensus.listen_peer_urls, listens, "{line}");
        assert_eq!(
            (consensus.peer_tls.clone(), consensus.start),
            (crate::tls::TlsFiles { peer: true, ..Default::default() }, StartMode::New),
            "{line}"
        );
        assert_eq!(got.workers, 2, "{line}");
    }
    assert_eq!(run("etcd").dialect, Dialect::Etcd);
    assert_eq!(run("retune store").dialect, Dialect::Retune);
}

#[test]
fn one_or_two_dashes_with_or_without_an_equals_sign_are_the_same() {
    for words in ["-name n1", "--name n1", "-name=n1", "--name=n1"] {
        for program in ["etcd", "retune store"] {
            let got = member(&format!("{program} {words}")).consensus;
            assert_eq!((got.name.as_str(), got.data_dir), ("n1", PathBuf::from("n1.etcd")), "{words}");
            assert_eq!(got.initial_cluster, [("n1".to_owned(), "http://localhost:2380".to_owned())]);
        }
    }
}

#[test]
fn each_name_has_its_own_environment_prefix_and_flags_override_it() {
    let machine = Machine::new().with("ETCD_NAME", "e").with("RETUNE_NAME", "r").with("ETCD_DATA_DIR", "");
    let name = |line: &str| built(machine.run(line)).consensus.name;
    assert_eq!((name("etcd"), name("retune store")), ("e".to_owned(), "r".to_owned()));
    assert_eq!((name("etcd --name f"), name("retune store -name f")), ("f".to_owned(), "f".to_owned()));
    assert_eq!(
        built(machine.run("etcd")).consensus.data_dir,
        PathBuf::from("e.etcd"),
        "an empty one is unset"
    );
}

#[test]
fn an_unknown_variable_is_a_warning_without_its_value() {
    let mut machine = Machine::new();
    machine.variables = vec!["ETCD_NAMW".to_owned(), "ETCD_NAME".to_owned(), "ETCDCTL_API".to_owned()];
    let says = ["unrecognized environment variable ETCD_NAMW; did you mean ETCD_NAME?"];
    assert_eq!(machine.run("etcd").warnings, says);
    assert_eq!(machine.run("retune store").warnings, says);
    assert!(machine.run("retune watch").warnings.is_empty(), "it has nothing to do with etcd's settings");
}

#[test]
fn a_mistyped_flag_ends_etcd_with_2_and_a_wrong_setting_with_1() {
    for (line, code, says) in [
        ("etcd --foo", 2, "flag provided but not defined: -foo"),
        ("etcd --heartbeat-interval=x", 2, "\"x\" is not a whole number"),
        ("etcd --snapshot-count -1", 2, "\"-1\" is not a whole number"),
        ("etcd --enable-v2=foo", 2, "neither true nor false"),
        ("etcd --proxy bogus", 2, "off, readonly, on"),
        ("etcd --initial-cluster-state foo", 2, "new, existing"),
        ("etcd --name", 2, "needs a value"),
        ("etcd --cors foo", 2, "URL scheme must be http, https, unix, or unixs: foo"),
        (
            "etcd --listen-client-urls http://127.0.0.1:1/p",
            2,
            "URL must not contain a path: http://127.0.0.1:1/p",
        ),
        ("etcd --initial-cluster nonsense", 1, "write NAME=URL"),
        ("etcd --listen-peer-urls http://foo.example.com:1", 1, "expected IP in URL for binding"),
        ("etcd extra", 1, "'extra' is not a valid flag"),
        ("etcd --enable-v2 false", 1, "'false' is not a valid flag"),
        (
            "etcd --listen-client-urls http://127.0.0.1:1",
            1,
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ),
        (
            "etcd --advertise-client-urls http://a:1 --listen-client-urls http://foo.example.com:1",
            1,
            "expected IP in URL for binding (http://foo.example.com:1)",
        ),
        (
            "etcd --election-timeout 400",
            1,
            "--election-timeout[400ms] should be at least as 5 times as --heartbeat-interval[100ms]",
        ),
        (
            "etcd --election-timeout 60000",
            1,
            "--election-timeout[60000ms] is too long, and should be set less than 50000ms",
        ),
        ("etcd --heartbeat-interval 0", 1, "--heartbeat-interval must be >0"),
        ("etcd --snapshot-count 0", 1, "0 is too few"),
    ] {
        let problems = refuse(line);
        assert!(problems.len() == 1 && problems[0].contains(says), "{line}: {problems:?}");
        assert_eq!(status(line), code, "{line}");
    }
    assert_eq!(status("etcd --foo extra"), 2, "the mistyped flag decides");
    assert_eq!(status("retune store --election-timeout 400"), 2, "the house has one status for all settings");
}

#[test]
fn unsupported_settings_are_refused_and_not_ignored() {
    for (words, says) in [
        ("--wal-dir /w", "cannot lie apart"),
        ("--discovery http://d/1", "--initial-cluster"),
        ("--client-crl-file /c", "revocation"),
        ("--listen-metrics-urls http://127.0.0.1:9", "client port"),
        ("--log-outputs /var/log/x", "stderr"),
        ("--peer-crl-file /c", "revocation"),
        ("--peer-cert-allowed-cn x", "names in members' certificates"),
        ("--listen-client-urls unix://x:1 --advertise-client-urls http://a:1", "not part of this version"),
    ] {
        for (program, code) in [("etcd", 1), ("retune store", 2)] {
            let line = format!("{program} {words}");
            let problems = refuse(&line);
            assert!(problems.len() == 1 && problems[0].contains(says), "{line}: {problems:?}");
            let code = if words.contains("unix") { 2 } else { code };
            assert_eq!(status(&line), code, "{line}");
        }
    }
}

#[test]
fn harmless_flags_are_accepted_with_or_without_a_warning() {
    for words in [
        "--enable-v2=true",
        "--enable-v2",
        "--auto-tls=false --peer-auto-tls=false",
        "--proxy off",
        "--max-wals 9 --max-snapshots 9",
        "--strict-reconfig-check=false",
        "--logger zap --log-outputs stderr",
        "--logger=capnslog --log-outputs default",
        "--initial-cluster-state existing",
        "--cors *",
    ] {
        assert!(run(&format!("etcd {words}")).warnings.is_empty(), "{words}");
    }
    for (words, says) in [
        ("--enable-v2=false", "the v2 API is the one that is served"),
        ("--peer-cert-file c --peer-key-file k", "only used to call members at https URLs"),
        ("--peer-trusted-ca-file a", "only used to call members at https URLs"),
        ("--experimental-peer-skip-client-san-verification", "not compared"),
        ("--auto-compaction-retention 1", "v3 API"),
        ("-snapshot", "no longer supported - ignoring"),
        ("-force", "no longer supported - ignoring"),
        ("-v -vv", "no longer supported - ignoring"),
        ("--cert-file c --key-file k", "no URL in --listen-client-urls begins with https"),
    ] {
        let warnings = run(&format!("etcd {words}")).warnings;
        assert!(!warnings.is_empty() && warnings[0].contains(says), "{words}: {warnings:?}");
    }
}

#[test]
fn reachable_listen_urls_are_advertised_to_clients() {
    let got = member(&format!("retune store {LISTEN}"));
    assert_eq!(got.consensus.client_urls, ["http://127.0.0.1:1"]);
    for everywhere in ["http://0.0.0.0:1", "http://[::]:1", "http://:1"] {
        let problems = refuse(&format!("retune store --listen-client-urls {everywhere}"));
        assert!(problems[0].contains("--advertise-client-urls is required"), "{problems:?}");
        let got = member(&format!(
            "retune store --listen-client-urls {everywhere} --advertise-client-urls http://s.example:1"
        ));
        assert_eq!(got.consensus.client_urls, ["http://s.example:1"]);
    }
    let got = member("retune store --advertise-client-urls http://b:1,http://a:1,http://a:1");
    assert_eq!(got.consensus.client_urls, ["http://a:1", "http://b:1"], "each once, in order");
}

#[test]
fn https_needs_both_files_and_an_authority_requires_client_certificates() {
    let https = "--listen-client-urls https://127.0.0.1:1 --advertise-client-urls https://127.0.0.1:1";
    for (words, says) in [
        ("", "TLS key/cert (--cert-file/--key-file) must be provided for client url https://127.0.0.1:1"),
        ("--cert-file c", "without its key"),
        ("--key-file k", "without its certificate"),
        ("--cert-file c --key-file k --client-cert-auth", "--trusted-ca-file"),
    ] {
        let problems = refuse(&format!("etcd {https} {words}"));
        assert!(problems.len() == 1 && problems[0].contains(says), "{words}: {problems:?}");
    }
    let tls = |words: &str| {
        member(&format!("etcd {https} --cert-file c --key-file k {words}")).api.tls.expect("TLS is on")
    };
    assert!(!tls("").client_auth);
    for words in ["--trusted-ca-file a", "--ca-file a", "--trusted-ca-file a --client-cert-auth"] {
        let got = tls(words);
        assert_eq!((got.trusted_ca, got.client_auth), (Some(PathBuf::from("a")), true), "{words}");
    }
}

#[test]
fn limits_and_lists_are_parsed() {
    let got = member(
        "retune store --max-request-bytes 1572864 --quota-backend-bytes 8589934592 --snapshot-count 7 --workers 3 \
         --cors http://a:1,http://b:2 --host-whitelist a,b --initial-cluster-token t --data-dir /d",
    );
    assert_eq!((got.api.max_request_bytes, got.consensus.quota), (1_572_864, Some(8 << 30)));
    assert_eq!((got.consensus.snapshot_count, got.workers), (7, 3));
    assert_eq!(got.api.cors.unwrap(), ["http://a:1", "http://b:2"]);
    assert_eq!(member("retune store --cors *").api.cors.unwrap(), ["*"]);
    assert_eq!(got.api.host_whitelist, ["a", "b"]);
    assert_eq!((got.consensus.cluster_token.as_str(), got.consensus.data_dir), ("t", PathBuf::from("/d")));
    for none in ["0", "-1"] {
        assert_eq!(member(&format!("etcd --quota-backend-bytes {none}")).consensus.quota, None);
    }
    assert_eq!(run("etcd --debug").log.level, Level::Debug);
    assert_eq!(run("etcd --log-level warn").log.level, Level::Warn);
}

#[test]
fn one_settings_file_serves_the_store_and_the_renderer() {
    let machine =
        Machine::new().file("retune/retune.toml", "name = \"f\"\nnode = [\"http://n:1\"]\ndebounce = 1\n");
    assert_eq!(built(machine.run("retune store")).consensus.name, "f");
    assert_eq!(built(machine.run("etcd")).consensus.name, "default", "etcd reads no file of ours");
    assert_eq!(machine.run("retune watch").source.nodes, ["http://n:1"]);
}

#[test]
fn etcds_version_output_has_four_lines_and_a_parsable_first() {
    for line in ["etcd -version", "etcd --version", "etcd --foo --version"] {
        let text = Machine::new().page(line);
        let heads: Vec<&str> =
            text.lines().filter_map(|line| line.split_once(": ").map(|(head, _)| head)).collect();
        assert_eq!(heads, ["etcd Version", "Git SHA", "Go Version", "Go OS/Arch"]);
        assert!(
            !text.lines().next().unwrap().contains("0.4"),
            "an old client takes that for an ancient server"
        );
    }
    assert!(Machine::new().page("etcd -h").contains("--listen-client-urls"));
    assert!(Machine::new().page("retune help etcd").contains("ETCD_DATA_DIR"));
    assert!(Machine::new().page("retune store -h").contains("--workers"));
}
