//! The cluster of a member: etcd's rules, etcd's messages.

use super::member::{built, member, status};
use super::*;
use crate::consensus::StartMode;
use crate::tls::TlsFiles;

#[test]
fn a_standalone_member_follows_its_flags() {
    let both = "--initial-advertise-peer-urls http://10.0.0.1:2380 --initial-cluster";
    let got = member(&format!("etcd --name a {both} a=http://10.0.0.1:2380")).consensus;
    assert_eq!(got.peer_urls, ["http://10.0.0.1:2380"]);
    assert_eq!(got.initial_cluster, [("a".to_owned(), "http://10.0.0.1:2380".to_owned())]);
    let got = member("etcd --name a --initial-advertise-peer-urls http://10.0.0.1:2380").consensus;
    assert_eq!(got.initial_cluster, [("a".to_owned(), "http://10.0.0.1:2380".to_owned())]);
    let both = "--initial-advertise-peer-urls http://b:1,http://a:1 --initial-cluster";
    let got = member(&format!("etcd {both} default=http://b:1,default=http://a:1")).consensus;
    assert_eq!(got.peer_urls, ["http://a:1", "http://b:1"], "a name may have several URLs");
}

const THREE: &str =
    "--initial-cluster n0=http://10.0.0.1:2380,n1=http://10.0.0.2:2380,n2=http://10.0.0.3:2380,";

#[test]
fn several_members_found_or_join_a_cluster() {
    let words = format!("{THREE} --listen-peer-urls http://10.0.0.2:2380 --name n1");
    let advertised = "--initial-advertise-peer-urls http://10.0.0.2:2380";
    for (words, start) in [
        (format!("etcd {words} {advertised}"), StartMode::New),
        (format!("retune store {words}"), StartMode::New),
        (format!("etcd {words} {advertised} --initial-cluster-state existing"), StartMode::Join),
        (format!("etcd {words} --initial-cluster-state=existing"), StartMode::Join),
        (format!("retune store {words} --force-new-cluster"), StartMode::ForceNew),
    ] {
        let got = member(&words).consensus;
        let names: Vec<&str> = got.initial_cluster.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names, got.start), (vec!["n0", "n1", "n2"], start), "{words}");
        assert_eq!(got.initial_cluster[2].1, "http://10.0.0.3:2380", "{words}");
        assert_eq!(got.peer_urls, ["http://10.0.0.2:2380"], "{words}");
        assert_eq!(got.listen_peer_urls, got.peer_urls, "{words}");
    }
}

#[test]
fn an_inconsistent_cluster_is_refused_with_the_messages_of_etcd() {
    for (words, says) in [
        (THREE, "couldn't find local name \"default\" in the initial cluster configuration"),
        (
            "--initial-cluster default=http://x:1,b=http://x:1",
            "initial cluster b=http://x:1,default=http://x:1 has duplicate url",
        ),
        (
            "--initial-cluster default=http://x:1 --initial-advertise-peer-urls http://x:2",
            "--initial-cluster has default=http://x:1 but missing from --initial-advertise-peer-urls=http://x:2",
        ),
        (
            "--initial-cluster default=http://x:1 --initial-advertise-peer-urls http://x:1,http://y:1",
            "--initial-advertise-peer-urls has http://y:1 but missing from --initial-cluster=default=http://x:1",
        ),
        (
            "--initial-cluster default=http://127.0.0.1:9,b=http://127.0.0.1:1",
            "--initial-cluster has default=http://127.0.0.1:9 but missing from \
             --initial-advertise-peer-urls=http://localhost:2380",
        ),
        (
            "--name x --initial-cluster x=http://127.0.0.1:22901 --listen-peer-urls http://127.0.0.1:22901",
            "--initial-cluster has x=http://127.0.0.1:22901 but missing from \
             --initial-advertise-peer-urls=http://localhost:2380",
        ),
        (
            "--initial-advertise-peer-urls http://127.0.0.1:2380",
            "--initial-cluster has default=http://localhost:2380 but missing from \
             --initial-advertise-peer-urls=http://127.0.0.1:2380",
        ),
        (
            "--listen-peer-urls http://0.0.0.0:2380",
            "--initial-cluster has default=http://localhost:2380 but missing from \
             --initial-advertise-peer-urls=http://192.0.2.2:2380",
        ),
        (
            "--initial-cluster default=http://127.0.0.1:2380 --initial-advertise-peer-urls http://localhost:2380",
            "--initial-cluster has default=http://127.0.0.1:2380 but missing",
        ),
        ("--name x --initial-advertise-peer-urls http://:2380", "unexpected empty host (http://:2380)"),
    ] {
        let line = format!("etcd {words}");
        let problems = refuse(&line);
        assert!(problems.len() == 1 && problems[0].contains(says), "{line}: {problems:?}");
        assert_eq!(status(&line), 1, "{line}");
    }
}

