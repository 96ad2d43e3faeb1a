//! etcd behind TLS, with certificates of the test's own authority.

use std::time::Duration;

use crate::support::{Authority, Dir, Etcd, Retune, WAIT_TIMEOUT, eventually};

const BACKENDS: [&str; 2] = ["etcd", "etcdv3"];

fn site() -> Dir {
    let dir = Dir::new();
    dir.resource("a", "{{ getv(\"/app/x\") }}\n", "keys = [\"/app\"]");
    dir
}

/// Starts an etcd whose certificate `authority` signed; with `mutual` it requires client certificates of that
/// authority.
fn etcd(authority: &Authority, mutual: bool) -> Option<Etcd> {
    let (cert, key) = authority.sign("server");
    let ca = authority.ca();
    let mut words = vec!["--cert-file", &cert, "--key-file", &key];
    if mutual {
        words.extend(["--client-cert-auth", "--trusted-ca-file", &ca]);
    }
    let etcd = Etcd::start_with_tls(&words)?;
    etcd.put("/app/x", "two");
    etcd.put3("/app/x", "three");
    Some(etcd)
}

fn expected(backend: &str) -> &'static str {
    if backend == "etcd" { "two\n" } else { "three\n" }
}

#[test]
fn only_a_server_of_the_given_authority_is_trusted() {
    let dir = site();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let Some(etcd) = etcd(&authority, false) else { return };
    let other = Authority::new(&dir, "other").unwrap();
    for backend in BACKENDS {
        let render = || Retune::render(&dir).node(backend, &etcd.tls_url());
        let refused = |words: &[&str]| {
            let done = render().args(words).run().exits(2).within(Duration::from_secs(8));
            done.says("client-ca-keys").says(&etcd.tls_url())
        };
        refused(&["--client-ca-keys", &other.ca()]);
        refused(&[]);
        let plain = Retune::render(&dir).node(backend, &etcd.url().replace("http:", "https:"));
        // Whether the plain server's response or its reset comes first depends on the system; the node is named either
        // way.
        plain.args(&["--client-insecure"]).run().exits(2).says("https://127.0.0.1");
        let bare = etcd.tls_url().replace("https:", "http:");
        Retune::render(&dir).node(backend, &bare).run().exits(2).says(&bare);
        assert!(dir.outputs().is_empty(), "{backend}: {:?}", dir.outputs());
        render().args(&["--client-ca-keys", &authority.ca()]).run().exits(0);
        dir.assert_has("a.conf", expected(backend));
        std::fs::remove_file(dir.out("a.conf")).unwrap();
        render().args(&["--client-insecure"]).run().exits(0).says("is not verified");
        dir.assert_has("a.conf", expected(backend));
        std::fs::remove_file(dir.out("a.conf")).unwrap();
    }
}

#[test]
fn a_server_that_requires_a_certificate_gets_it_or_its_absence_is_reported() {
    let dir = site();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let Some(etcd) = etcd(&authority, true) else { return };
    let (cert, key) = authority.sign("client");
    let (strange, strange_key) = Authority::new(&dir, "other").unwrap().sign("client");
    for backend in BACKENDS {
        let with = |words: &[&str]| {
            let ca = authority.ca();
            Retune::render(&dir)
                .node(backend, &etcd.tls_url())
                .args(&["--client-ca-keys", &ca])
                .args(words)
                .run()
        };
        let wants = "requires a client certificate";
        with(&[]).exits(2).says(wants).says(&etcd.tls_url());
        with(&["--client-cert", &strange, "--client-key", &strange_key]).exits(2).says(wants);
        with(&["--client-cert", &cert]).exits(2).says("--client-key");
        with(&["--client-cert", &cert, "--client-key", &strange_key]).exits(2).says(&cert);
        assert!(dir.outputs().is_empty(), "{backend}: {:?}", dir.outputs());
        with(&["--client-cert", &cert, "--client-key", &key]).exits(0);
        dir.assert_has("a.conf", expected(backend));
        std::fs::remove_file(dir.out("a.conf")).unwrap();
    }
}

#[test]
fn a_daemon_follows_over_tls_with_a_certificate() {
    let dir = site();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let Some(mut etcd) = etcd(&authority, true) else { return };
    let (cert, key) = authority.sign("client");
    let words = ["--client-ca-keys", &authority.ca(), "--client-cert", &cert, "--client-key", &key];
    for backend in BACKENDS {
        let daemon = Retune::watch(&dir).node(backend, &etcd.tls_url()).args(&words).spawn();
        let put = |etcd: &Etcd, value: &str| match backend {
            "etcd" => etcd.put("/app/x", value),
            _ => drop(etcd.put3("/app/x", value)),
        };
        eventually("the first", WAIT_TIMEOUT, || dir.has("a.conf", expected(backend)));
        for round in ["one", "two", "three"] {
            put(&etcd, round);
            eventually("the change", WAIT_TIMEOUT, || dir.has("a.conf", &format!("{round}\n")));
        }
        etcd.stop();
        etcd.start_again();
        put(&etcd, "after a restart");
        eventually("the change after a restart", Etcd::notice(), || dir.has("a.conf", "after a restart\n"));
        daemon.terminate();
    }
}
