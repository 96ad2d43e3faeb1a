//! Which ports are registered, in which network, and how they are reached.

use super::*;

fn with_bindings(bindings: &[PublishedPort]) -> Container {
    let mut container = container("c", "i");
    container.ports.insert(port("80"), bindings.to_vec());
    container
}

fn value(container: &Container, rules: &Rules) -> String {
    let described = described(container, rules);
    assert_eq!(described.services.len(), 1, "{:?}", described.skipped);
    described.services[0].value.clone()
}

#[test]
fn of_several_bindings_the_first_ipv4_one_counts_or_else_the_first() {
    let rules = Rules::default();
    let of = |bindings: &[PublishedPort]| value(&with_bindings(bindings), &rules);
    assert_eq!(of(&[at("::", "1"), at("0.0.0.0", "2"), at("0.0.0.0", "3")]), "10.0.0.9:2");
    assert_eq!(of(&[at("::", "1"), at("", "2")]), "10.0.0.9:2");
    assert_eq!(of(&[at("2001:db8::7", "1"), at("2001:db8::8", "2")]), "[2001:db8::7]:1");
    assert_eq!(of(&[at("::", "1")]), "10.0.0.9:1");
    assert_eq!(of(&[at("192.168.1.54", "1"), at("0.0.0.0", "2")]), "192.168.1.54:1");
}

#[test]
fn a_host_port_that_is_not_a_single_port_is_refused() {
    for text in ["", "0", "8000-8010", "http", "65536", "+80", " 80", "-1"] {
        let described = described(&with_bindings(&[at("0.0.0.0", text)]), &Rules::default());
        let why = refusal(&described);
        assert!(
            why.starts_with(&format!("port 80/tcp: the engine publishes it at the host port {text:?}")),
            "{why}"
        );
    }
    let described = described(&with_bindings(&[at("nonsense", "80")]), &Rules::default());
    assert!(refusal(&described).contains("\"nonsense\", which is not an address"));
}

#[test]
fn port_0_of_a_container_is_refused() {
    let mut container = container("c", "i");
    container.network_mode = "host".to_owned();
    container.exposed.push(port("0"));
    assert!(refusal(&described(&container, &Rules::default())).contains("there is no port 0"));
}

#[test]
fn a_container_on_the_host_network_has_its_requested_or_else_its_exposed_ports() {
    let mut container = container("c", "i");
    container.network_mode = "host".to_owned();
    container.networks = [("host".to_owned(), Network::default())].into();
    assert_eq!(ignored(&described(&container, &Rules::default())), ["no published ports"]);
    container.exposed = vec![port("80"), port("443"), port("80")];
    let values = |container: &Container, rules: &Rules| -> Vec<String> {
        described(container, rules).services.into_iter().map(|service| service.value).collect()
    };
    assert_eq!(values(&container, &Rules::default()), ["10.0.0.9:80", "10.0.0.9:443"]);
    container.configured_ports.insert(port("80"), vec![at("127.0.0.1", "8080")]);
    assert_eq!(values(&container, &Rules::default()), ["10.0.0.9:80"], "the engine heeds no -p there");
    let internal = Rules { internal: true, ..Rules::default() };
    assert_eq!(values(&container, &internal), ["10.0.0.9:80", "10.0.0.9:443"]);
    assert_eq!(described(&container, &Rules::default()).services[0].inner, Some([10, 0, 0, 9].into()));
}

#[test]
fn a_container_without_a_network_has_no_ports() {
    for internal in [false, true] {
        let mut container = container("c", "i").with("80", "8000");
        container.network_mode = "none".to_owned();
        let described = described(&container, &Rules { internal, ..Rules::default() });
        assert_eq!(described.skipped, [Skipped::Ignored("no published ports".to_owned())]);
        assert!(described.services.is_empty());
    }
}

