//! etcd's settings file.

use super::member::{built, status};
use super::*;

fn with(text: &str) -> Machine {
    Machine::new().file("etcd.yml", text)
}

/// Returns the arguments with `FILE` replaced by the file's path.
fn line(machine: &Machine, words: &str) -> String {
    words.replace("FILE", &machine.dir.path().join("etcd.yml").display().to_string())
}

fn read(text: &str) -> Invocation {
    let machine = with(text);
    let line = line(&machine, "etcd --config-file FILE");
    machine.run(&line)
}

const WHOLE: &str = "\
name: x
data-dir: /d
listen-client-urls: https://127.0.0.1:23901
advertise-client-urls: https://127.0.0.1:23901
listen-peer-urls: http://127.0.0.1:23902
initial-advertise-peer-urls: http://127.0.0.1:23902
initial-cluster: x=http://127.0.0.1:23902,y=http://127.0.0.1:23903
initial-cluster-token: t
Initial-Cluster-State: existing
heartbeat-interval: 50
election-timeout: 500
quota-backend-bytes: -1
snapshot-count: 7
max-request-bytes: 1000
cors: 'http://a:1'
debug: true
logger: zap
log-outputs: [stderr]
grpc-keepalive-min-time: 5000000000
strict-reconfig-check: false
wal-dir: ''
proxy: off
client-transport-security:
  cert-file: /c
  key-file: /k
  trusted-ca-file: /a
  client-cert-auth: true
peer-transport-security:
";

#[test]
fn every_key_of_the_file_is_the_flag_of_its_name() {
    let got = read(WHOLE);
    let path = |name: &str| Some(PathBuf::from(name));
    assert_eq!(got.log.level, Level::Debug);
    assert!(got.notices[0].starts_with("Loading server configuration from"), "{:?}", got.notices);
    assert!(got.warnings.iter().all(|warning| warning.contains("v3 API")), "{:?}", got.warnings);
    let got = built(got);
    let (consensus, api) = (got.consensus, got.api);
    assert_eq!((consensus.name.as_str(), consensus.data_dir), ("x", PathBuf::from("/d")));
    assert_eq!((consensus.cluster_token.as_str(), consensus.start), ("t", crate::consensus::StartMode::Join));
    assert_eq!((consensus.heartbeat.as_millis(), consensus.election.as_millis()), (50, 500));
    assert_eq!((consensus.quota, consensus.snapshot_count, api.max_request_bytes), (None, 7, 1000));
    assert_eq!((consensus.initial_cluster.len(), api.cors.unwrap()), (2, vec!["http://a:1".to_owned()]));
    let tls = api.tls.unwrap();
    assert_eq!(
        (tls.cert, tls.key, tls.trusted_ca, tls.client_auth),
        (path("/c"), path("/k"), path("/a"), true)
    );
}

#[test]
fn with_a_settings_file_flags_and_variables_are_ignored() {
    let machine = with("name: x\n").with("ETCD_DATA_DIR", "/e");
    let got = machine.run(&line(&machine, "etcd --name y --config-file FILE --snapshot-count 3"));
    assert!(
        got.warnings.len() == 1
            && got.warnings[0]
                == "not used beside --config-file, as in etcd: --name, --snapshot-count, ETCD_DATA_DIR",
        "{:?}",
        got.warnings
    );
    let got = built(got).consensus;
    assert_eq!(
        (got.name.as_str(), got.data_dir, got.snapshot_count),
        ("x", PathBuf::from("x.etcd"), 100_000)
    );
    let mut machine = with("name: x\n");
    machine.env.push(("ETCD_CONFIG_FILE", machine.dir.path().join("etcd.yml").display().to_string()));
    assert_eq!(built(machine.run("etcd")).consensus.name, "x");
    let problems = machine.refuse("etcd --nonsense");
    assert!(problems[0].contains("flag provided but not defined: -nonsense"), "{problems:?}");
}

#[test]
fn a_client_url_set_without_its_counterpart_is_accepted_in_a_file() {
    let registered = |text: &str| built(read(text)).consensus.client_urls;
    assert_eq!(registered("listen-client-urls: http://127.0.0.1:5\n"), ["http://localhost:2379"]);
    assert_eq!(registered("listen-client-urls: http://0.0.0.0:5\n"), ["http://192.0.2.2:5"]);
    assert_eq!(built(read("")).consensus.name, "default", "an empty file says nothing");
}

#[test]
fn invalid_file_contents_are_refused_with_status_1() {
    for (text, says) in [
        ("name: 5\n", "name: must be text"),
        ("heartbeat-interval: 'x'\n", "heartbeat-interval: must be a whole number"),
        ("heartbeat-interval: 50.5\n", "heartbeat-interval: \"50.5\" is not a whole number"),
        ("debug: 'yes'\n", "debug: must be true or false"),
        ("listen-client-urls: [http://a:1]\n", "listen-client-urls: must be text"),
        ("log-outputs: stderr\n", "log-outputs: must be a list"),
        ("listen-client-urls: 127.0.0.1:5\n", "URL scheme must be"),
        (
            "client-transport-security:\n  client-cert-auth: 'yes'\n",
            "client-cert-auth: must be true or false",
        ),
        ("client-transport-security: x\n", "must hold cert-file"),
        ("initial-cluster-state: old\n", "new, existing"),
        ("discovery: http://d/1\n", "--discovery-srv DOMAIN"),
        ("name = 'x'\n", "not a map of names and values"),
        ("a: [\n", "of the YAML"),
        ("name: a\nname: b\n", "occurs twice"),
        ("name: x\ninitial-cluster: x=http://127.0.0.1:2390\n", "but missing from"),
    ] {
        let machine = with(text);
        let line = line(&machine, "etcd --config-file FILE");
        let problems = machine.refuse(&line);
        assert!(problems.len() == 1 && problems[0].contains(says), "{text}: {problems:?}");
        let Err(problems) = machine.parse(&line.split_whitespace().collect::<Vec<_>>()) else {
            unreachable!()
        };
        assert_eq!(problems.status(), 1, "{text}");
    }
    assert!(
        refuse("etcd --config-file /nowhere.yml")[0]
            .starts_with("/nowhere.yml: cannot be read: No such file")
    );
    assert_eq!(status("etcd --config-file /nowhere.yml"), 1);
    assert!(refuse("etcd --config-file /dev/zero")[0].contains("larger than 1 MiB"));
}

#[test]
fn a_key_that_etcd_ignores_is_a_warning() {
    for (text, says) in [
        ("nmae: x\n", "nmae: no such setting, so it has no effect; did you mean name?"),
        ("frobnicate: {}\n", "frobnicate: no such setting, so it has no effect"),
        ("cert-file: /c\n", "cert-file: belongs below client-transport-security or peer-transport-security"),
        ("client-transport-security:\n  client-crl-file: /c\n", "client-crl-file: no such setting"),
        ("workers: 3\n", "workers: no such setting"),
        ("config-file: x\n", "config-file: no such setting"),
    ] {
        let said = read(text).warnings;
        assert!(said.len() == 1 && said[0].contains(says), "{text}: {said:?}");
    }
}
