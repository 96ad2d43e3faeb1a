//! The address that consumers connect to: which of several, and which never.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::super::container::Container;
use super::super::settings::Rules;
use super::network_owner::{NO_HOST, shown};

/// The sources of an address, in this order: the container's label, the rules, then the port.
pub(super) struct Addresses<'p> {
    pub(super) container: &'p Container,
    pub(super) rules: &'p Rules,
    /// The host's own address.
    pub(super) host: Option<IpAddr>,
}

impl Addresses<'_> {
    /// Returns the address of a port that the host publishes at `ip`, or at all of its addresses.
    pub(super) fn through(&self, ip: &Option<IpAddr>) -> Result<String, String> {
        self.configured().unwrap_or_else(|| match (ip, self.host) {
            (Some(ip), _) => usable(*ip, "the address it is published at"),
            (None, Some(host)) => usable(host, "the address of this host"),
            (None, None) => Err(NO_HOST.to_owned()),
        })
    }

    /// Returns the address of a port at the container's own address.
    pub(super) fn own(&self, own: Result<IpAddr, String>) -> Result<String, String> {
        self.configured().unwrap_or_else(|| usable(own?, "the container's own address"))
    }

    /// Returns whether consumers will connect by IPv6.
    pub(super) fn are_v6(&self) -> bool {
        match self.configured() {
            Some(given) => given.is_ok_and(|ip| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6())),
            None => self.host.is_some_and(|host| host.is_ipv6()),
        }
    }

    /// Returns the address configured for this container or for all.
    fn configured(&self) -> Option<Result<String, String>> {
        let label = self.rules.ip_label.as_deref();
        if let Some((name, text)) = label.and_then(|name| self.container.labels.get_key_value(name)) {
            let text = text.split('/').next().unwrap_or(text);
            return Some(read(text, &format!("the label {}", shown(name))));
        }
        self.rules.ip.as_deref().map(|text| read(text, "--ip"))
    }
}

/// Returns the warning for a container without the label that should hold its address. It is registered anyway.
pub(super) fn missing_label(container: &Container, rules: &Rules) -> Option<String> {
    let label = rules.ip_label.as_deref().filter(|label| !container.labels.contains_key(*label))?;
    Some(format!(
        "label {} for its address: it has none; the next source of an address is used",
        shown(label)
    ))
}

/// Parses a configured address or host name; `place` names where it was configured.
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
        return Err(format!("{place} is {}, which is neither an address nor a host name", shown(text)));
    }
    let local = text.trim_end_matches('.').to_ascii_lowercase();
    if local == "localhost" || local.ends_with(".localhost") {
        return Err(format!("{place} is {text}, which means a different machine on each host; {REMEDY}"));
    }
    Ok(text.to_owned())
}

const REMEDY: &str = "name the address that others reach this host by with --ip";

/// Returns the address as text if other hosts can reach it.
fn usable(ip: IpAddr, place: &str) -> Result<String, String> {
    let ip = ip.to_canonical();
    if ip.is_unspecified() {
        return Err(format!("{place} is {ip}, which is not a single address; {REMEDY}"));
    }
    if ip.is_loopback() {
        return Err(format!("{place} is {ip}, which only this host can reach; {REMEDY}"));
    }
    Ok(ip.to_string())
}

/// Returns whether `text` is a valid host name. Numbers with dots that are not an address are a typo, not a name.
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

/// Returns the address that this host sends from when it reaches other hosts. Reads the routing table; sends nothing.
pub(in super::super) fn host_address() -> Option<IpAddr> {
    // Documentation addresses: routed like any other, but assigned to nobody.
    const V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);
    const V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 9);
    [V4, V6].into_iter().find_map(address_towards)
}

fn address_towards(there: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if there.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Connecting a datagram socket only selects the route.
    socket.connect(there).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}
