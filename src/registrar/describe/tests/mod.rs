//! What a container becomes, rule by rule.

mod addresses;
mod attributes;
mod compatibility;
mod layouts;
mod ports;
mod random_containers;

use std::net::IpAddr;

use super::super::container::{Container, ContainerState, Network, Port, PublishedPort};
use super::super::service::{Described, Skipped};
use super::super::settings::{OwnContainer, Rules};
use super::{DescribeContext, describe};

/// A running container in Docker's default network.
fn container(name: &str, image: &str) -> Container {
    Container {
        id: "5cf7dd974939".repeat(6)[..64].to_owned(),
        name: name.to_owned(),
        image: image.to_owned(),
        run_state: ContainerState::Running,
        network_mode: "default".to_owned(),
        networks: [("bridge".to_owned(), network("172.17.0.2"))].into(),
        ..Container::default()
    }
}

fn network(ip: &str) -> Network {
    Network { v4: Some(ip.parse().unwrap()), v6: None }
}

fn port(text: &str) -> Port {
    Port::read(text).unwrap()
}

/// Returns a published address as an engine writes it: host address and host port.
fn at(ip: &str, port: &str) -> PublishedPort {
    PublishedPort { ip: ip.to_owned(), port: port.to_owned() }
}

/// Builder methods for test containers; a trait, so that other tests do not get them.
trait ContainerBuilder {
    fn with(self, inner: &str, outer: &str) -> Self;
    fn env(self, key: &str, value: &str) -> Self;
    fn label(self, key: &str, value: &str) -> Self;
}

impl ContainerBuilder for Container {
    /// Publishes a port as Docker does, on all IPv4 and IPv6 addresses; an empty host port: exposed only.
    fn with(mut self, inner: &str, outer: &str) -> Self {
        let inner = port(inner);
        self.exposed.push(inner);
        let published = match outer {
            "" => Vec::new(),
            outer => vec![at("0.0.0.0", outer), at("::", outer)],
        };
        if !published.is_empty() {
            self.configured_ports.insert(inner, published.clone());
        }
        self.ports.insert(inner, published);
        self
    }

    fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }
}

fn no_container(_: &str) -> Option<Container> {
    None
}

/// Returns the context of node `h1` at 10.0.0.9.
fn context(rules: &Rules) -> DescribeContext<'_> {
    DescribeContext { rules, node: "h1", host: Some(IpAddr::from([10, 0, 0, 9])), own: None }
}

fn described(container: &Container, rules: &Rules) -> Described {
    describe(container, &context(rules), &no_container)
}

fn described_own(container: &Container, rules: &Rules, ports: &[u16]) -> Described {
    let own = OwnContainer { container: None, ports: ports.to_vec() };
    describe(container, &DescribeContext { own: Some(&own), ..context(rules) }, &no_container)
}

/// Returns `key = value` of every service.
fn pairs(described: &Described) -> Vec<String> {
    described.services.iter().map(|service| format!("{} = {}", service.key, service.value)).collect()
}

/// Returns the messages about ignored ports.
fn ignored(described: &Described) -> Vec<&str> {
    let mut words = Vec::new();
    for skipped in &described.skipped {
        if let Skipped::Ignored(text) = skipped {
            words.push(text.as_str());
        }
    }
    words
}

/// Returns the only error, when nothing was registered.
fn refusal(described: &Described) -> &str {
    assert_eq!(pairs(described), Vec::<String>::new());
    match described.skipped.as_slice() {
        [Skipped::Refused(text)] => text,
        other => panic!("{other:?}"),
    }
}
