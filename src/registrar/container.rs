//! A container as an inspection shows it, whatever engine and version said it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// A port of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Port {
    pub(super) number: u16,
    pub(super) protocol: Protocol,
}

/// What is spoken at a port.
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
    /// Reads `80/tcp`, `53/udp` or `80`.
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

/// One address of the host that leads to a port of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Published {
    /// As the engine wrote it; empty, `0.0.0.0` and `::` are all addresses.
    pub(super) ip: String,
    /// As the engine wrote it: a number, a range of them, or nothing.
    pub(super) port: String,
}

/// What the engine says a container does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ContainerState {
    Running,
    Paused,
    /// Between two lives.
    Restarting,
    /// Made, ended, dead, being removed, or a word nobody knows.
    #[default]
    Nothing,
}

/// What an image's HEALTHCHECK says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Healthcheck {
    Starting,
    Healthy,
    Unhealthy,
}

/// A network that a container is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) v4: Option<IpAddr>,
    pub(super) v6: Option<IpAddr>,
}

/// A container. Nothing of its environment may reach a log, so there is no `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Container {
    /// All 64 digits.
    pub(super) id: String,
    /// Without its slash.
    pub(super) name: String,
    /// As it was named when the container was made.
    pub(super) image: String,
    pub(super) env: Vec<(String, String)>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) run_state: ContainerState,
    pub(super) exit_code: i64,
    /// When its present life began, in nanoseconds of the engine's clock since 1970; `None`: it never began.
    pub(super) started: Option<i64>,
    /// `None`: it has no HEALTHCHECK.
    pub(super) healthcheck: Option<Healthcheck>,
    /// `bridge`, `default`, `host`, `none`, `container:<id>`, or a network's name or id.
    pub(super) network_mode: String,
    pub(super) networks: BTreeMap<String, Network>,
    /// What the image and the command line say it listens to.
    pub(super) exposed: Vec<Port>,
    /// What is published while it runs. A port may be there with no address: exposed and not published.
    pub(super) ports: BTreeMap<Port, Vec<Published>>,
    /// What it was asked to publish.
    pub(super) asked: BTreeMap<Port, Vec<Published>>,
    /// The number of the signal that asks it to stop; 15 when nobody said.
    pub(super) stop_signal: i32,
    /// Seconds from that signal to the kill; `None`: 10.
    pub(super) stop_timeout: Option<u64>,
    /// Bytes set aside; 0: none.
    pub(super) memory: i64,
    /// CPU shares; 0: none.
    pub(super) cpu_shares: i64,
}

impl Container {
    /// The beginning of its id, as people see it.
    pub(super) fn short(&self) -> &str {
        short(&self.id)
    }
}

/// The first twelve digits of an id.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// The line of a list, as far as it tells whether an inspection would say something new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ListedContainer {
    pub(super) id: String,
    /// Its name, among those that links give it; empty: the line does not say.
    pub(super) names: Vec<String>,
    /// Whatever else the line said that changes with what we need: state, health, names, ports, addresses.
    pub(super) signature: String,
    /// What the container does; `None`: the line does not say.
    pub(super) run_state: Option<ContainerState>,
    /// What its HEALTHCHECK says; `None`: the line does not say.
    pub(super) healthcheck: Option<Healthcheck>,
}

impl ListedContainer {
    /// Whether it says all that an inspection did, and the same. Podman's lines say nothing of health.
    pub(super) fn agrees(&self, with: &Container) -> bool {
        let health = with.run_state != ContainerState::Running || self.healthcheck == with.healthcheck;
        let name = self.names.is_empty() || self.names.contains(&with.name);
        health && name && self.run_state.is_none_or(|run_state| run_state == with.run_state)
    }
}