#[test]
fn one_address_may_be_spelled_in_two_ways() {
    let warnings = |list: &str, own: &str| {
        let listen = "--listen-peer-urls http://0.0.0.0:1";
        let both = format!("--initial-cluster default={list} --initial-advertise-peer-urls {own} {listen}");
        (run(&format!("retune store {both}")).warnings, format!("etcd {both}"))
    };
    let (said, etcd) = warnings("http://127.0.0.1:1", "http://localhost:1");
    assert!(said.is_empty(), "{said:?}");
    assert!(refuse(&etcd)[0].contains("but missing from"), "to etcd localhost is no address");
    let (said, etcd) = warnings("http://n0.example:1", "http://10.0.0.1:1");
    assert!(said.len() == 1 && said[0].contains("n0.example"), "{said:?}");
    assert_eq!(run(&etcd).warnings, said);
}

#[test]
fn a_member_with_data_ignores_the_flags_of_its_founding() {
    let machine = Machine::new().file("data/member/identity", "");
    let data = machine.dir.path().join("data");
    let line = format!("etcd --data-dir {} --name other {THREE}", data.display());
    assert_eq!(built(machine.run(&line)).consensus.initial_cluster.len(), 3);
    assert!(machine.refuse("etcd --name other --initial-cluster a=http://a:1")[0].contains("local name"));
}

#[test]
fn reachable_listen_urls_are_advertised_to_peers() {
    let own = |line: &str| member(line).consensus.peer_urls;
    assert_eq!(own("retune store --listen-peer-urls http://10.0.0.1:7"), ["http://10.0.0.1:7"]);
    for line in [
        "etcd --listen-peer-urls http://10.0.0.1:7",
        "etcd --name x --listen-peer-urls http://[::]:7",
        "retune store --listen-peer-urls http://127.0.0.1:0",
    ] {
        assert_eq!(own(line), ["http://localhost:2380"], "{line}");
    }
    for line in ["etcd --name x", "retune store"] {
        let line = format!("{line} --listen-peer-urls http://0.0.0.0:7");
        assert_eq!(own(&line), ["http://192.0.2.2:7"], "{line}");
        let said = run(&line).notices;
        assert!(said.len() == 1 && said[0].contains("detected default host \"192.0.2.2\""), "{said:?}");
    }
    let got = member("etcd --listen-peer-urls http://127.0.0.1:0,http://localhost:7").consensus;
    assert_eq!(got.listen_peer_urls, ["http://127.0.0.1:0", "http://127.0.0.1:7"]);
}

#[test]
fn the_peer_port_has_its_own_certificate_files() {
    let https =
        "--name n --listen-peer-urls https://127.0.0.1:1 --initial-advertise-peer-urls https://127.0.0.1:1";
    for (words, says) in [
        (
            "",
            "TLS key/cert (--peer-cert-file/--peer-key-file) must be provided for peer url https://127.0.0.1:1",
        ),
        ("--peer-cert-file c", "add --peer-key-file"),
        ("--peer-key-file k", "add --peer-cert-file"),
        ("--peer-cert-file c --peer-key-file k --peer-client-cert-auth", "--peer-trusted-ca-file"),
    ] {
        let problems = refuse(&format!("etcd {https} {words}"));
        assert!(problems.len() == 1 && problems[0].contains(says), "{words}: {problems:?}");
    }
    let path = |name: &str| Some(PathBuf::from(name));
    let pair = TlsFiles { cert: path("c"), key: path("k"), peer: true, ..TlsFiles::default() };
    for (words, expected) in [
        ("", pair.clone()),
        ("--peer-trusted-ca-file a", TlsFiles { trusted_ca: path("a"), client_auth: true, ..pair.clone() }),
        ("--peer-ca-file a", TlsFiles { trusted_ca: path("a"), client_auth: true, ..pair }),
    ] {
        let line = format!("etcd {https} --peer-cert-file c --peer-key-file k {words}");
        let got = member(&line);
        assert_eq!((got.consensus.peer_tls, got.api.tls), (expected, None), "{words}");
    }
}

