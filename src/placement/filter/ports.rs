//! Whether the host ports that a container needs are free.

use std::ops::RangeInclusive;

use super::super::Dialect;
use super::super::facts::{Container, Node, PortBinding};
use super::super::request::Request;
use super::keep;

pub(super) fn apply<'n>(
    request: &Request,
    mut nodes: Vec<&'n Node>,
    dialect: Dialect,
) -> Result<Vec<&'n Node>, String> {
    if request.host_network {
        for exposed in &request.exposed {
            let taken =
                |node: &Node| node.containers.iter().any(|other| takes_exposed(other, exposed, dialect));
            nodes = keep(nodes, |node| !taken(node)).ok_or_else(|| {
                format!("unable to find a node with port {exposed} available in the Host mode")
            })?;
        }
        return Ok(nodes);
    }
    for wanted in request.ports.iter().filter(|wanted| !wanted.host_port.is_empty()) {
        let taken = |node: &Node| node.containers.iter().any(|other| uses_port(other, wanted, dialect));
        nodes = keep(nodes, |node| !taken(node))
            .ok_or_else(|| format!("unable to find a node with port {} available", wanted.host_port))?;
    }
    Ok(nodes)
}

pub(super) fn conditions(request: &Request) -> Vec<String> {
    if request.host_network {
        return request.exposed.iter().map(|port| format!("port {port} (Host mode)")).collect();
    }
    let wanted = request.ports.iter().filter(|wanted| !wanted.host_port.is_empty());
    wanted.map(|wanted| format!("port {} (Bridge mode)", wanted.host_port)).collect()
}

/// Returns whether a container uses the port, or requested it and may start again.
fn uses_port(other: &Container, wanted: &PortBinding, dialect: Dialect) -> bool {
    let bound = other.ports.iter().any(|has| {
        let meet = has.is_everywhere() || wanted.is_everywhere() || has.ip == wanted.ip;
        meet && same_port(has, wanted, dialect)
    });
    // On the host's network, exposed ports are our best guess at what is listened on. Swarm does not check them.
    let on_host = dialect == Dialect::Plain
        && other.host_network
        && other.exposed.iter().any(|exposed| same_port(&exposed_port(exposed), wanted, dialect));
    bound || on_host
}

fn takes_exposed(other: &Container, exposed: &str, dialect: Dialect) -> bool {
    if other.host_network && other.exposed.iter().any(|own| own == exposed) {
        return true;
    }
    dialect == Dialect::Plain && uses_port(other, &exposed_port(exposed), dialect)
}

fn exposed_port(text: &str) -> PortBinding {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    PortBinding { ip: String::new(), host_port: port.to_owned(), protocol: protocol.to_owned() }
}

/// Returns whether two ports are the same. Swarm compares the texts and ignores the protocol.
fn same_port(one: &PortBinding, other: &PortBinding, dialect: Dialect) -> bool {
    if one.host_port.is_empty() || other.host_port.is_empty() {
        return false;
    }
    if dialect == Dialect::Swarm {
        return one.host_port == other.host_port;
    }
    let (Some(ours), Some(theirs)) = (range(&one.host_port), range(&other.host_port)) else {
        return one.host_port == other.host_port;
    };
    one.protocol() == other.protocol() && ours.start() <= theirs.end() && theirs.start() <= ours.end()
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}
