//! `retune register`, `retune register status` and `retune register stop`.

use std::time::Duration;

use super::*;
use crate::client::Trust;
use crate::registrar::{
    CheckAddress, Checks, Deregister, EngineEndpoint, Health, Layout, Lease, OnExit, OwnContainer, Settings,
    Suffix, Value,
};

fn registered(machine: &Machine, words: &str) -> (Register, crate::source::Settings) {
    let invocation = machine.run(&format!("retune register {words}"));
    match invocation.task {
        Task::Register(register) => (*register, invocation.source),
        other => panic!("{words}: {other:?}"),
    }
}

fn registrar(words: &str) -> Settings {
    registered(&Machine::new(), words).0.registrar
}

fn refused(words: &str) -> Vec<String> {
    refuse(&format!("retune register {words}"))
}

/// Asserts that this is refused for one reason, at this place and with this message.
#[track_caller]
fn assert_refused(words: &str, place: &str, says: &str) {
    let problems = refused(words);
    assert!(
        problems.len() == 1 && problems[0].starts_with(&format!("{place}: ")) && problems[0].contains(says),
        "{words}: {problems:#?}"
    );
}

#[test]
fn without_flags_the_registrars_defaults_apply() {
    let (got, source) = registered(&Machine::new(), "");
    assert_eq!(got.registrar, Settings::default());
    assert_eq!((got.listen, got.must_listen, got.adapter), (Vec::new(), false, None));
    assert_eq!(source.nodes, ["http://127.0.0.1:2379"]);
}

#[test]
fn every_flag_reaches_its_setting() {
    let got = registrar(
        "--node-name n1 --label zone=a --label tier=x=y --engine-address tcp://n1:2376 --publish-node=false --ip 10.0.0.9 \
         --internal --explicit --useIpFromLabel ip --tags a,b\\,c --tags d --suffix never --value json --prefix apps/ --ttl \
         1m --ttl-refresh 10 --resync 5 --docker-grace 7 --health-interval 1s --health-timeout 2 --health-rise 3 \
         --health-fall 4 --health-via container --health tcp --deregister on-success --on-exit remove --once --dry-run \
         --retry-attempts 9 --retry-interval 250ms",
    );
    let seconds = Duration::from_secs;
    assert_eq!((got.node.as_deref(), got.engine_address.as_deref()), (Some("n1"), Some("tcp://n1:2376")));
    assert_eq!(
        got.labels.into_iter().collect::<Vec<_>>(),
        [("tier", "x=y"), ("zone", "a")].map(|(a, b)| (a.into(), b.into()))
    );
    assert!(!got.publish_node && got.once && got.dry_run && got.rules.internal && got.rules.explicit);
    assert_eq!((got.rules.ip.as_deref(), got.rules.ip_label.as_deref()), (Some("10.0.0.9"), Some("ip")));
    assert_eq!(got.rules.tags, ["a", "b,c", "d"]);
    assert_eq!(
        (got.rules.suffix, got.rules.value, &*got.rules.prefix),
        (Suffix::Never, Value::Json, "/apps")
    );
    assert_eq!(got.lease, Lease { ttl: Some(seconds(60)), refresh: seconds(10) });
    assert_eq!((got.relist, got.grace), (seconds(5), seconds(7)));
    let checks = Checks {
        interval: seconds(1),
        timeout: seconds(2),
        rise: 3,
        fall: 4,
        via: CheckAddress::Container,
        default: Health::Tcp,
    };
    assert_eq!(got.checks, checks);
    assert_eq!((got.deregister, got.on_exit), (Deregister::OnSuccess, OnExit::Remove));
    assert_eq!((got.attempts, got.pause), (Some(9), Duration::from_millis(250)));
}

#[test]
fn the_store_is_named_with_or_without_a_scheme_and_never_with_a_password() {
    let (_, source) = registered(
        &Machine::new(),
        "--etcd http://a:1,b:2/ --endpoints https://c:3 --username u --password p",
    );
    assert_eq!(source.nodes, ["http://a:1", "http://b:2", "https://c:3"]);
    assert!(source.login.is_some());
    let problems = refused("--etcd http://u:hunter2@a:1");
    assert!(problems[0].contains("--username") && !problems[0].contains("hunter2"), "{problems:?}");
    assert_refused("--etcd consul://a:1", "--etcd", "is not a scheme of a store");
    let machine =
        Machine::new().file("retune/retune.toml", "endpoints = ['a:1']\nlabel = ['zone=a']\nttl = 30\n");
    let (got, source) = registered(&machine, "");
    assert_eq!(
        (source.nodes, got.registrar.lease.ttl),
        (vec!["http://a:1".to_owned()], Some(Duration::from_secs(30)))
    );
    assert_eq!(
        registered(&machine.with("RETUNE_TTL", "40"), "").0.registrar.lease.ttl,
        Some(Duration::from_secs(40))
    );
}