/// Members move to `https` and back one at a time: each calls those that have moved, even while it listens on `http`.
#[test]
fn the_peer_certificate_is_used_for_dialing_whatever_the_listen_scheme_is() {
    let files = "--peer-cert-file c --peer-key-file k --peer-trusted-ca-file a";
    let path = |name: &str| Some(PathBuf::from(name));
    let (cert, key, trusted_ca) = (path("c"), path("k"), path("a"));
    let expected = TlsFiles { cert, key, trusted_ca, client_auth: true, peer: true, ..TlsFiles::default() };
    for (words, warns) in [
        (
            "--initial-cluster n0=http://127.0.0.1:1 --listen-peer-urls http://127.0.0.1:1",
            "served without TLS",
        ),
        (
            "--initial-cluster n0=http://127.0.0.1:1,n1=https://127.0.0.1:2 --listen-peer-urls http://127.0.0.1:1",
            "only used to call members at https URLs",
        ),
        ("--listen-peer-urls https://127.0.0.1:1", ""),
        ("", "TLS files have no effect: this member knows no others and listens for none"),
    ] {
        let got = run(&format!("retune store --name n0 {words} {files}"));
        match warns {
            "" => assert_eq!(got.warnings, Vec::<String>::new(), "{words}"),
            says => assert!(got.warnings.len() == 1 && got.warnings[0].contains(says), "{:?}", got.warnings),
        }
        let Task::Store(member) = got.task else { panic!("{words}") };
        assert_eq!(member.consensus.peer_tls, expected, "{words}");
    }
    for (words, says) in [
        ("--peer-cert-file c", "add --peer-key-file"),
        ("--peer-key-file k", "add --peer-cert-file"),
        ("--peer-client-cert-auth", "--peer-trusted-ca-file"),
    ] {
        let problems = refuse(&format!("retune store {words}"));
        assert!(problems.len() == 1 && problems[0].contains(says), "{words}: {problems:?}");
    }
}

/// The client port calls nobody, so its files are useless without an `https` URL; that is a warning.
#[test]
fn client_certificate_files_without_an_https_url_are_a_warning() {
    let files = "--cert-file c --key-file k --trusted-ca-file a";
    let got = run(&format!("retune store --listen-client-urls http://127.0.0.1:1 {files}"));
    assert_eq!(got.warnings, ["TLS files have no effect: no URL in --listen-client-urls begins with https"]);
    let both = "--listen-client-urls http://127.0.0.1:1,https://127.0.0.1:2";
    let got = run(&format!("retune store {both} {files}"));
    assert_eq!(got.warnings, ["http://127.0.0.1:1 is served without TLS, although --cert-file is given"]);
    // A proxy calls the members with the same files.
    let got = run(&format!("retune store --proxy on --listen-client-urls http://127.0.0.1:1 {files}"));
    assert_eq!(got.warnings, Vec::<String>::new());
    let Task::Proxy(proxy) = got.task else { panic!("a proxy") };
    assert_eq!((proxy.proxy.api.tls, proxy.proxy.client_tls.cert), (None, Some(PathBuf::from("c"))));
}

/// After `member update`, the flags of a member with data have URLs that the initial list does not.
#[test]
fn a_member_with_data_uses_the_urls_it_advertises() {
    let dir = tempfile::tempdir().unwrap();
    let line = format!(
        "retune store --name n0 --data-dir {} --initial-cluster n0=http://127.0.0.1:1,n1=http://127.0.0.1:2 \
         --initial-advertise-peer-urls https://127.0.0.1:1 --listen-peer-urls http://127.0.0.1:1",
        dir.path().display()
    );
    assert!(!refuse(&line).is_empty());
    std::fs::create_dir_all(dir.path().join("member/identity")).unwrap();
    assert_eq!(member(&line).consensus.peer_urls, ["https://127.0.0.1:1"]);
}

#[test]
fn a_url_that_only_the_list_has_is_advertised_and_logged() {
    for (listed, listens) in
        [("http://127.0.0.1:22901", "http://127.0.0.1:22901"), ("http://10.0.0.1:1", "http://0.0.0.0:1")]
    {
        let got =
            run(&format!("retune store --name x --initial-cluster x={listed} --listen-peer-urls {listens}"));
        let notice = format!("this member advertises {listed}, as in --initial-cluster");
        assert!(got.notices.len() == 1 && got.notices[0].contains(&notice), "{:?}", got.notices);
        assert_eq!(built(got).consensus.peer_urls, [listed]);
    }
    let given = "retune store --name x --initial-cluster x=http://10.0.0.1:1 --initial-advertise-peer-urls http://10.0.0.1:1 \
                 --listen-peer-urls http://0.0.0.0:1";
    assert!(run(given).notices.is_empty() && run("retune store --name x").notices.is_empty());
}

