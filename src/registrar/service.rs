//! A service: one port of one container, as consumers find it.

use std::collections::BTreeMap;

use super::container::Port;

/// One port of one container, and all its attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Service {
    /// The container's id.
    pub(super) container: String,
    /// The port inside it.
    pub(super) port: Port,
    /// The name that consumers look up.
    pub(super) name: String,
    /// Distinguishes services of the same name.
    pub(super) id: String,
    /// Where consumers connect: an address, or a name that the user chose.
    pub(super) ip: String,
    /// The port there.
    pub(super) public: u16,
    /// The container's own address, if known.
    pub(super) inner: Option<std::net::IpAddr>,
    pub(super) tags: Vec<String>,
    /// The other `SERVICE_*` attributes, with lower-case names.
    pub(super) attributes: BTreeMap<String, String>,
    /// Its key, absolute and normalised.
    pub(super) key: String,
    /// The value of its key.
    pub(super) value: String,
}

/// Why a port or a container is not registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    /// By design: Registrator's words for the log (`no published ports`, `port 443 not published on host`, `service on
    /// port 80`).
    Ignored(String),
    /// Because of an error: what is wrong, and what to do.
    Refused(String),
    /// Registered, but an attribute is unknown: which, and what was probably meant.
    UnknownAttribute(String),
}

/// The services of a container to register, and what is not registered and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Described {
    /// One per port, in port order.
    pub(super) services: Vec<Service>,
    pub(super) skipped: Vec<Skipped>,
}

/// Returns `ip:port`, with an IPv6 address in brackets.
pub(super) fn address(ip: &str, port: u16) -> String {
    if ip.contains(':') && !ip.starts_with('[') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}
