//! A container as an inspection describes it, independent of the engine and its version.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// A port of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Port {
    pub(super) number: u16,
    pub(super) protocol: Protocol,
}

/// A port's protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl Port {
    /// Parses `80/tcp`, `53/udp` or `80`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return None,
        };
        Some(Self { number: number.parse().ok()?, protocol })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol.word())
    }
}

/// One host address that a container's port is published at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PublishedPort {
    /// As the engine wrote it. Empty, `0.0.0.0` and `::` mean all addresses.
    pub(super) ip: String,
    /// As the engine wrote it: a number, a range, or empty.
    pub(super) port: String,
}

/// A container's state, as the engine reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ContainerState {
    Running,
    Paused,
    /// Between two runs.
    Restarting,
    /// Created, exited, dead, being removed, or an unknown word.
    #[default]
    NotRunning,
}

/// The result of an image's HEALTHCHECK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Healthcheck {
    Starting,
    Healthy,
    Unhealthy,
}

/// A network that a container is connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) v4: Option<IpAddr>,
    pub(super) v6: Option<IpAddr>,
}

/// A container. Its environment must not reach a log, so this has no `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Container {
    /// All 64 digits.
    pub(super) id: String,
    /// Without its slash.
    pub(super) name: String,
    /// The image name that the container was created with.
    pub(super) image: String,
    pub(super) env: Vec<(String, String)>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) run_state: ContainerState,
    pub(super) exit_code: i64,
    /// When the current run began, in nanoseconds since 1970 by the engine's clock; `None`: it never ran.
    pub(super) started: Option<i64>,
    /// `None`: it has no HEALTHCHECK.
    pub(super) healthcheck: Option<Healthcheck>,
    /// `bridge`, `default`, `host`, `none`, `container:<id>`, or a network's name or id.
    pub(super) network_mode: String,
    pub(super) networks: BTreeMap<String, Network>,
    /// The ports that the image and the command line expose.
    pub(super) exposed: Vec<Port>,
    /// The ports that are published while it runs. A port without addresses is exposed but not published.
    pub(super) ports: BTreeMap<Port, Vec<PublishedPort>>,
    /// The ports that it was configured to publish.
    pub(super) configured_ports: BTreeMap<Port, Vec<PublishedPort>>,
    /// The number of the stop signal; 15 when none is configured.
    pub(super) stop_signal: i32,
    /// Seconds between the stop signal and the kill; `None`: 10.
    pub(super) stop_timeout: Option<u64>,
    /// Reserved bytes; 0: none.
    pub(super) memory: i64,
    /// CPU shares; 0: none.
    pub(super) cpu_shares: i64,
}

impl Container {
    /// Returns the short id, as people see it.
    pub(super) fn short(&self) -> &str {
        short(&self.id)
    }
}

/// Returns the first twelve digits of an id.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// An entry of the container list: enough to decide whether a new inspection is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ListedContainer {
    pub(super) id: String,
    /// Its names, including those that links give it; empty: the entry does not say.
    pub(super) names: Vec<String>,
    /// The other relevant fields of the entry: state, health, ports, addresses.
    pub(super) signature: String,
    /// The container's state; `None`: the entry does not say.
    pub(super) run_state: Option<ContainerState>,
    /// The result of its HEALTHCHECK; `None`: the entry does not say.
    pub(super) healthcheck: Option<Healthcheck>,
}

impl ListedContainer {
    /// Returns whether the entry confirms the inspection. Podman's entries do not report health.
    pub(super) fn matches(&self, with: &Container) -> bool {
        let health = with.run_state != ContainerState::Running || self.healthcheck == with.healthcheck;
        let name = self.names.is_empty() || self.names.contains(&with.name);
        health && name && self.run_state.is_none_or(|run_state| run_state == with.run_state)
    }
}