fn engine(machine: &Machine, words: &str) -> EngineEndpoint {
    registered(machine, words).0.registrar.engine
}

#[test]
fn the_engine_comes_from_the_flag_then_dockers_variable_then_an_existing_socket() {
    let url = |machine: &Machine, words: &str| engine(machine, words).url;
    let host = || Machine::new().with("DOCKER_HOST", "tcp://h:2375");
    assert_eq!(url(&host(), "--docker /run/d.sock"), "unix:///run/d.sock");
    assert_eq!(url(&host(), ""), "tcp://h:2375");
    assert_eq!(url(&host().with("RETUNE_ENGINE", "unix:///e"), ""), "unix:///e");
    assert_eq!(url(&Machine::new().with("DOCKER_HOST", "h:2375"), ""), "tcp://h:2375");
    let found = |there: &[&'static str]| {
        let machine = Machine { files: there.to_vec(), ..Machine::new() };
        url(&machine.with("XDG_RUNTIME_DIR", "/run/user/7"), "")
    };
    let (docker, podman, own) =
        ("/var/run/docker.sock", "/run/podman/podman.sock", "/run/user/7/podman/podman.sock");
    assert_eq!(found(&[own, podman, docker]), "unix:///var/run/docker.sock");
    assert_eq!(found(&[own, podman]), "unix:///run/podman/podman.sock");
    assert_eq!(found(&[own]), "unix:///run/user/7/podman/podman.sock");
    assert_eq!(found(&[]), "unix:///var/run/docker.sock");
    assert_refused("--engine ssh://h", "--engine", "forward its socket");
    assert_refused("--engine npipe:////./pipe/docker", "--engine", "not a scheme of a container engine");
    assert_refused("--engine docker.sock", "--engine", "not the address of a container engine");
    let problems = Machine::new().with("DOCKER_HOST", "ssh://h").refuse("retune register");
    assert!(problems.len() == 1 && problems[0].starts_with("DOCKER_HOST: "), "{problems:?}");
}

#[test]
fn engine_certificates_come_from_flags_or_from_dockers_folder() {
    let there = vec!["/certs/ca.pem", "/certs/cert.pem", "/certs/key.pem", "/home/u/.docker/ca.pem"];
    let machine = || Machine { files: there.clone(), ..Machine::new() };
    assert_eq!(
        (engine(&machine().with("DOCKER_CERT_PATH", "/certs"), "").tls, engine(&machine(), "").tls),
        (false, false)
    );
    let full = Trust {
        ca: Some("/certs/ca.pem".into()),
        cert: Some("/certs/cert.pem".into()),
        key: Some("/certs/key.pem".into()),
        ..Trust::default()
    };
    for name in ["DOCKER_TLS_VERIFY", "DOCKER_TLS"] {
        let got = engine(&machine().with(name, "1").with("DOCKER_CERT_PATH", "/certs"), "");
        assert_eq!((got.trust, got.tls), (full.clone(), true), "{name}");
        assert!(!engine(&machine().with(name, ""), "").tls, "{name} is empty");
    }
    let home = engine(&machine().with("DOCKER_TLS_VERIFY", "1"), "");
    assert_eq!(home.trust, Trust { ca: Some("/home/u/.docker/ca.pem".into()), ..Trust::default() });
    let flags = engine(&machine().with("DOCKER_TLS_VERIFY", "1"), "--engine-ca /a");
    assert_eq!((flags.trust, flags.tls), (Trust { ca: Some("/a".into()), ..Trust::default() }, true));
    assert_refused("--engine-cert /c", "--engine-cert", "--engine-key");
    assert_refused("--engine-key /k", "--engine-key", "--engine-cert");
}

#[test]
fn leases_are_whole_seconds_longer_than_their_renewal_interval() {
    let lease = |words: &str| registrar(words).lease;
    let millis = Duration::from_millis;
    assert_eq!(lease("--ttl 30s"), Lease { ttl: Some(millis(30_000)), refresh: millis(10_000) });
    assert_eq!(lease("--ttl 0").ttl, None);
    assert_eq!(lease("--ttl-refresh 19999ms").refresh, millis(19_999));
    assert_refused("--ttl 1500ms", "--ttl", "whole seconds");
    assert_refused("--ttl 500ms", "--ttl", "whole seconds");
    assert_refused("--ttl 10 --ttl-refresh 10", "--ttl-refresh", "sooner");
    assert_refused("--ttl 10 --ttl-refresh 11", "--ttl-refresh", "sooner");
    assert_refused("--ttl-refresh 20s", "--ttl-refresh", "sooner");
    assert_refused("--ttl-refresh 0", "--ttl-refresh", "more than 0");
    assert_refused("--ttl 0 --ttl-refresh 5", "--ttl-refresh", "nothing to renew");
}

