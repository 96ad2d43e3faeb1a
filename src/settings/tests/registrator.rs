//! The name `registrator`.

use std::time::Duration;

use super::*;
use crate::registrar::{Deregister, Layout, Lease, Settings};

fn whole(line: &str) -> (Register, crate::source::Settings) {
    let invocation = run(line);
    assert_eq!(invocation.dialect, Dialect::Registrator);
    match invocation.task {
        Task::Register(register) => (*register, invocation.source),
        other => panic!("{line}: {other:?}"),
    }
}

fn with(flags: &str) -> Settings {
    whole(&format!("registrator {flags} etcd://h:1/p")).0.registrar
}

/// Returns the only problem and the exit status.
fn refused(line: &str) -> (String, u8) {
    match Machine::new().parse(&line.split_whitespace().collect::<Vec<_>>()) {
        Err(problems) if problems.0.len() == 1 => (problems.to_string(), problems.status()),
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn assert_refused(line: &str, says: &str, status: u8) {
    let (problem, got) = refused(line);
    assert!(problem.contains(says) && got == status, "{line}: {got} {problem}");
}

#[test]
fn every_flag_of_the_original_is_accepted() {
    let got = with(
        "-ip 10.0.0.9 -internal -explicit=true --useIpFromLabel l -ttl 60 -ttl-refresh 20 -tags a,b -resync 7 -deregister \
         on-success -retry-attempts 4 -retry-interval 100 -cleanup",
    );
    let seconds = Duration::from_secs;
    assert_eq!((got.rules.ip.as_deref(), got.rules.ip_label.as_deref()), (Some("10.0.0.9"), Some("l")));
    assert!(got.rules.internal && got.rules.explicit && got.publish_node);
    assert_eq!(got.lease, Lease { ttl: Some(seconds(60)), refresh: seconds(20) });
    assert_eq!(
        (got.rules.tags, got.relist, got.deregister),
        (vec!["a".into(), "b".into()], seconds(7), Deregister::OnSuccess)
    );
    assert_eq!((got.attempts, got.pause), (Some(4), Duration::from_millis(100)));
    let plain = with("-internal=false -ip= -resync 0 -retry-attempts -1");
    let wanted = Settings {
        engine: plain.engine.clone(),
        rules: crate::registrar::Rules { prefix: "/p".to_owned(), ..Default::default() },
        ..Settings::default()
    };
    assert_eq!(plain, wanted);
    assert!(!with("-internal -internal=false").rules.internal, "the last one counts");
}

#[test]
fn keys_get_a_lease_unless_disabled() {
    assert_eq!(with("").lease, Lease::default());
    assert_eq!(with("-ttl 0").lease.ttl, None);
    assert_eq!(with("-ttl 0 -ttl-refresh 0").lease.ttl, None);
    for flags in ["-ttl 30", "-ttl-refresh 10", "-ttl 30 -ttl-refresh 0"] {
        assert_refused(&format!("registrator {flags} etcd://h:1/p"), "must be specified together", 1);
    }
    for flags in [
        "-ttl 10 -ttl-refresh 10",
        "-ttl 10 -ttl-refresh 11",
        "-ttl -1 -ttl-refresh 5",
        "-ttl 5 -ttl-refresh -1",
    ] {
        assert_refused(
            &format!("registrator {flags} etcd://h:1/p"),
            "-ttl must be greater than -ttl-refresh",
            1,
        );
    }
}

#[test]
fn the_uri_is_the_only_argument_and_options_come_before_it() {
    assert_refused("registrator", "Missing required argument for registry URI", 2);
    assert_refused("registrator -internal", "Missing required argument for registry URI", 2);
    assert_refused("registrator etcd://h:1 -internal", "Extra unparsed arguments: \n  -internal", 2);
    assert_refused("registrator etcd://h:1 etcd://h:2", "Extra unparsed arguments", 2);
    assert_refused("registrator -bogus etcd://h:1", "flag provided but not defined: -bogus", 2);
    assert_refused("registrator -ttl", "flag needs an argument: -ttl", 2);
    assert_refused(
        "registrator -ttl 20s -ttl-refresh 5 etcd://h:1",
        "invalid value \"20s\" for flag -ttl",
        2,
    );
    assert_refused("registrator -internal=perhaps etcd://h:1", "invalid boolean value", 2);
    assert_refused("registrator ---x etcd://h:1", "bad flag syntax", 2);
    assert_refused("registrator -version etcd://h:1", "flag provided but not defined: -version", 2);
    assert_eq!(whole("registrator -- etcd://h:1").1.nodes, ["http://h:1"]);
}

#[test]
fn contradictory_settings_end_with_status_1() {
    assert_refused("registrator -deregister never etcd://h:1", "always", 1);
    assert_refused("registrator -retry-interval 0 etcd://h:1", "greater than 0", 1);
    assert_refused("registrator -tags {{.Name}} etcd://h:1", "templates in tags", 1);
    assert_refused("registrator -ip 127.0.0.1 etcd://h:1", "for itself", 1);
    let line = ["registrator", "-ip", "::1", "-deregister", "x", "zookeeper://h"];
    let Err(problems) = Machine::new().parse(&line) else { panic!("{line:?}") };
    assert_eq!((problems.0.len(), problems.status()), (3, 1), "{problems}");
}

#[test]
fn version_is_printed_only_as_the_single_argument() {
    let machine = Machine::new();
    assert_eq!(machine.page("registrator --version"), format!("v7 (retune {})\n", env!("CARGO_PKG_VERSION")));
    assert!(machine.page("registrator -h").contains("registrator [options] <registry URI>"));
    for page in ["retune help registrator", "registrator -internal --help x y"] {
        assert!(machine.page(page).contains("--useIpFromLabel"), "{page}");
    }
    assert!(machine.page("retune man registrator").contains("ttl\\-refresh"));
    assert_refused("registrator --version --version", "flag provided but not defined", 2);
}

#[test]
fn the_uri_names_store_and_layout() {
    let nodes = |uri: &str| whole(&format!("registrator {uri}")).1.nodes;
    assert_eq!(nodes("etcd://a:1,b:2/p"), ["http://a:1", "http://b:2"]);
    assert_eq!(nodes("etcds://a:1/p"), ["https://a:1"]);
    for uri in ["etcd://", "etcd:///p", "etcd://:2379/p", "etcd://127.0.0.1"] {
        assert_eq!(nodes(uri), ["http://127.0.0.1:2379"], "{uri}");
    }
    assert_eq!(nodes("etcd://[::1]:7/p"), ["http://[::1]:7"]);
    assert_eq!(nodes("etcd://[::1]/p"), ["http://[::1]:2379"]);
    let rules = |uri: &str| whole(&format!("registrator {uri}")).0.registrar.rules;
    assert_eq!(rules("etcd://h:1").prefix, "/");
    assert_eq!(
        (rules("etcd://h:1/a/b/").prefix, rules("etcd://h:1/a").layout),
        ("/a/b".to_owned(), Layout::Registrator)
    );
    let skydns = rules("skydns2://h:1/cluster.local");
    assert_eq!(
        (skydns.layout, &*skydns.prefix),
        (Layout::Skydns { domain: "cluster.local".to_owned() }, "/")
    );
    for uri in ["skydns2://h:1", "skydns2://h:1/"] {
        assert_refused(&format!("registrator {uri}"), "dns domain required", 1);
    }
    for scheme in ["consul", "consul-unix", "consul-tls", "consulkv", "consulkv-unix", "zookeeper"] {
        assert_refused(&format!("registrator {scheme}://h:1/p"), "etcd://HOST:PORT/PREFIX", 1);
    }
    assert_refused("registrator h:1", "unrecognized adapter", 1);
    assert_refused("registrator etcd://h:x/p", "is not a port", 1);
}

#[test]
fn a_password_in_the_uri_logs_in_and_is_not_shown() {
    let (got, source) = whole("registrator etcd://u:p%40ss@h:1/p");
    let login = source.login.expect("there is a user");
    assert_eq!((&*login.name, login.password.expose()), ("u", "p@ss"));
    assert_eq!(got.adapter, Some(("etcd".to_owned(), "etcd://u:…@h:1/p".to_owned())));
    assert_eq!(source.nodes, ["http://h:1"]);
    assert!(!refused("registrator etcd://u:hunter2@h:x/p").0.contains("hunter2"));
    assert!(!refused("registrator consul://u:hunter2@h:1/p").0.contains("hunter2"));
}

#[test]
fn the_default_engine_is_the_socket_that_registrators_containers_mount() {
    let url = |machine: &Machine| match machine.run("registrator etcd://h:1").task {
        Task::Register(register) => register.registrar.engine.url,
        other => panic!("{other:?}"),
    };
    let with = |there: &[&'static str]| url(&Machine { files: there.to_vec(), ..Machine::new() });
    assert_eq!(with(&["/tmp/docker.sock", "/var/run/docker.sock"]), "unix:///tmp/docker.sock");
    assert_eq!(with(&["/var/run/docker.sock"]), "unix:///var/run/docker.sock");
    assert_eq!(with(&[]), "unix:///tmp/docker.sock");
    assert_eq!(url(&Machine::new().with("DOCKER_HOST", "tcp://h:1")), "tcp://h:1");
}
