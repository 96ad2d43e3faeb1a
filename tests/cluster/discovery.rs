//! Members that find each other through SRV records, compared with etcd with the same records and the same file.

use std::fs::File;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::http::{get, request};
use crate::support::proc::Proc;
use crate::support::programs::need_program;
use crate::support::{Authority, Daemon, Dir, DnsRecord, Retune, WAIT_TIMEOUT, Zone, eventually};

/// Three hosts, and records of their peer and client ports.
fn zone(peers: &'static str, clients: &'static str) -> Option<Zone> {
    let mut records = Vec::new();
    for (number, host) in (1..).zip(["n0.test", "n1.test", "n2.test"]) {
        records.push((host, DnsRecord::Address(Ipv4Addr::new(127, 0, 0, number))));
        records.push((peers, DnsRecord::Srv(host, 2380)));
        records.push((clients, DnsRecord::Srv(host, 2379)));
    }
    Zone::new(&records)
}

fn address(number: usize) -> String {
    format!("127.0.0.{}", number + 1)
}

fn client(number: usize) -> String {
    format!("{}:2379", address(number))
}

fn healthy(number: usize) {
    eventually("a member is healthy", WAIT_TIMEOUT, || {
        get(&client(number), "/health").is_some_and(|body| body.contains("true"))
    });
}

fn member<'d>(zone: &Zone, dir: &'d Dir, number: usize) -> Daemon<'d> {
    let own = address(number);
    Retune::new(dir, &["store", "--discovery-srv", "store.test", "--name", &format!("m{number}")])
        .args(&["--data-dir", &dir.text_path(&format!("m{number}"))])
        .args(&["--initial-advertise-peer-urls", &format!("http://n{number}.test:2380")])
        .args(&["--listen-peer-urls", &format!("http://{own}:2380")])
        .args(&["--listen-client-urls", &format!("http://{own}:2379")])
        .under(&zone.within())
        .spawn()
}