#[test]
fn layouts_accept_their_own_options_and_refuse_others() {
    let layout = |words: &str| registrar(words).rules.layout;
    assert_eq!(layout("--layout dockreg"), Layout::Dockreg { directory: "service".to_owned() });
    assert_eq!(layout("--layout dockreg --key /a//b/"), Layout::Dockreg { directory: "a/b".to_owned() });
    assert_eq!(
        layout("--layout skydns --domain cluster.local."),
        Layout::Skydns { domain: "cluster.local".to_owned() }
    );
    assert_eq!(
        layout("--key-template {{name}}"),
        Layout::Template { key: "{{name}}".to_owned(), value: None }
    );
    let both = layout("--key-template k --value-template v");
    assert_eq!(both, Layout::Template { key: "k".to_owned(), value: Some("v".to_owned()) });
    assert_refused("--layout skydns", "--layout", "--domain");
    assert_refused("--layout skydns --domain a..b", "--domain", "is not a domain");
    assert_refused("--layout registrator --key-template k", "--key-template", "keep one");
    assert_refused("--value-template v", "--value-template", "--key-template");
    assert_refused("--key service", "--key", "--layout dockreg");
    assert_refused("--domain d", "--domain", "--layout skydns");
    assert_refused("--layout dockreg --key /", "--key", "not a directory");
    assert_refused("--layout dockreg --value json", "--value", "running");
    assert_refused("--key-template k --value-template v --value json", "--value", "--value-template");
    let machine = Machine::new().file("retune/retune.toml", "key = 'apps'\ndomain = 'd'\n");
    assert_eq!(
        registered(&machine, "").0.registrar.rules.layout,
        Layout::Registrator,
        "said for whoever takes them"
    );
    assert_eq!(
        registered(&machine, "--layout dockreg").0.registrar.rules.layout,
        Layout::Dockreg { directory: "apps".to_owned() }
    );
}

#[test]
fn the_own_container_is_registered_as_dockreg_does() {
    let machine = Machine { root: true, ..Machine::new() };
    let (got, _) = registered(&machine, "--self --port 8000 --port 53,54");
    let settings = got.registrar;
    assert_eq!(settings.own, Some(OwnContainer { container: None, ports: vec![8000, 53, 54] }));
    assert_eq!(settings.rules.layout, Layout::Dockreg { directory: "service".to_owned() });
    assert_eq!((settings.on_exit, settings.publish_node), (OnExit::Remove, false));
    assert_eq!((settings.checks.via, settings.checks.default), (CheckAddress::Container, Health::Http));
    assert_eq!(settings.lease, Lease::default());
    assert_eq!((got.listen, got.must_listen), (Vec::new(), false));
    let (got, _) = registered(
        &machine,
        "--self --container c1 --port 1 --layout registrator --on-exit keep --publish-node --health tcp --health-via \
         published --listen 127.0.0.1:1",
    );
    let settings = got.registrar;
    assert_eq!(settings.own, Some(OwnContainer { container: Some("c1".to_owned()), ports: vec![1] }));
    assert_eq!((settings.rules.layout, settings.on_exit), (Layout::Registrator, OnExit::Keep));
    assert_eq!((settings.checks.via, settings.checks.default), (CheckAddress::Published, Health::Tcp));
    assert!(settings.publish_node && got.listen.len() == 1);
    assert_refused("--self", "--self", "--port");
    assert_refused("--port 80", "--port", "--self");
    assert_refused("--container c", "--container", "--self");
    for port in ["0", "65536", "http", "-1"] {
        assert_refused(&format!("--self --port {port}"), "--port", "from 1 to 65535");
    }
}

#[test]
fn an_unreachable_registered_address_is_refused() {
    for (ip, says) in [
        ("127.0.0.1", "for itself"),
        ("127.1.2.3", "for itself"),
        ("::1", "for itself"),
        ("::ffff:127.0.0.1", "for itself"),
        ("0.0.0.0", "does not belong to a single host"),
        ("::", "does not belong to a single host"),
        ("224.0.0.1", "does not belong to a single host"),
        ("web.example", "is not an address"),
    ] {
        assert_refused(&format!("--ip {ip}"), "--ip", says);
    }
    assert_eq!(registrar("--ip fd00::9").rules.ip.as_deref(), Some("fd00::9"));
}