#[test]
fn internal_uses_every_port_at_the_containers_own_address() {
    let rules = Rules { internal: true, ..Rules::default() };
    let mut container = container("c", "i").with("80", "8000").with("443", "");
    container.exposed.push(port("9000"));
    container.ports.insert(port("7000"), vec![at("0.0.0.0", "7")]);
    assert_eq!(
        pairs(&described(&container, &rules)),
        [
            "/i-80/h1:c:80 = 172.17.0.2:80",
            "/i-443/h1:c:443 = 172.17.0.2:443",
            "/i-7000/h1:c:7000 = 172.17.0.2:7000",
            "/i-9000/h1:c:9000 = 172.17.0.2:9000",
        ]
    );
}

/// Returns `app` in the network of `pod`, which publishes 80 but not 9000.
fn pod() -> (Container, Container) {
    let pod = container("pod", "pause").with("80", "8000").with("22", "2222");
    let mut app = container("app", "app");
    app.network_mode = format!("container:{}", pod.id);
    app.networks.clear();
    app.exposed = vec![port("80"), port("9000")];
    (app, pod)
}

#[test]
fn a_container_in_anothers_network_has_its_own_ports_as_the_other_publishes_them() {
    let (app, pod) = pod();
    let find = |id: &str| (id == pod.id).then(|| pod.clone());
    let rules = Rules::default();
    let described = describe(&app, &context(&rules), &find);
    assert_eq!(pairs(&described), ["/app-80/h1:app:80 = 10.0.0.9:8000"]);
    assert_eq!(ignored(&described), ["port 9000 not published on host"]);
    assert_eq!(described.services[0].inner, Some([172, 17, 0, 2].into()));
    let internal = Rules { internal: true, ..Rules::default() };
    let own = describe(&app, &context(&internal), &find);
    assert_eq!(pairs(&own), ["/app-80/h1:app:80 = 172.17.0.2:80", "/app-9000/h1:app:9000 = 172.17.0.2:9000"]);
}

#[test]
fn a_container_in_the_network_of_one_on_the_host_network_is_on_the_host_network() {
    let (app, mut pod) = pod();
    pod.network_mode = "host".to_owned();
    let rules = Rules::default();
    let described = describe(&app, &context(&rules), &|_| Some(pod.clone()));
    assert_eq!(described.services[1].value, "10.0.0.9:9000");
}

#[test]
fn a_missing_network_container_or_a_cycle_of_them_is_refused() {
    let (app, _) = pod();
    assert!(refusal(&described(&app, &Rules::default())).contains("which the engine does not have"));
    let stopped = Container { run_state: ContainerState::NotRunning, ..app.clone() };
    assert_eq!(ignored(&described(&stopped, &Rules::default())), ["no published ports"]);
    let rules = Rules::default();
    let cycle = describe(&app, &context(&rules), &|_| Some(app.clone()));
    assert!(refusal(&cycle).contains("more than 8 containers share one network"));
}

#[test]
fn a_sidecar_has_its_listed_ports_and_each_missing_one_is_refused() {
    let rules = Rules::default();
    let app = || container("c", "i").with("80", "8000").with("443", "").with("9000", "9");
    let described = described_own(&app(), &rules, &[80]);
    assert_eq!(pairs(&described), ["/i-80/h1:c:80 = 10.0.0.9:8000"]);
    assert!(described.skipped.is_empty(), "{:?}", described.skipped);
    assert_eq!(described_own(&app(), &rules, &[]).services.len(), 2);
    for (ports, want) in
        [(&[443_u16][..], "port 443/tcp: it is not published"), (&[7], "port 7: it is not published")]
    {
        let described = described_own(&app(), &rules, ports);
        let why = refusal(&described);
        assert!(why.starts_with(want), "{why}");
    }
    let none = described_own(&container("c", "i"), &rules, &[80]);
    assert!(refusal(&none).starts_with("port 80: "));
}

#[test]
fn with_suffix_published_a_sidecar_with_one_of_two_ports_needs_no_suffix() {
    use super::super::super::settings::Suffix;
    let rules = Rules { suffix: Suffix::Published, ..Rules::default() };
    let app = container("c", "i").with("80", "8000").with("9000", "9");
    assert_eq!(described_own(&app, &rules, &[80]).services[0].name, "i");
}
