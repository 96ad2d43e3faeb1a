//! A service: one port of one container, as consumers are to find it.

use std::collections::BTreeMap;

use super::container::Port;

/// One port of one container, and everything that is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// The container.
    pub(super) container: String,
    /// The port inside it.
    pub(super) port: Port,
    /// What consumers ask for.
    pub(super) name: String,
    /// What tells it from others of the name.
    pub(super) id: String,
    /// Where consumers go; an address, or a name that the user gave.
    pub(super) ip: String,
    /// The port there.
    pub(super) public: u16,
    /// The container's own address, if it has one that is known.
    pub(super) inner: Option<std::net::IpAddr>,
    pub(super) tags: Vec<String>,
    /// Everything else of `SERVICE_*`, in lower case.
    pub(super) attributes: BTreeMap<String, String>,
    /// Its key, absolute and clean.
    pub(super) key: String,
    /// What its key holds.
    pub(super) value: String,
}

/// Why a port or a container is not registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    /// Not meant to be: words for the log, as Registrator has them (`no published ports`, `port 443 not published on host`,
    /// `service on port 80`).
    Ignored(String),
    /// Meant to be, and something is wrong with it: what, and what to do.
    Refused(String),
    /// Registered, but a word that is said of it means nothing: what, and what was perhaps meant.
    Odd(String),
}

/// What of a container is to be registered, and what is not and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Described {
    /// One a port, in the order of ports.
    pub(super) services: Vec<Service>,
    pub(super) skipped: Vec<Skipped>,
}

/// `ip:port`, an IPv6 address in brackets.
pub(super) fn address(ip: &str, port: u16) -> String {
    if ip.contains(':') && !ip.starts_with('[') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}
