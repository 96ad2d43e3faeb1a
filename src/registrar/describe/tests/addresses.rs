//! Which address is registered, and which never.

use super::super::host_address;
use super::*;

fn web() -> Container {
    container("c", "i").with("80", "8000")
}

fn ip(container: &Container, rules: &Rules) -> String {
    let described = described(container, rules);
    assert_eq!(described.services.len(), 1, "{:?}", described.skipped);
    described.services[0].ip.clone()
}

fn with_address(text: &str) -> Rules {
    Rules { ip: Some(text.to_owned()), ..Rules::default() }
}

fn internal() -> Rules {
    Rules { internal: true, ..Rules::default() }
}

#[test]
fn the_address_comes_from_the_label_then_the_rules_then_the_container_then_the_host() {
    let mut container = web();
    assert_eq!(ip(&container, &Rules::default()), "10.0.0.9");
    container.ports.insert(port("80"), vec![at("192.168.1.54", "8000")]);
    assert_eq!(ip(&container, &Rules::default()), "192.168.1.54");
    assert_eq!(ip(&container, &internal()), "172.17.0.2");
    assert_eq!(ip(&container, &Rules { internal: true, ..with_address("10.9.9.9") }), "10.9.9.9");
    let rules = Rules { ip_label: Some("weave".to_owned()), internal: true, ..with_address("10.9.9.9") };
    assert_eq!(ip(&container.label("weave", "10.3.0.7/24"), &rules), "10.3.0.7");
}

#[test]
fn a_container_without_the_label_is_reported_once_and_registered_without_it() {
    let rules = Rules { ip_label: Some("weave".to_owned()), ..Rules::default() };
    let described = described(&container("c", "i").with("80", "1").with("90", "2"), &rules);
    assert_eq!(described.services.len(), 2);
    assert_eq!(described.services[0].ip, "10.0.0.9");
    assert_eq!(ignored(&described).len(), 1);
    assert!(ignored(&described)[0].starts_with("label \"weave\""));
}

#[test]
fn on_a_user_defined_network_a_published_port_has_the_hosts_address() {
    let mut container = web();
    container.network_mode = "shop_default".to_owned();
    container.networks = [("shop_default".to_owned(), network("172.20.0.3"))].into();
    let described = described(&container, &Rules::default());
    assert_eq!(pairs(&described), ["/i/h1:c:80 = 10.0.0.9:8000"]);
    assert_eq!(described.services[0].inner, Some([172, 20, 0, 3].into()));
}

#[test]
fn an_unreachable_address_is_refused_with_a_remedy_wherever_it_comes_from() {
    let bad = ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1", "[::1]"];
    let labelled = Rules { ip_label: Some("ip".to_owned()), ..Rules::default() };
    for ip in bad {
        let from_label = described(&web().label("ip", ip), &labelled);
        let why = refusal(&from_label);
        assert!(why.starts_with("port 80/tcp: the label \"ip\" is ") && why.contains("--ip"), "{why}");
        let from_rules = described(&web(), &with_address(ip));
        let why = refusal(&from_rules);
        assert!(why.starts_with("port 80/tcp: --ip is ") && why.contains("others reach this host"), "{why}");
    }
    for ip in &bad[..5] {
        let rules = Rules::default();
        let ground = DescribeContext { host: Some(ip.parse().unwrap()), ..context(&rules) };
        let why = refusal(&describe(&web(), &ground, &no_container)).to_owned();
        assert!(why.contains("the address of this host is ") && why.contains("--ip"), "{why}");
        let mut inner = web();
        let network = Network { v4: None, v6: Some(ip.parse().unwrap()) };
        inner.networks.insert("bridge".to_owned(), network);
        assert!(refusal(&described(&inner, &internal())).contains("the container's own address is "));
    }
    let mut local = web();
    local.ports.insert(port("80"), vec![at("127.0.0.1", "8000")]);
    assert!(refusal(&described(&local, &Rules::default())).contains("published at is 127.0.0.1"));
}

