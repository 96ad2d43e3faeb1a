//! The facts about a node, which its registrar publishes under a lease.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A host that runs containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Its name, which identifies it.
    pub name: String,
    /// The engine's id.
    pub id: String,
    /// The address of its engine, as `docker -H` takes it.
    pub address: String,
    /// Labels of the engine and of the registrar's command line, and facts that the engine reports (`storagedriver`,
    /// `kernelversion`, `operatingsystem`, `ostype`).
    pub labels: BTreeMap<String, String>,
    /// Processors.
    pub cpus: i64,
    /// Bytes of memory.
    pub memory: i64,
    /// Its health in percent; 0 takes no containers. `None`: healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<i64>,
    /// All its containers, including stopped ones: they need their ports and memory when they start again.
    pub containers: Vec<Container>,
    /// Its images.
    pub images: Vec<Image>,
}

impl Node {
    /// Returns its health, from 0 to 100.
    #[must_use]
    pub fn health(&self) -> i64 {
        self.health.unwrap_or(100).clamp(0, 100)
    }
}

/// A container on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Its full id.
    pub id: String,
    /// Its names; the first is its own, the others come from links. A leading slash is ignored.
    pub names: Vec<String>,
    /// The image name that it was created with.
    pub image: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Host ports that are published or requested.
    pub ports: Vec<PortBinding>,
    /// Whether it shares the host's network.
    pub host_network: bool,
    /// The ports that it exposes, as `80/tcp`.
    pub exposed: Vec<String>,
    /// Processors reserved for it.
    pub cpus: i64,
    /// Bytes of memory reserved for it.
    pub memory: i64,
}

/// A host port that leads to a container's port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortBinding {
    /// The host address; empty: all.
    pub ip: String,
    /// The port or port range as it was written; empty: any free port.
    pub host_port: String,
    /// `tcp`, `udp` or `sctp`; empty: `tcp`.
    pub protocol: String,
}

impl PortBinding {
    pub(super) fn protocol(&self) -> &str {
        if self.protocol.is_empty() { "tcp" } else { &self.protocol }
    }

    /// Returns whether it is on all addresses of the host.
    pub(super) fn is_everywhere(&self) -> bool {
        matches!(self.ip.as_str(), "" | "0.0.0.0" | "::")
    }
}

/// An image on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    /// Its id, with `sha256:` before it.
    pub id: String,
    /// Its names, each with its tag.
    pub tags: Vec<String>,
}