#[test]
fn an_advertised_url_without_a_listener_causes_a_warning() {
    for (line, registered, listens) in [
        (
            "retune store --name x --initial-cluster x=http://10.0.0.1:2380",
            "http://10.0.0.1:2380",
            "http://127.0.0.1:2380",
        ),
        (
            "retune store --initial-advertise-peer-urls http://n0.example:2380",
            "http://n0.example:2380",
            "http://127.0.0.1:2380",
        ),
        ("etcd --listen-peer-urls http://127.0.0.1:2385", "http://localhost:2380", "http://127.0.0.1:2385"),
        (
            "etcd --advertise-client-urls http://10.0.0.1:2379",
            "http://10.0.0.1:2379",
            "http://127.0.0.1:2379",
        ),
        (
            "retune store --advertise-client-urls http://s.example:2379",
            "http://s.example:2379",
            "http://127.0.0.1:2379",
        ),
    ] {
        let said = run(line).warnings;
        let wanted = format!("this member advertises {registered}, but it listens on {listens}");
        assert!(said.len() == 1 && said[0].starts_with(&wanted), "{line}: {said:?}");
    }
    for line in [
        "retune store",
        "etcd",
        "etcd --name x --listen-peer-urls http://0.0.0.0:2380",
        "retune store --listen-client-urls http://0.0.0.0:1 --advertise-client-urls http://s.example:80",
        "retune store --listen-peer-urls http://127.0.0.1:0",
    ] {
        assert!(run(line).warnings.is_empty(), "{line}: {:?}", run(line).warnings);
    }
    let line = "etcd --advertise-client-urls http://0.0.0.0:1 --listen-client-urls http://0.0.0.0:1";
    let said = run(line).warnings;
    assert!(
        said.len() == 1 && said[0].contains("http://0.0.0.0:1 is not an address that others can reach"),
        "{said:?}"
    );
}

#[test]
fn etcd_advertises_this_hosts_address_when_it_listens_on_a_wildcard_and_has_only_the_default() {
    let both = "--listen-client-urls http://0.0.0.0:5 --advertise-client-urls http://localhost:2379";
    assert_eq!(member(&format!("etcd {both}")).consensus.client_urls, ["http://192.0.2.2:5"]);
    assert_eq!(member(&format!("retune store {both}")).consensus.client_urls, ["http://localhost:2379"]);
}

#[test]
fn a_domain_replaces_the_list() {
    for program in ["etcd", "retune store"] {
        let own =
            "--initial-advertise-peer-urls http://10.0.0.1:2380 --listen-peer-urls http://10.0.0.1:2380";
        let got = member(&format!("{program} {own} --discovery-srv example.com. --discovery-srv-name blue"));
        let found = got.discovery.unwrap();
        assert_eq!((found.domain.as_str(), found.service_name.as_deref()), ("example.com", Some("blue")));
        assert!(got.consensus.initial_cluster.is_empty(), "{:?}", got.consensus.initial_cluster);
        assert_eq!(got.consensus.peer_urls, ["http://10.0.0.1:2380"]);
        for (words, says) in [
            ("--discovery-srv example.com --initial-cluster default=http://10.0.0.1:2380", "Choose one of"),
            ("--discovery-srv a/b", "is not a domain"),
            ("--discovery http://d/1", "--discovery-srv DOMAIN"),
        ] {
            let problems = refuse(&format!("{program} {words}"));
            assert!(problems.len() == 1 && problems[0].contains(says), "{words}: {problems:?}");
        }
    }
    let Task::Proxy(proxy) = run("etcd --proxy on --discovery-srv example.com").task else {
        panic!("no proxy")
    };
    assert_eq!((proxy.discovery.unwrap().domain, proxy.proxy.peer_urls.len()), ("example.com".to_owned(), 0));
}

