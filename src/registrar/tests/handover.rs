//! What a healthy container keeps while it changes.

use std::net::IpAddr;

use tokio::time::Instant;

use super::super::container::{Container, Network};
use super::super::model::{Model, NodeConfig};
use super::super::settings::Rules;
use super::world::{listed, node_config, running};

const ONE: &str = "aaaabbbbccccddddeeeeffff0000111122223333444455556666777788889999";
const TWO: &str = "bbbbbbbbccccddddeeeeffff0000111122223333444455556666777788889999";

fn keys(model: &mut Model) -> Vec<(String, String)> {
    model.wanted().keys.into_iter().map(|(key, registration)| (key, registration.value)).collect()
}

/// Lists the containers, and responds to every inspection that follows.
fn show(model: &mut Model, containers: &[&Container], now: Instant) {
    model.listed(containers.iter().map(|container| listed(container)).collect(), now);
    while let Some(id) = model.due_inspections(1, now).pop() {
        let found = containers.iter().find(|container| container.id == id);
        model.inspected(&id, Ok(found.map(|container| (*container).clone())), now);
    }
}

/// Takes a new inspection of the container.
fn see(model: &mut Model, container: &Container, now: Instant) {
    model.listed(vec![listed(container)], now);
    for id in model.due_inspections(10, now) {
        let found = if id == container.id { Ok(Some(container.clone())) } else { Err(()) };
        model.inspected(&id, found, now);
    }
}

fn passes(model: &mut Model) {
    for (service_id, probe) in model.probes() {
        model.checked(&service_id, &probe, Ok(()));
    }
}

#[test]
fn a_healthy_service_whose_new_key_belongs_to_another_is_marked_unplaced() {
    let now = Instant::now();
    let mut model = Model::new(node_config());
    let (mut one, mut two) = (running(ONE, 1001, 1), running(TWO, 1002, 2));
    (one.name, two.name) = ("a".into(), "b".into());
    show(&mut model, &[&one, &two], now);
    assert_eq!(keys(&mut model).len(), 2);
    assert!(model.wanted().unplaced.is_empty());
    // They swap their names, and only one of the changes is known yet.
    (one.name, two.name) = ("b".into(), "a".into());
    see(&mut model, &two, now);
    let (a, b) = ("/app/n:a:80".to_owned(), "/app/n:b:80".to_owned());
    let (first, second) = ("198.51.100.7:1001".to_owned(), "198.51.100.7:1002".to_owned());
    assert_eq!(keys(&mut model), [(a.clone(), first.clone())]);
    assert_eq!(model.wanted().unplaced, [(TWO[..12].to_owned(), "80/tcp".to_owned())].into());
    show(&mut model, &[&one, &two], now);
    assert_eq!(keys(&mut model), [(a, second), (b, first)]);
    assert!(model.wanted().unplaced.is_empty());
}

#[test]
fn a_renamed_or_readdressed_container_need_not_pass_its_check_again() {
    let now = Instant::now();
    let rules = Rules { internal: true, ip: None, ..node_config().rules };
    let mut model = Model::new(NodeConfig { rules, ..node_config() });
    let at = |ip: &str| Network { v4: Some(ip.parse().unwrap()), v6: None };
    let mut one = running(ONE, 1001, 1);
    one.env.push(("SERVICE_CHECK_HTTP".into(), "/".into()));
    one.networks.insert("bridge".into(), at("172.17.0.2"));
    show(&mut model, &[&one], now);
    assert!(keys(&mut model).is_empty(), "not before its first check");
    passes(&mut model);
    assert_eq!(keys(&mut model).len(), 1);
    one.name = "other".into();
    one.networks.insert("bridge".into(), at("172.17.0.9"));
    see(&mut model, &one, now);
    assert_eq!(keys(&mut model), [("/app/n:other:80".into(), "172.17.0.9:80".into())]);
    for (service_id, probe) in model.probes() {
        model.checked(&service_id, &probe, Err("nobody is there".into()));
    }
    assert!(keys(&mut model).is_empty(), "it is asked at its new address");
}

#[test]
fn a_host_without_a_route_for_a_moment_keeps_its_address() {
    let now = Instant::now();
    let ip: IpAddr = "198.51.100.9".parse().unwrap();
    let rules = Rules { ip: None, ..node_config().rules };
    let mut model = Model::new(NodeConfig { rules, host: Some(ip), ..node_config() });
    let mut one = running(ONE, 1001, 1);
    one.env.push(("SERVICE_CHECK_HTTP".into(), "/".into()));
    show(&mut model, &[&one], now);
    passes(&mut model);
    assert_eq!(keys(&mut model)[0].1, "198.51.100.9:1001");
    model.set_host(None);
    assert_eq!(keys(&mut model)[0].1, "198.51.100.9:1001");
    model.set_host(Some("198.51.100.10".parse().unwrap()));
    assert_eq!(keys(&mut model)[0].1, "198.51.100.10:1001");
}

#[test]
fn a_container_in_anothers_network_is_unknown_before_that_other_and_its_own_check() {
    let now = Instant::now();
    let mut model = Model::new(node_config());
    let lender = running(TWO, 1002, 1);
    let mut guest = running(ONE, 0, 1);
    guest.ports.clear();
    guest.network_mode = format!("container:{TWO}");
    guest.env.push(("SERVICE_CHECK_TCP".into(), "true".into()));
    model.listed(vec![listed(&guest), listed(&lender)], now);
    let due = model.due_inspections(2, now);
    assert_eq!(due, [ONE, TWO]);
    model.inspected(ONE, Ok(Some(guest.clone())), now);
    assert!(!model.complete());
    model.inspected(TWO, Ok(Some(lender)), now);
    assert!(!model.complete(), "the key that an earlier life left of it must not go before its check");
    passes(&mut model);
    assert!(model.complete());
    assert!(keys(&mut model).iter().any(|(key, _)| key.contains(&guest.name)), "{:?}", keys(&mut model));
}