#[test]
fn all_problems_are_reported_at_once() {
    let problems = refused(
        "--label zone --label =x --ip ::1 --tags {{.Name}} --node-name a/b --health-rise 0 --retry-attempts -2 --relist 0 \
         --layout skydns --ttl 1.5s --self --listen x",
    );
    let starts = [
        "--label: \"zone\"",
        "--label: \"=x\"",
        "--ip: ",
        "--tags: templates",
        "--node-name: ",
        "--health-rise: ",
        "--retry-attempts: ",
        "--relist: must be",
        "--layout: skydns",
        "--ttl: ",
        "--self: ",
        "--listen: ",
    ];
    assert_eq!(problems.len(), starts.len(), "{problems:#?}");
    for start in starts {
        assert!(problems.iter().any(|problem| problem.starts_with(start)), "{start}: {problems:#?}");
    }
}

#[test]
fn it_listens_on_its_users_socket_by_default() {
    let listen = |machine: &Machine, words: &str| {
        let (got, _) = registered(machine, words);
        (got.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), got.must_listen)
    };
    let root = Machine { root: true, ..Machine::new() };
    assert_eq!(listen(&root, ""), ("unix:///run/retune/register.sock".to_owned(), false));
    let user = Machine::new().with("XDG_RUNTIME_DIR", "/run/user/7");
    assert_eq!(listen(&user, ""), ("unix:///run/user/7/retune/register.sock".to_owned(), false));
    assert_eq!(listen(&Machine::new(), ""), (String::new(), false));
    assert_eq!(listen(&root, "--listen none"), (String::new(), true));
    let (all, asked) = listen(&root, "--listen unix:///a --listen /b,:8080,[::1]:1,http://h:2");
    assert_eq!((&*all, asked), ("unix:///a unix:///b 0.0.0.0:8080 [::1]:1 h:2", true));
    for word in ["8080", "unix://a", "h:x", "::1:80", "none,h:1", "h:1/status"] {
        assert_refused(&format!("--listen {word}"), "--listen", "none");
    }
}

#[test]
fn requests_go_to_the_address_the_registrar_listens_on() {
    let at =
        |machine: &Machine, words: &str| match machine.run(&format!("retune register status {words}")).task {
            Task::RegisterStatus(at) => at.to_string(),
            other => panic!("{other:?}"),
        };
    let user = || Machine::new().with("XDG_RUNTIME_DIR", "/run/user/7");
    assert_eq!(at(&user(), ""), "unix:///run/retune/register.sock", "only root's may be there");
    let own = Machine { files: vec!["/run/user/7/retune/register.sock"], ..user() };
    assert_eq!(at(&own, ""), "unix:///run/user/7/retune/register.sock");
    assert_eq!(at(&user(), "--listen 0.0.0.0:1,/s"), "unix:///s");
    assert_eq!(at(&user(), "--listen h:1"), "h:1");
    assert_eq!(run("retune register status --output json").output, Output::Json);
    assert!(refuse("retune register status --listen none")[0].contains("cannot be reached"));
    assert!(refuse("retune register status --ttl 5")[0].contains("it belongs to register"));
}

#[test]
fn a_container_is_stopped_after_the_drain_delay() {
    let stop = |words: &str| match run(&format!("retune register stop {words}")).task {
        Task::RegisterStop(what) => *what,
        other => panic!("{other:?}"),
    };
    let got = stop("web --engine /e --listen /s");
    assert_eq!((&*got.container, got.drain, got.grace), ("web", Duration::from_secs(10), None));
    assert_eq!((got.engine.url, got.at.to_string()), ("unix:///e".to_owned(), "unix:///s".to_owned()));
    let got = stop("--drain 0 --stop-timeout 3s --container web");
    assert_eq!((got.drain, got.grace), (Duration::ZERO, Some(Duration::from_secs(3))));
    assert!(refuse("retune register stop")[0].contains("write the id or name of the container"));
    assert!(refuse("retune register stop")[0].starts_with("CONTAINER: "), "the word of the usage line");
    assert!(refuse("retune register stop one two")[0].starts_with("two: "));
    let filed = Machine::new().file("retune/retune.toml", "container = 'web'\n");
    assert!(
        filed.refuse("retune register stop")[0].contains("write the id or name of the container"),
        "the file names the own container"
    );
}

#[test]
fn help_pages_include_the_commands() {
    let machine = Machine::new();
    for line in ["retune register -h", "retune help register", "retune register --bogus -h"] {
        assert!(machine.page(line).contains("Usage: retune register"), "{line}");
    }
    assert!(machine.page("retune help register stop").contains("--drain"));
    assert!(machine.page("retune man register status").contains("listen"));
    for shell in ["bash", "zsh", "fish"] {
        let script = machine.page(&format!("retune completions {shell}"));
        for word in ["register", "place", "health-rise", "volumes-from", "drain"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert!(machine.page("retune -h").contains("Choose the node"));
}
