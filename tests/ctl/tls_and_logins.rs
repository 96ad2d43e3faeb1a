//! TLS and logins: both programs with one store, which neither changes.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::pair::Outcome;
use crate::support::http::request_as;
use crate::support::programs::need_program;
use crate::support::{Authority, Dir, Etcd};

fn run(program: &Path, words: &[&str]) -> Outcome {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ETCD") {
            command.env_remove(name);
        }
    }
    command.env("ETCDCTL_API", "2").args(words).stdin(Stdio::null());
    let output = command.output().unwrap();
    // Go's client adds this word when its reader sees the alert of a refusal before its writer does.
    let stderr = String::from_utf8_lossy(&output.stderr).replace("readLoopPeekFailLocked: ", "");
    Outcome {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr,
        code: output.status.code().unwrap_or(-1),
    }
}

/// Runs both and fails unless their output is the same.
#[track_caller]
fn same(dir: &Dir, words: &[&str]) -> Outcome {
    let link = dir.path("bin").join("etcdctl");
    if !link.is_symlink() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_retune"), &link).unwrap();
    }
    let (theirs, ours) = (run(Path::new("/usr/bin/env"), &[&["etcdctl"], words].concat()), run(&link, words));
    assert_eq!(ours, theirs, "{words:?}: left is ours");
    ours
}

#[test]
fn certificate_errors_have_the_same_messages() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let (cert, key) = authority.sign("server");
    let Some(etcd) = Etcd::start_with_tls(&["--cert-file", &cert, "--key-file", &key]) else { return };
    if !need_program("etcdctl") {
        return;
    }
    etcd.put("/a", "1");
    let url = etcd.tls_url();
    let strange = Authority::new(&dir, "other").unwrap().ca();
    let get = ["--no-sync", "get", "/a"];
    let with = |words: &[&str]| same(&dir, &[&["--endpoints", url.as_str()], words, &get[..]].concat());
    assert_eq!(with(&["--ca-file", &authority.ca()]).stdout, "1\n");
    assert!(with(&["--ca-file", &strange]).stderr.contains("x509: certificate signed by unknown authority"));
    assert_eq!(with(&[]).code, 4);
    let plain = url.replace("https:", "http:");
    same(&dir, &["--endpoints", &plain, "--no-sync", "get", "/a"]);
    same(&dir, &["--endpoints", &url, "--ca-file", &strange, "get", "/a"]);
    same(&dir, &["--endpoints", &url, "--ca-file", &authority.ca(), "cluster-health"]);
}

#[test]
fn a_server_that_requires_a_certificate_gets_it() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let ca = authority.ca();
    let (cert, key) = authority.sign("server");
    let words = ["--cert-file", &cert, "--key-file", &key, "--client-cert-auth", "--trusted-ca-file", &ca];
    let Some(etcd) = Etcd::start_with_tls(&words) else { return };
    if !need_program("etcdctl") {
        return;
    }
    etcd.put("/a", "1");
    let (cert, key) = authority.sign("client");
    let at = ["--endpoints", &etcd.tls_url(), "--ca-file", &ca, "--no-sync"].map(str::to_owned);
    let at: Vec<&str> = at.iter().map(String::as_str).collect();
    let get = ["get", "/a"];
    assert_eq!(
        same(&dir, &[&at[..], &["--cert-file", &cert, "--key-file", &key], &get].concat()).stdout,
        "1\n"
    );
    assert_eq!(same(&dir, &[&at[..], &get].concat()).code, 4);
}

#[test]
fn credentials_are_sent_and_their_rejection_is_reported() {
    let Some(etcd) = Etcd::start() else { return };
    if !need_program("etcdctl") {
        return;
    }
    let dir = Dir::new();
    etcd.put("/a", "1");
    let put = |path: &str, body: &str| {
        let answer = request_as("", &etcd.address(), "PUT", path, Some(("application/json", body))).unwrap();
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    };
    put("/v2/auth/users/root", &json!({ "user": "root", "password": "canary" }).to_string());
    put("/v2/auth/enable", "");
    let root = "Basic cm9vdDpjYW5hcnk=";
    request_as(root, &etcd.address(), "DELETE", "/v2/auth/roles/guest", None).unwrap();
    let url = etcd.url();
    let with = |words: &[&str]| same(&dir, &[&["--endpoints", url.as_str()], words].concat());
    assert_eq!(with(&["-u", "root:canary", "get", "/a"]).stdout, "1\n");
    let refused = "Error:  110: The request requires user authentication (Insufficient credentials) [0]\n";
    assert_eq!(with(&["get", "/a"]).stderr, refused);
    assert_eq!(with(&["--username", "root:wrong", "get", "/a"]).stderr, refused);
    with(&["member", "list"]);
    assert_eq!(with(&["member", "add", "n", "http://127.0.0.1:9"]).stderr, "unexpected status code 401\n");
    with(&["member", "update", "1234", "http://127.0.0.1:9"]);
    with(&["-o", "json", "rm", "/a"]);
    let shown = with(&["--debug", "-u", "root:canary", "get", "/a"]);
    assert!(!shown.stderr.contains("canary"), "{}", shown.stderr);
}
