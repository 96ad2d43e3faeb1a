//! Debian's etcdctl through the proxy.

use std::process::Command;

use super::test_proxy::{ProxyProgram, TestProxy};
use crate::support::EtcdCluster;
use crate::support::programs::need_program;

fn etcdctl(front: &TestProxy, words: &[&str]) -> (i32, String) {
    let mut command = Command::new("etcdctl");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ETCDCTL") {
            command.env_remove(name);
        }
    }
    let url = format!("http://{}", front.address());
    let output = command.env("ETCDCTL_API", "2").args(["--endpoints", &url]).args(words).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn etcdctl_works_with_and_without_sync() {
    if !need_program("etcdctl") {
        return;
    }
    let Some(cluster) = EtcdCluster::start() else { return };
    let front = TestProxy::start(ProxyProgram::Ours, &cluster.list(), &[]);
    for sync in [&["--no-sync"][..], &[]] {
        let run = |words: &[&str]| etcdctl(&front, &[sync, words].concat());
        let key = format!("/etcdctl/{}", sync.len());
        assert_eq!(run(&["set", &key, "one"]), (0, "one\n".to_owned()));
        assert_eq!(run(&["get", "--quorum", &key]), (0, "one\n".to_owned()));
        assert_eq!(run(&["update", &key, "two"]), (0, "two\n".to_owned()));
        assert_eq!(run(&["set", "--swap-with-value", "two", &key, "three"]), (0, "three\n".to_owned()));
        assert_eq!(run(&["mk", &key, "x"]).0, 4);
        let (code, text) = run(&["get", "/none"]);
        assert!(code == 4 && text.contains("100: Key not found"), "{code} {text}");
        let (code, text) = run(&["ls", "--recursive", "/etcdctl"]);
        assert!(code == 0 && text.contains(&key), "{code} {text}");
        assert_eq!(run(&["rm", &key]), (0, "PrevNode.Value: three\n".to_owned()));
        let (code, text) = run(&["member", "list"]);
        assert!(code == 0 && text.lines().count() == 3 && text.contains("isLeader=true"), "{code} {text}");
    }
    let (code, text) = etcdctl(&front, &["cluster-health"]);
    assert!(code == 0 && text.ends_with("cluster is healthy\n"), "{code} {text}");
}