#[test]
fn self_signed_certificates_name_the_advertised_hosts() {
    for (program, extra) in [("etcd", ""), ("retune store", ""), ("etcd", "=true")] {
        let got = member(&format!(
            "{program} --auto-tls{extra} --peer-auto-tls{extra} --data-dir d --listen-client-urls https://0.0.0.0:1 \
             --advertise-client-urls https://store.example:1 --listen-peer-urls https://10.0.0.1:2 \
             --initial-advertise-peer-urls https://10.0.0.1:2 --initial-cluster default=https://10.0.0.1:2"
        ));
        let (clients, peers) = (got.api.tls.unwrap(), got.consensus.peer_tls);
        let hosts = |more: &str| Some(["127.0.0.1", "::1", "localhost", more].map(str::to_owned).to_vec());
        assert_eq!(clients.self_signed, hosts("store.example"), "{program}");
        let mut wanted = hosts("10.0.0.1");
        wanted.as_mut().unwrap().sort();
        assert_eq!(peers.self_signed, wanted, "{program}");
        let path = |name: &str| Some(PathBuf::from(name));
        assert_eq!(
            (clients.cert, clients.key),
            (path("d/fixtures/client/cert.pem"), path("d/fixtures/client/key.pem"))
        );
        assert_eq!(
            (peers.cert, peers.key),
            (path("d/fixtures/peer/cert.pem"), path("d/fixtures/peer/key.pem"))
        );
        assert!(peers.unverified && !clients.unverified && !peers.client_auth && !clients.client_auth);
    }
}

#[test]
fn a_proxy_with_an_authority_verifies_the_members_even_with_self_signed_certificates() {
    let proxy = |words: &str| {
        let line = format!("etcd --proxy on --initial-cluster a=https://127.0.0.1:1 {words}");
        let Task::Proxy(proxy) = run(&line).task else { panic!("no proxy") };
        (proxy.proxy.peer_tls.unverified, proxy.proxy.client_tls.unverified)
    };
    assert_eq!(proxy("--peer-auto-tls --auto-tls"), (true, true));
    assert_eq!(proxy("--peer-auto-tls --auto-tls --peer-trusted-ca-file a"), (false, false));
    assert_eq!(proxy("--auto-tls --trusted-ca-file a"), (false, false));
}

#[test]
fn contradictory_self_signed_settings_are_refused_or_a_warning() {
    let listen = "--listen-client-urls https://127.0.0.1:1 --advertise-client-urls https://127.0.0.1:1";
    let got = run(&format!("etcd {listen} --auto-tls --cert-file c --key-file k"));
    assert_eq!(got.warnings, ["--auto-tls has no effect: --cert-file is given"]);
    // Client certificates can still be required.
    let tls =
        member(&format!("etcd {listen} --auto-tls --client-cert-auth --trusted-ca-file a")).api.tls.unwrap();
    assert!(tls.client_auth && tls.self_signed.is_some() && tls.trusted_ca.is_some());
    let peers = "--listen-peer-urls https://127.0.0.1:2 --initial-advertise-peer-urls https://127.0.0.1:2 \
                 --initial-cluster default=https://127.0.0.1:2";
    for words in
        ["--peer-trusted-ca-file a", "--peer-ca-file a", "--peer-client-cert-auth --peer-trusted-ca-file a"]
    {
        let problems = refuse(&format!("etcd {peers} --peer-auto-tls {words}"));
        assert!(
            problems.len() == 1 && problems[0].contains("come from no authority"),
            "{words}: {problems:?}"
        );
    }
    let warnings = run("etcd --auto-tls").warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("no URL in --listen-client-urls begins with https"));
}

#[test]
fn the_peer_secret_is_read_from_its_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = Machine::new().file("secret", "0123456789abcdef\n").file("short", "hunter2\n");
    let path = machine.dir.path().join("secret");
    let chmod = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let secret = |machine: &Machine, line: &str| match machine.run(line).task {
        Task::Store(member) => member.consensus.peer_secret,
        other => panic!("{line}: {other:?}"),
    };
    chmod(0o600);
    let flag = secret(&machine, &format!("retune store --peer-secret-file {}", path.display()));
    assert!(flag.is_some());
    assert!(!format!("{flag:?}").contains("0123"), "{flag:?}");
    let path_text = path.display().to_string();
    for (variable, line) in [
        ("RETUNE_PEER_SECRET_FILE", "retune store"),
        ("ETCD_PEER_SECRET_FILE", "retune store"),
        ("ETCD_PEER_SECRET_FILE", "etcd"),
    ] {
        assert_eq!(secret(&Machine::new().with(variable, &path_text), line), flag, "{variable} {line}");
    }
    assert_eq!(secret(&Machine::new(), "retune store"), None);
    chmod(0o644);
    let warnings = machine.run(&format!("retune store --peer-secret-file {path_text}")).warnings;
    assert!(warnings.iter().any(|line| line.contains("every user of this machine can read")), "{warnings:?}");
    let short = machine.dir.path().join("short").display().to_string();
    let refused = machine.refuse(&format!("retune store --peer-secret-file {short}"));
    assert!(
        refused[0].starts_with("--peer-secret-file: short: a secret has at least 16 bytes"),
        "{refused:?}"
    );
    assert!(!refused[0].contains("hunter2"), "{refused:?}");
}
