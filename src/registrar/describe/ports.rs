//! Which ports of a container can be services, and how each is reached.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::container::{Container, Port, PublishedPort};
use super::super::settings::OwnContainer;
use super::network_owner::{NetworkOwner, shown};

/// What to do about a port that was configured by number and is not published.
pub(super) const UNPUBLISHED: &str = "it is not published on the host; publish it (`docker run -p`), or register \
    the container's own address (--internal)";

/// A container's ports.
pub(super) struct Ports {
    /// In port order.
    pub(super) candidates: Vec<Candidate>,
    /// How many ports the container has, published or not.
    pub(super) known: usize,
    /// How many of them are reachable.
    pub(super) reached: usize,
}

/// A port that can be a service.
pub(super) struct Candidate {
    pub(super) port: Port,
    pub(super) mapping: PortMapping,
}

/// How consumers reach a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PortMapping {
    /// At a port of the host; `None`: on all of its addresses.
    Through { ip: Option<IpAddr>, port: u16 },
    /// At the container's own address.
    Own,
    /// Not reachable from outside.
    Unpublished,
    /// The engine reports a mapping that cannot be used: what is wrong, and what to do.
    Wrong(String),
}

/// Returns the ports of `container`, which uses the network of `network_owner`. `internal`: register its own address.
/// `v6`: consumers connect by IPv6.
///
/// With its own network, these are exactly the ports that the engine reports as published while it runs; configured
/// ports are not published while the container is stopped. In another container's network, these are the ports that
/// this container exposes, reached as the other container publishes them. On the host network, these are the ports
/// that it was configured to publish, or else those it exposes; the number is the same on both sides.
pub(super) fn of(container: &Container, network_owner: &NetworkOwner<'_>, internal: bool, v6: bool) -> Ports {
    let exposed = || container.exposed.iter().copied().collect::<BTreeSet<Port>>();
    let asked = || container.configured_ports.keys().copied();
    let published = || container.ports.keys().copied();
    let (ports, known): (BTreeSet<Port>, BTreeSet<Port>) = match network_owner {
        NetworkOwner::NoNetwork => (BTreeSet::new(), BTreeSet::new()),
        NetworkOwner::Host => {
            let chosen: BTreeSet<Port> = match () {
                () if internal => exposed().into_iter().chain(asked()).collect(),
                () if container.configured_ports.is_empty() => exposed(),
                () => asked().collect(),
            };
            (chosen.clone(), chosen)
        }
        NetworkOwner::Other(_) => {
            let own: BTreeSet<Port> = exposed().into_iter().chain(asked()).collect();
            (own.clone(), own)
        }
        NetworkOwner::Own(_) => {
            let all: BTreeSet<Port> = exposed().into_iter().chain(published()).collect();
            let ports = if internal { all.clone() } else { published().collect() };
            (ports, all.into_iter().chain(asked()).collect())
        }
    };
    let candidates = ports
        .into_iter()
        .map(|port| Candidate { port, mapping: mapping(port, network_owner, internal, v6) })
        .collect();
    let mut ports = Ports { candidates, known: known.len(), reached: 0 };
    ports.count();
    ports
}

impl Ports {
    /// Keeps only the ports that a sidecar registers; also returns what is wrong with the others on its list.
    pub(super) fn only(mut self, own: Option<&OwnContainer>) -> (Self, Vec<String>) {
        let Some(own) = own.filter(|own| !own.ports.is_empty()) else { return (self, Vec::new()) };
        self.candidates.retain(|candidate| own.ports.contains(&candidate.port.number));
        self.count();
        let there: BTreeSet<u16> = self.candidates.iter().map(|candidate| candidate.port.number).collect();
        let listed: BTreeSet<u16> = own.ports.iter().copied().collect();
        let missing =
            listed.difference(&there).map(|number| format!("port {number}: {UNPUBLISHED}")).collect();
        (self, missing)
    }

    fn count(&mut self) {
        self.reached =
            self.candidates.iter().filter(|candidate| candidate.mapping != PortMapping::Unpublished).count();
    }
}

fn mapping(port: Port, network_owner: &NetworkOwner<'_>, internal: bool, v6: bool) -> PortMapping {
    if port.number == 0 {
        return PortMapping::Wrong(
            "there is no port 0; name the port that the application listens to".to_owned(),
        );
    }
    match network_owner {
        NetworkOwner::NoNetwork => PortMapping::Unpublished,
        NetworkOwner::Host => PortMapping::Through { ip: None, port: port.number },
        NetworkOwner::Own(_) | NetworkOwner::Other(_) if internal => PortMapping::Own,
        NetworkOwner::Own(owner) => through(owner, port, v6),
        NetworkOwner::Other(owner) => through(owner, port, v6),
    }
}

/// Chooses one of several host addresses: the first of the consumers' IP version, else the first. When the engine
/// chooses host ports, it may choose different ones for IPv4 and IPv6.
fn through(owner: &Container, port: Port, v6: bool) -> PortMapping {
    let all = owner.ports.get(&port).map_or(&[][..], Vec::as_slice);
    let fits = |published: &&PublishedPort| {
        let ip = published.ip.trim();
        ip.is_empty() || ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6() == v6)
    };
    let Some(first) = all.iter().find(fits).or(all.first()) else { return PortMapping::Unpublished };
    let ip = match first.ip.trim() {
        "" => None,
        ip => match ip.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() => None,
            Ok(ip) => Some(ip),
            Err(_) => {
                return PortMapping::Wrong(format!(
                    "the engine publishes it at {}, which is not an address",
                    shown(ip)
                ));
            }
        },
    };
    match first.port.parse::<u16>() {
        Ok(port) if port != 0 && first.port.bytes().all(|b| b.is_ascii_digit()) => {
            PortMapping::Through { ip, port }
        }
        _ => PortMapping::Wrong(format!(
            "the engine publishes it at the host port {}, which is not one port; publish it at one of its own, or at none \
             for the engine to choose",
            shown(&first.port)
        )),
    }
}