#[test]
fn a_host_without_an_address_and_an_empty_one_are_refused() {
    let rules = Rules::default();
    let ground = DescribeContext { host: None, ..context(&rules) };
    assert!(refusal(&describe(&web(), &ground, &no_container)).contains("no address of this host was found"));
    assert!(refusal(&described(&web(), &with_address(" "))).contains("--ip is empty"));
    let labelled = Rules { ip_label: Some("ip".to_owned()), ..Rules::default() };
    assert!(refusal(&described(&web().label("ip", "/24"), &labelled)).contains("the label \"ip\" is empty"));
}

#[test]
fn a_valid_host_name_is_used_unchanged() {
    for name in ["web.example", "web", "a-b.example.", "h_1.example", "1host"] {
        assert_eq!(ip(&web(), &with_address(name)), name);
    }
    assert_eq!(ip(&web(), &with_address("[2001:DB8::7]")), "2001:db8::7");
    assert_eq!(described(&web(), &with_address("2001:db8::7")).services[0].value, "[2001:db8::7]:8000");
    let long = "a".repeat(64);
    for text in
        ["a b", "a/b", "10.0.0", "300.1.1.1", "a..b", "-a", "a-", "fe80::1%eth0", "http://x", "a:80", &long]
    {
        let refused = described(&web(), &with_address(text));
        assert!(refusal(&refused).contains("which is neither an address nor a host name"), "{text}");
    }
    for text in ["localhost", "LocalHost.", "x.localhost"] {
        assert!(
            refusal(&described(&web(), &with_address(text))).contains("a different machine on each host"),
            "{text}"
        );
    }
}

#[test]
fn the_containers_address_comes_from_its_mode_its_label_or_its_only_network() {
    let mut container = web();
    container.network_mode = "front".to_owned();
    container.networks =
        [("back".to_owned(), network("172.21.0.3")), ("front".to_owned(), network("172.20.0.3"))].into();
    assert_eq!(ip(&container, &internal()), "172.20.0.3");
    let labelled = container.clone().label("SERVICE_NETWORK", "back");
    assert_eq!(ip(&labelled, &internal()), "172.21.0.3");
    let wrong = described(&container.clone().label("SERVICE_NETWORK", "side"), &internal());
    assert!(refusal(&wrong).contains("SERVICE_NETWORK names \"side\", and the container is in back, front"));

    container.network_mode = "0123456789abcdef".to_owned();
    let unclear = described(&container, &internal());
    assert!(
        refusal(&unclear)
            .contains("(back, front); say which address is meant with the label SERVICE_NETWORK")
    );
    assert_eq!(described(&container, &Rules::default()).services[0].inner, None);
    container.networks.remove("back");
    assert_eq!(ip(&container, &internal()), "172.20.0.3");
    container.networks.clear();
    assert!(refusal(&described(&container, &internal())).contains("is in no network"));
    container.networks = [("macvlan".to_owned(), Network::default())].into();
    assert!(refusal(&described(&container, &internal())).contains("no address in the network macvlan"));
}

#[test]
fn a_stopped_container_without_an_address_is_not_an_error() {
    let mut container = Container { run_state: ContainerState::NotRunning, ..web() };
    container.networks = [("bridge".to_owned(), Network::default())].into();
    let described = described(&container, &internal());
    assert_eq!(ignored(&described), ["port 80 has no address while it is not running"]);
    assert_eq!(described.skipped.len(), 1);
}

#[test]
fn a_network_with_ipv6_only_is_sufficient() {
    let mut container = web();
    let network = Network { v4: None, v6: Some("2001:db8::5".parse().unwrap()) };
    container.networks = [("bridge".to_owned(), network)].into();
    assert_eq!(described(&container, &internal()).services[0].value, "[2001:db8::5]:80");
}

#[test]
fn the_detected_host_address_is_not_a_loopback_address() {
    // A machine without a route has none, which is a valid result too.
    let Some(ip) = host_address() else { return };
    assert!(!ip.is_loopback() && !ip.is_unspecified());
    std::net::UdpSocket::bind((ip, 0)).unwrap();
}
