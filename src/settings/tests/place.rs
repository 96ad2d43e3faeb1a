//! `retune place`.

use super::*;
use crate::placement::{ExpressionKind, Filter, PortBinding, Strategy};

fn place(words: &str) -> PlaceSettings {
    match run(&format!("retune place {words}")).task {
        Task::Place(place) => *place,
        other => panic!("{words}: {other:?}"),
    }
}

#[track_caller]
fn assert_refused(words: &str, place: &str, says: &str) {
    let problems = refuse(&format!("retune place {words}"));
    let fits =
        problems.len() == 1 && problems[0].starts_with(&format!("{place}: ")) && problems[0].contains(says);
    assert!(fits, "{words}: {problems:#?}");
}

fn ports(words: &str) -> Vec<String> {
    let shown = |PortBinding { ip, host_port, protocol }: PortBinding| format!("{ip}>{host_port}/{protocol}");
    place(words).request.ports.into_iter().map(shown).collect()
}

#[test]
fn expressions_keep_their_order_and_need_a_known_kind() {
    let got = place(
        "-e constraint:zone==a --env affinity:container!=web-* -e whitelist:node==a|b -e reschedule:off",
    )
    .request;
    let wanted = [
        (ExpressionKind::Constraint, "zone==a".to_owned()),
        (ExpressionKind::Affinity, "container!=web-*".to_owned()),
        (ExpressionKind::Whitelist, "node==a|b".to_owned()),
    ];
    assert_eq!(got.expressions.expressions, wanted);
    assert_eq!(got.expressions.reschedule, ["off"]);
    assert_refused("-e zone==a", "-e", "constraint:");
}

#[test]
fn ports_are_parsed_as_docker_run_parses_them() {
    for (words, wanted) in [
        ("-p 80", vec![">/tcp"]),
        ("-p 8080:80", vec![">8080/tcp"]),
        ("-p 127.0.0.1:8080:80", vec!["127.0.0.1>8080/tcp"]),
        ("-p 127.0.0.1::80", vec!["127.0.0.1>/tcp"]),
        ("-p [::1]:8080:80/udp", vec!["::1>8080/udp"]),
        ("-p ::1:8080:80", vec!["::1>8080/tcp"]),
        ("-p 53:53/UDP -p 53:53", vec![">53/udp", ">53/tcp"]),
        ("-p 8000-8002:8000-8002", vec![">8000/tcp", ">8001/tcp", ">8002/tcp"]),
        ("-p 8000-8010:80", vec![">8000-8010/tcp"]),
        ("--publish 3000-3001", vec![">/tcp", ">/tcp"]),
    ] {
        assert_eq!(ports(words), wanted, "{words}");
    }
    for text in [
        "x",
        "80:",
        ":",
        "0",
        "0:80",
        "65536:80",
        "80:70000",
        "host:80:80",
        "1.2.3:80:80",
        "2-1:2-1",
        "1-5000:1-5000",
    ] {
        assert_refused(&format!("-p {text}"), "-p", "is not a port");
    }
    assert_refused("-p 80/icmp", "-p", "is not a protocol");
    assert_refused("-p 80-81:90-93", "-p", "differ in length");
}

#[test]
fn published_ports_are_also_exposed_on_the_host_network() {
    let got = place("--net host --expose 80 --expose 53/udp,80 -p 8443:443 -p 8080:80").request;
    assert!(got.host_network);
    assert_eq!(got.exposed, ["80/tcp", "53/udp", "443/tcp"]);
    let got = place("--network container:db").request;
    assert_eq!((got.host_network, got.network_of.as_deref()), (false, Some("db")));
    assert_eq!(place("--net backend").request.network_of, None);
    assert_refused("--expose x", "--expose", "not a port of a container");
    assert_refused("--expose 80-81", "--expose", "not a port of a container");
}

#[test]
fn sizes_and_cpus_are_parsed_as_docker_does() {
    let asked = |words: &str| (place(words).request.memory, place(words).request.cpus);
    assert_eq!(asked("-m 512m -c 2"), (512 << 20, 2));
    assert_eq!(asked("--memory 1g --cpus 1.5"), (1 << 30, 2));
    assert_eq!(asked("-m 65536 --cpu-shares 3.0"), (65536, 3));
    assert_eq!(asked("-m 0 -c 0"), (0, 0));
    assert_eq!(asked(""), (0, 0));
    assert_refused("-m lots", "-m", "is not a size");
    assert_refused("-c -1", "-c", "number of processors");
    assert_refused("-c many", "-c", "number of processors");
    assert_refused("-c 1.x", "-c", "number of processors");
}

#[test]
fn the_choice_follows_strategy_filters_and_compatibility() {
    let got = place("");
    assert_eq!(
        (got.rules.strategy, got.rules.dialect, got.rules.filters),
        (Strategy::Spread, crate::placement::Dialect::Plain, Filter::ALL.to_vec())
    );
    assert!(!got.all && !got.why && !got.address);
    let got = place(
        "--strategy binpacking --compat swarm --filter constraint,health --filter port --all --address",
    );
    assert_eq!(
        (got.rules.strategy, got.rules.dialect),
        (Strategy::Binpack, crate::placement::Dialect::Swarm)
    );
    assert_eq!(got.rules.filters, [Filter::Constraint, Filter::Health, Filter::Port]);
    assert!(got.all && got.address);
    let got = place("--volumes-from data:ro --link db:db --link cache").request;
    assert_eq!(
        (got.volumes_from, got.links),
        (vec!["data:ro".to_owned()], vec!["db:db".to_owned(), "cache".to_owned()])
    );
    assert_refused("--filter colour", "--filter", "filter not supported");
    assert_refused("--why --all", "--why", "do not go with it");
    assert_refused("--why --address", "--why", "do not go with it");
}

#[test]
fn the_store_settings_are_those_of_a_registrar() {
    let got =
        run("retune place --etcd http://a:1,b:2 --username u --password p --backend-timeout 2 --output json");
    assert_eq!(
        (got.source.nodes, got.output),
        (vec!["http://a:1".to_owned(), "http://b:2".to_owned()], Output::Json)
    );
    assert!(got.source.login.is_some() && got.source.timeout.as_secs() == 2);
}

#[test]
fn a_file_filter_in_the_settings_file_is_not_a_node_filter() {
    let machine = Machine::new().file("retune/retune.toml", "filter = '*.yaml'\nendpoints = ['a:1']\n");
    let got = machine.run("retune place");
    assert_eq!(got.source.nodes, ["http://a:1"]);
    assert!(matches!(got.task, Task::Place(place) if place.rules.filters == Filter::ALL));
    assert_eq!(machine.run("retune render").source.filter, "*.yaml");
}