#[test]
fn members_a_proxy_and_a_client_find_the_cluster_by_its_domain() {
    let Some(zone) = zone("_etcd-server._tcp.store.test", "_etcd-client._tcp.store.test") else { return };
    let dir = Dir::new();
    let mut members: Vec<Daemon<'_>> = (0..3).map(|number| member(&zone, &dir, number)).collect();
    (0..3).for_each(healthy);
    let listed: Value = serde_json::from_str(&get(&client(0), "/v2/members").unwrap()).unwrap();
    let mut names: Vec<&str> =
        listed["members"].as_array().unwrap().iter().filter_map(|member| member["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["m0", "m1", "m2"], "each has published its own name: {listed}");
    let form = ("application/x-www-form-urlencoded", "value=found");
    assert_eq!(request(&client(1), "PUT", "/v2/keys/k", Some(form)).unwrap().status, 201);

    let words = ["store", "--proxy", "on", "--discovery-srv", "store.test"];
    let _proxy = Retune::new(&dir, &words)
        .args(&["--listen-client-urls", "http://127.0.0.9:2379", "--data-dir", &dir.text_path("proxy")])
        .under(&zone.within())
        .spawn();
    eventually("the proxy answers", WAIT_TIMEOUT, || {
        get("127.0.0.9:2379", "/v2/keys/k?quorum=true").is_some_and(|body| body.contains("found"))
    });
    let words = ["ctl", "--discovery-srv", "store.test", "--insecure-discovery", "get", "/k"];
    Retune::new(&dir, &words).under(&zone.within()).run().exits(0).prints("found\n");

    // A member with data knows its group without the records.
    zone.remove_records("_etcd-server._tcp.store.test");
    drop(members.remove(0));
    let _again = member(&zone, &dir, 0);
    healthy(0);
}

#[test]
fn a_domain_without_the_member_ends_it_with_a_remedy() {
    let records = [
        ("n0.test", DnsRecord::Address(Ipv4Addr::LOCALHOST)),
        ("_etcd-server._tcp.plain.test", DnsRecord::Srv("n0.test", 2380)),
        ("_etcd-server-ssl._tcp.secure.test", DnsRecord::Srv("n0.test", 2380)),
        ("_etcd-server-ssl._tcp.broken.test", DnsRecord::Broken),
        ("_etcd-server._tcp.broken.test", DnsRecord::Srv("n0.test", 2380)),
        ("_etcd-server-blue._tcp.blue.test", DnsRecord::Srv("n0.test", 2380)),
    ];
    let Some(zone) = Zone::new(&records) else { return };
    let dir = Dir::new();
    for (program, words, own, code, says) in [
        (
            "etcd",
            "--discovery-srv plain.test",
            "http://127.0.0.1:2381",
            1,
            "cannot find local etcd member \"x\" in SRV records",
        ),
        ("etcd", "--discovery-srv plain.test", "http://127.0.0.1:2381", 1, "they name http://n0.test:2380"),
        (
            "retune",
            "--discovery-srv none.test",
            "http://127.0.0.1:2380",
            2,
            "error querying DNS SRV records for _etcd-server-ssl._tcp.none.test.",
        ),
        (
            "etcd",
            "--discovery-srv plain.test",
            "http://nope.test:2380",
            1,
            "cannot look up http://nope.test:2380",
        ),
        (
            "etcd",
            "--discovery-srv secure.test",
            "http://127.0.0.1:2380",
            1,
            "the record says https://n0.test:2380",
        ),
        ("etcd", "--discovery-srv broken.test", "http://127.0.0.1:2380", 1, "start this one again"),
        ("etcd", "--discovery-srv blue.test", "http://127.0.0.1:2380", 1, "error querying DNS SRV records"),
    ] {
        let line =
            if program == "etcd" { Retune::called(&dir, "etcd", &[]) } else { Retune::new(&dir, &["store"]) };
        let words: Vec<&str> = words.split(' ').collect();
        line.args(&words)
            .args(&[
                "--name",
                "x",
                "--initial-advertise-peer-urls",
                own,
                "--data-dir",
                &dir.text_path("refused"),
            ])
            .under(&zone.within())
            .run()
            .exits(code)
            .says(says);
    }
    assert!(
        !dir.path("refused/member").exists(),
        "a refused member leaves nothing behind that would be taken for data"
    );
    let blue = ["--discovery-srv", "blue.test", "--discovery-srv-name", "blue", "--name", "x", "--data-dir"];
    let _blue = Retune::called(&dir, "etcd", &blue)
        .args(&[&dir.text_path("blue"), "--initial-advertise-peer-urls", "http://127.0.0.1:2380"])
        .under(&zone.within())
        .spawn();
    healthy(0);
}

/// Writes a settings file for a member.
fn settings(dir: &Dir, folder: &str, number: usize, ca: &str, (cert, key): &(String, String)) -> String {
    let own = address(number);
    let name = format!("{folder}{number}");
    let text = format!(
        "name: m{number}\n\
         data-dir: {data}\n\
         enable-v2: true\n\
         heartbeat-interval: 50\n\
         election-timeout: 500\n\
         listen-client-urls: http://{own}:2379\n\
         advertise-client-urls: http://{own}:2379\n\
         listen-peer-urls: https://{own}:2380\n\
         initial-advertise-peer-urls: https://n{number}.test:2380\n\
         discovery-srv: store.test\n\
         initial-cluster-token: same\n\
         peer-transport-security:\n  cert-file: {cert}\n  key-file: {key}\n  trusted-ca-file: {ca}\n",
        data = dir.text_path(&name)
    );
    dir.write(&format!("{name}.yml"), &text);
    dir.text_path(&format!("{name}.yml"))
}

/// Returns the members of a cluster of this program, as any of them lists them.
fn cluster(dir: &Dir, program: &str, folder: &str) -> Option<Vec<Value>> {
    let zone = zone("_etcd-server-ssl._tcp.store.test", "_etcd-client._tcp.store.test")?;
    let authority = Authority::new(dir, folder)?;
    let pair = authority.sign("zone");
    let within = zone.within();
    let _members: Vec<Proc> = (0..3)
        .map(|number| {
            let file = settings(dir, folder, number, &authority.ca(), &pair);
            let mut command = Command::new(&within[0]);
            command.args(&within[1..]).args([program, "--config-file", &file]);
            for (name, _) in
                std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD"))
            {
                command.env_remove(name);
            }
            let log = File::create(dir.path(&format!("{folder}{number}.log"))).unwrap();
            Proc::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log))
        })
        .collect();
    (0..3).for_each(healthy);
    let mut members = Vec::new();
    eventually("all members have published their names", WAIT_TIMEOUT, || {
        let body = get(&client(2), "/v2/members").unwrap_or_default();
        let listed: Value = serde_json::from_str(&body).unwrap_or_default();
        members = listed["members"].as_array().cloned().unwrap_or_default();
        members
            .iter()
            .filter(|member| member["clientURLs"].as_array().is_some_and(|urls| !urls.is_empty()))
            .count()
            == 3
    });
    members.sort_by_key(|member| member["name"].to_string());
    Some(members)
}

#[test]
fn the_same_settings_file_and_records_make_the_cluster_that_etcd_makes() {
    if !need_program("etcd") {
        return;
    }
    let dir = Dir::new();
    let Some(theirs) = cluster(&dir, "etcd", "etcd") else { return };
    let link = dir.path("bin/etcd");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_retune"), &link).unwrap();
    let ours = cluster(&dir, link.to_str().unwrap(), "ours").unwrap();
    // Names, ids, peer URLs and client URLs: the ids are computed from the URLs in the records and the token.
    assert_eq!(ours, theirs);
    assert_eq!(ours[1]["peerURLs"], serde_json::json!(["https://n1.test:2380"]), "{ours:?}");
}
