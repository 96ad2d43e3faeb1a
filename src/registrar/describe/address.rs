//! Where consumers go: which of all the addresses, and which never.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::super::container::Container;
use super::super::settings::Rules;
use super::home::{NO_HOST, shown};

/// Where addresses come from, in this order: the container's label, the rules, and then the port.
pub(super) struct Addresses<'p> {
    pub(super) container: &'p Container,
    pub(super) rules: &'p Rules,
    /// The host's own.
    pub(super) host: Option<IpAddr>,
}

impl Addresses<'_> {
    /// The address of a port that the host publishes, at one of its addresses or at all.
    pub(super) fn through(&self, ip: &Option<IpAddr>) -> Result<String, String> {
        self.given().unwrap_or_else(|| match (ip, self.host) {
            (Some(ip), _) => usable(*ip, "the address it is published at"),
            (None, Some(host)) => usable(host, "the address of this host"),
            (None, None) => Err(NO_HOST.to_owned()),
        })
    }

    /// The address of a port at the container's own.
    pub(super) fn own(&self, own: Result<IpAddr, String>) -> Result<String, String> {
        self.given().unwrap_or_else(|| usable(own?, "the container's own address"))
    }

    /// Whether consumers will come by IPv6.
    pub(super) fn are_v6(&self) -> bool {
        match self.given() {
            Some(given) => given.is_ok_and(|ip| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6())),
            None => self.host.is_some_and(|host| host.is_ipv6()),
        }
    }

    /// The address that somebody chose, for this container or for all.
    fn given(&self) -> Option<Result<String, String>> {
        let label = self.rules.ip_label.as_deref();
        if let Some((name, text)) = label.and_then(|name| self.container.labels.get_key_value(name)) {
            let text = text.split('/').next().unwrap_or(text);
            return Some(read(text, &format!("the label {}", shown(name))));
        }
        self.rules.ip.as_deref().map(|text| read(text, "--ip"))
    }
}

/// What is said once when a container lacks the label that should hold its address. It is registered all the same.
pub(super) fn missing_label(container: &Container, rules: &Rules) -> Option<String> {
    let label = rules.ip_label.as_deref().filter(|label| !container.labels.contains_key(*label))?;
    Some(format!("label {} for its address: it has none, and the next best is taken", shown(label)))
}

/// An address or host name that somebody wrote in `place`.
fn read(text: &str, place: &str) -> Result<String, String> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if text.is_empty() {
        return Err(format!("{place} is empty; write the address that others reach this host by"));
    }
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return usable(ip, place);
    }
    if !is_host_name(text) {
        return Err(format!("{place} says {}, which is no address and no host name", shown(text)));
    }
    let local = text.trim_end_matches('.').to_ascii_lowercase();
    if local == "localhost" || local.ends_with(".localhost") {
        return Err(format!("{place} says {text}, which is another machine for each who asks; {REMEDY}"));
    }
    Ok(text.to_owned())
}

const REMEDY: &str = "name the address that others reach this host by with --ip";

/// The address as it is registered, if anybody elsewhere can come to it.
fn usable(ip: IpAddr, place: &str) -> Result<String, String> {
    let ip = ip.to_canonical();
    if ip.is_unspecified() {
        return Err(format!("{place} is {ip}, which is every address and none; {REMEDY}"));
    }
    if ip.is_loopback() {
        return Err(format!("{place} is {ip}, which only this host reaches; {REMEDY}"));
    }
    Ok(ip.to_string())
}

/// Whether `text` may be the name of a host. Numbers with dots that are no address are a mistake and no name.
fn is_host_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or(text);
    text.len() <= 253 && text.split('.').all(label) && !last.bytes().all(|b| b.is_ascii_digit())
}

/// The address from which this host reaches the world, for consumers elsewhere; asks the routing table, sends
/// nothing.
pub(in super::super) fn host_address() -> Option<IpAddr> {
    // Addresses of documentation: routed like any other, and nobody's.
    const V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);
    const V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 9);
    [V4, V6].into_iter().find_map(address_towards)
}

fn address_towards(there: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if there.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // A datagram socket's connect only chooses the way.
    socket.connect(there).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}
