//! Turns a container into keys: ports, names, addresses, layouts. Pure.
//!
//! Owns: parsing `SERVICE_*` ([`metadata`]), whose network a container uses ([`network_owner`]), which ports are reachable and
//! how ([`ports`]), names with their suffix and ids ([`name`]), addresses ([`address`]), tags ([`tags`]), and the path
//! and the value of a key ([`layout`], [`template`]).
//! Promises: environment and labels mean exactly what they mean to Registrator, including its three generations of
//! the suffix; an address that nobody can reach is reported and never registered; two ports never share a key.
//! Leaves out: the container's health, and everything about the store.

mod address;
mod facts;
mod layout;
mod metadata;
mod name;
mod network_owner;
mod ports;
mod tags;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

pub(super) use address::host_address;
pub(super) use layout::check as check_templates;

use self::address::Addresses;
use self::facts::ServiceFacts;
use self::layout::Layouts;
use self::metadata::{Meta, Metadata};
use self::network_owner::NetworkOwner;
use self::ports::{Candidate, PortMapping, Ports};
use super::container::{Container, ContainerState, Port};
use super::service::{self, Described, Service, Skipped};
use super::settings::{OwnContainer, Rules};

/// What a description depends on, apart from the container.
#[derive(Clone, Debug)]
pub(super) struct DescribeContext<'g> {
    pub(super) rules: &'g Rules,
    /// The node's name, with which ids begin.
    pub(super) node: &'g str,
    /// The address that other hosts reach this host by; `None`: none was found.
    pub(super) host: Option<IpAddr>,
    /// For a sidecar: only the ports of this container.
    pub(super) own: Option<&'g OwnContainer>,
}

/// Returns the services of `container` to register. `other` finds, by id or name, the container whose network it
/// shares.
pub(super) fn describe(
    container: &Container,
    context: &DescribeContext<'_>,
    other: &dyn Fn(&str) -> Option<Container>,
) -> Described {
    described(container, context, other)
        .unwrap_or_else(|skipped| Described { services: Vec::new(), skipped: vec![skipped] })
}

/// The error is why there is nothing to register at all.
fn described(
    container: &Container,
    context: &DescribeContext<'_>,
    other: &dyn Fn(&str) -> Option<Container>,
) -> Result<Described, Skipped> {
    let mut described = Described::default();
    let no_ports = || Skipped::Ignored("no published ports".to_owned());
    let network_owner = NetworkOwner::of(container, other).map_err(|why| match container.run_state {
        ContainerState::NotRunning => no_ports(),
        _ => Skipped::Refused(why),
    })?;
    let layouts = Layouts::new(context.rules).map_err(Skipped::Refused)?;
    let addresses = Addresses { container, rules: context.rules, host: context.host };
    let (mut ports, missing) =
        ports::of(container, &network_owner, context.rules.internal, addresses.are_v6()).only(context.own);
    described.skipped.extend(missing.into_iter().map(Skipped::Refused));
    if ports.candidates.is_empty() {
        return if described.skipped.is_empty() { Err(no_ports()) } else { Ok(described) };
    }
    described.skipped.extend(address::missing_label(container, context.rules).map(Skipped::Ignored));
    let candidates = std::mem::take(&mut ports.candidates);
    let builder = ServiceBuilder {
        container,
        context,
        network_owner: &network_owner,
        layouts: &layouts,
        ports: &ports,
        addresses,
    };
    let metadata = Metadata::read(container);
    let mut taken: BTreeMap<String, Port> = BTreeMap::new();
    for candidate in &candidates {
        match builder.service(candidate, &metadata.of(candidate.port.number)) {
            Ok(service) => match taken.get(&service.key) {
                Some(first) => described.skipped.push(Skipped::Refused(twice(&service, *first))),
                None => {
                    taken.insert(service.key.clone(), service.port);
                    described.services.push(service);
                }
            },
            Err(skipped) => described.skipped.push(skipped),
        }
    }
    Ok(described)
}

fn twice(service: &Service, first: Port) -> String {
    format!(
        "port {}: the key {} already belongs to port {first}; give the two different names or ids, or leave it to the \
         registrar to make the ids",
        service.port, service.key
    )
}

/// The inputs shared by all services of one container.
struct ServiceBuilder<'d> {
    container: &'d Container,
    context: &'d DescribeContext<'d>,
    network_owner: &'d NetworkOwner<'d>,
    layouts: &'d Layouts<'d>,
    ports: &'d Ports,
    addresses: Addresses<'d>,
}

impl ServiceBuilder<'_> {
    fn service(&self, candidate: &Candidate, meta: &Meta) -> Result<Service, Skipped> {
        let (port, rules) = (candidate.port, self.context.rules);
        let listed = self.context.own.is_some_and(|own| own.ports.contains(&port.number));
        let refuse = |why: String| Skipped::Refused(format!("port {port}: {why}"));
        if candidate.mapping == PortMapping::Unpublished && !listed {
            return Err(Skipped::Ignored(format!("port {} not published on host", port.number)));
        }
        if meta.ignored || (rules.explicit && meta.name.is_none()) {
            return Err(Skipped::Ignored(format!("service on port {}", port.number)));
        }
        let (ip, public) = self.reached(candidate, meta)?;
        let name = name::of(self.container, port, meta, rules.suffix, self.ports);
        let id = meta.id.clone().unwrap_or_else(|| name::id(self.context.node, self.container, port));
        // Readers of the key do not need the checks, and a check's command may contain a password.
        let attributes: BTreeMap<String, String> = meta
            .attributes
            .iter()
            .filter(|(name, _)| !name.starts_with("check_") && *name != "network")
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let facts = ServiceFacts {
            address: service::address(&ip, public),
            ip: &ip,
            port: public,
            name: &name,
            id: &id,
            tags: tags::of(meta, port, rules),
            attributes: &attributes,
            node: self.context.node,
            container: &self.container.id,
            container_name: &self.container.name,
            image: &self.container.image,
            protocol: port.protocol.word(),
            private_port: port.number,
        };
        let (key, value) = self.layouts.render(&facts).map_err(refuse)?;
        let tags = facts.tags;
        let inner = self.network_owner.address(self.context.host, meta.network()).ok();
        Ok(Service {
            container: self.container.id.clone(),
            port,
            name,
            id,
            ip,
            public,
            inner,
            tags,
            attributes: meta.attributes.clone(),
            key,
            value,
        })
    }

    /// Returns where consumers reach the port.
    fn reached(&self, candidate: &Candidate, meta: &Meta) -> Result<(String, u16), Skipped> {
        let port = candidate.port;
        let refuse = |why: String| Skipped::Refused(format!("port {port}: {why}"));
        let (ip, public) = match &candidate.mapping {
            PortMapping::Unpublished => return Err(refuse(ports::UNPUBLISHED.to_owned())),
            PortMapping::Wrong(why) => return Err(refuse(why.clone())),
            PortMapping::Through { ip, port } => (self.addresses.through(ip), *port),
            PortMapping::Own => match self.network_owner.address(self.context.host, meta.network()) {
                Err(_) if self.container.run_state == ContainerState::NotRunning => {
                    return Err(Skipped::Ignored(format!(
                        "port {} has no address while it is not running",
                        port.number
                    )));
                }
                own => (self.addresses.own(own), port.number),
            },
        };
        Ok((ip.map_err(refuse)?, public))
    }
}
