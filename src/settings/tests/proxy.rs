//! `--proxy`: the same command line, of which a proxy uses a part, and the effect of the data folder.

use std::fs;
use std::time::Duration;

use super::*;
use crate::api::{ProxyMode, ProxySettings};

fn proxy(invocation: Invocation) -> ProxySettings {
    match invocation.task {
        Task::Proxy(proxy) => proxy.proxy,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_proxy_needs_no_name_and_no_advertised_url() {
    let cluster = "--initial-cluster b=http://b:2,a=http://a:2,a=http://a:3";
    for (program, word, mode) in
        [("etcd", "on", ProxyMode::All), ("retune store", "readonly", ProxyMode::Reads)]
    {
        let got =
            proxy(run(&format!("{program} -proxy {word} -listen-client-urls http://0.0.0.0:1 {cluster}")));
        assert_eq!(got.mode, mode);
        assert_eq!(got.peer_urls, ["http://a:2", "http://a:3", "http://b:2"]);
        assert_eq!(got.api.listen_client_urls, ["http://0.0.0.0:1"]);
        assert_eq!(got.data_dir, PathBuf::from("default.etcd"));
        assert_eq!(
            (got.failure_wait, got.refresh_interval),
            (Duration::from_secs(5), Duration::from_secs(30))
        );
        let second = Duration::from_secs(1);
        assert_eq!(
            (got.dial_timeout, got.write_timeout, got.read_timeout),
            (Some(second), Some(second * 5), None)
        );
    }
    let got = proxy(run("etcd --proxy on"));
    assert_eq!(got.api.listen_client_urls, ["http://127.0.0.1:2379"]);
    assert_eq!(got.peer_urls, ["http://localhost:2380"]);
}

#[test]
fn timeouts_are_milliseconds_and_zero_is_no_limit() {
    let got = proxy(run(
        "etcd --proxy on --proxy-failure-wait 1 --proxy-refresh-interval 2 --proxy-dial-timeout 0 \
         --proxy-write-timeout 0 --proxy-read-timeout 3",
    ));
    let millis = Duration::from_millis;
    assert_eq!((got.failure_wait, got.refresh_interval), (millis(1), millis(2)));
    assert_eq!((got.dial_timeout, got.write_timeout, got.read_timeout), (None, None, Some(millis(3))));
    let problems = refuse("etcd --proxy on --proxy-refresh-interval 0");
    assert!(problems.len() == 1 && problems[0].contains("0 is too few"), "{problems:?}");
}

#[test]
fn client_certificates_are_used_for_members_too_and_peer_certificates_as_a_fallback() {
    let got = proxy(run("etcd --proxy on --cert-file c --key-file k --ca-file a"));
    assert_eq!(got.api.tls, None, "the listener is plain");
    let files = got.client_tls;
    assert_eq!((files.cert, files.trusted_ca, files.peer), (Some("c".into()), Some("a".into()), false));
    assert!(proxy(run("etcd --proxy on")).client_tls.peer);
}

#[test]
fn the_data_folder_overrides_the_flag() {
    let dir = tempfile::tempdir().unwrap();
    let line = |words: &str| format!("retune store --data-dir {} {words}", dir.path().display());
    assert!(matches!(run(&line("")).task, Task::Store(_)));
    fs::create_dir(dir.path().join("proxy")).unwrap();
    let got = run(&line(""));
    assert!(got.warnings[0].contains("already initialized as proxy"), "{:?}", got.warnings);
    assert_eq!(proxy(got).mode, ProxyMode::All);
    assert_eq!(proxy(run(&line("--proxy readonly"))).mode, ProxyMode::Reads);
    fs::create_dir(dir.path().join("member")).unwrap();
    for words in ["", "--proxy on"] {
        let problems = refuse(&line(words));
        assert!(problems.len() == 1 && problems[0].contains("Both member and proxy"), "{problems:?}");
    }
    fs::remove_dir(dir.path().join("proxy")).unwrap();
    let got = run(&line("--proxy on"));
    assert!(got.warnings[0].contains("already initialized as member"), "{:?}", got.warnings);
    assert!(matches!(got.task, Task::Store(_)));
}
