//! Whole containers and their keys, for each generation of Registrator.

use super::super::super::settings::{Rules, Suffix};
use super::*;

/// The keys of a container with the suffix rule of v7 and of later versions; host `h1`, address 10.0.0.9.
struct Row {
    what: &'static str,
    container: Container,
    v7: &'static [&'static str],
    later: &'static [&'static str],
}

impl Row {
    /// Returns a row in which both generations agree.
    fn same(what: &'static str, container: Container, keys: &'static [&'static str]) -> Self {
        Self { what, container, v7: keys, later: keys }
    }
}

fn two_ports() -> Container {
    container("nginx.0", "nginx").with("443", "4443").with("80", "8000")
}

fn dns() -> Container {
    container("dns", "dns").with("53/tcp", "53").with("53/udp", "53")
}

const ONE_OF_EACH: &[&str] =
    &["/nginx-80/h1:nginx.0:80 = 10.0.0.9:8000", "/nginx-443/h1:nginx.0:443 = 10.0.0.9:4443"];

fn ordinary() -> Vec<Row> {
    vec![
        Row::same(
            "one port",
            container("redis.0", "progrium/redis").with("6379", "10000"),
            &["/redis/h1:redis.0:6379 = 10.0.0.9:10000"],
        ),
        Row::same("two ports", two_ports(), ONE_OF_EACH),
        Row::same(
            "two ports with names of their own",
            two_ports()
                .env("SERVICE_443_NAME", "https")
                .env("SERVICE_443_ID", "https.12345")
                .env("SERVICE_80_NAME", "http"),
            &["/http/h1:nginx.0:80 = 10.0.0.9:8000", "/https/https.12345 = 10.0.0.9:4443"],
        ),
        Row::same(
            "two ports, one name",
            two_ports().env("SERVICE_NAME", "web"),
            &["/web-80/h1:nginx.0:80 = 10.0.0.9:8000", "/web-443/h1:nginx.0:443 = 10.0.0.9:4443"],
        ),
        Row::same(
            "two ports, one name, and one of its own",
            two_ports().env("SERVICE_NAME", "web").env("SERVICE_80_NAME", "api"),
            &["/api/h1:nginx.0:80 = 10.0.0.9:8000", "/web-443/h1:nginx.0:443 = 10.0.0.9:4443"],
        ),
        Row::same("one of two ignored", two_ports().env("SERVICE_443_IGNORE", "true"), &ONE_OF_EACH[..1]),
        Row::same(
            "two protocols",
            dns(),
            &["/dns-53/h1:dns:53 = 10.0.0.9:53", "/dns-53/h1:dns:53:udp = 10.0.0.9:53"],
        ),
        Row::same("two protocols, one id", dns().env("SERVICE_53_ID", "x"), &["/dns-53/x = 10.0.0.9:53"]),
        Row::same(
            "a label over the environment",
            container("c", "i").with("80", "8000").env("SERVICE_NAME", "a").label("SERVICE_NAME", "b"),
            &["/b/h1:c:80 = 10.0.0.9:8000"],
        ),
        Row::same(
            "ignored with false",
            container("c", "i").with("80", "8000").env("SERVICE_IGNORE", "false"),
            &[],
        ),
    ]
}

/// Returns containers that are not published, not running, or not in a network of their own.
fn special() -> Vec<Row> {
    let host = |mut container: Container| {
        container.network_mode = "host".to_owned();
        container.ports.clear();
        container
    };
    vec![
        Row {
            what: "one of two published",
            container: container("n", "nginx")
                .with("80", "1234")
                .with("443", "")
                .env("SERVICE_NAME", "nginx")
                .env("SERVICE_ID", "nginx"),
            v7: &["/nginx-80/nginx = 10.0.0.9:1234"],
            later: &["/nginx/nginx = 10.0.0.9:1234"],
        },
        Row::same(
            "stopped and inspected late",
            Container {
                run_state: ContainerState::NotRunning,
                ports: Default::default(),
                ..container("c", "i").with("80", "8000")
            },
            &[],
        ),
        // Later versions registered 443 as well, which nobody had asked for.
        Row::same(
            "on the host",
            host(container("c", "i").with("80", "80").with("443", "")),
            &["/i/h1:c:80 = 10.0.0.9:80"],
        ),
        Row::same(
            "on the host, nothing asked for",
            host(container("c", "i").with("80", "").with("443", "")),
            &["/i-80/h1:c:80 = 10.0.0.9:80", "/i-443/h1:c:443 = 10.0.0.9:443"],
        ),
    ]
}

fn rows() -> Vec<Row> {
    ordinary().into_iter().chain(special()).collect()
}

#[test]
fn every_case_of_registrators_behaviour_is_reproduced() {
    for row in rows() {
        for (suffix, want) in [(Suffix::Exposed, row.v7), (Suffix::Published, row.later)] {
            let rules = Rules { suffix, ..Rules::default() };
            let keys = pairs(&described(&row.container, &rules));
            assert_eq!(keys, want, "{} with {suffix:?}", row.what);
        }
    }
}

#[test]
fn skipped_ports_are_reported_with_registrators_messages() {
    let said = |container: Container| {
        let described = described(&container, &Rules::default());
        ignored(&described).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(said(container("c", "i")), ["no published ports"]);
    assert_eq!(said(container("c", "i").with("80", "1").with("443", "")), ["port 443 not published on host"]);
    assert_eq!(said(two_ports().env("SERVICE_80_IGNORE", "0")), ["service on port 80"]);
    let stopped = rows().into_iter().find(|row| row.what == "stopped and inspected late").unwrap();
    assert_eq!(said(stopped.container), ["no published ports"]);
}

#[test]
fn the_second_port_with_the_same_key_is_refused_and_the_first_keeps_it() {
    let described = described(&dns().env("SERVICE_ID", "x"), &Rules::default());
    assert_eq!(described.services.len(), 1);
    assert_eq!(described.services[0].port, port("53/tcp"));
    let [Skipped::Refused(why)] = described.skipped.as_slice() else { panic!("{:?}", described.skipped) };
    assert!(why.contains("port 53/udp: the key /dns-53/x already belongs to port 53/tcp; give"), "{why}");
}

#[test]
fn a_suffix_rule_applies_to_all_ports_except_those_with_their_own_name() {
    let names = |container: &Container, suffix| {
        let described = described(container, &Rules { suffix, ..Rules::default() });
        described.services.into_iter().map(|service| service.name).collect::<Vec<_>>()
    };
    let one = container("c", "i").with("80", "1");
    assert_eq!(names(&one, Suffix::Always), ["i-80"]);
    assert_eq!(names(&one, Suffix::Published), ["i"]);
    assert_eq!(names(&two_ports(), Suffix::Never), ["nginx", "nginx"]);
    let own = two_ports().env("SERVICE_80_NAME", "api").env("SERVICE_443_NAME", "");
    for suffix in [Suffix::Always, Suffix::Exposed, Suffix::Published] {
        assert_eq!(names(&own, suffix), ["api", "nginx-443"], "{suffix:?}");
    }
}
