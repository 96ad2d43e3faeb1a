//! What is known of a node: what its registrar publishes, under a lease.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A host that runs containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Its name; nodes are told apart by it.
    pub name: String,
    /// The engine's id.
    pub id: String,
    /// Where its engine is reached, as `docker -H` takes it.
    pub address: String,
    /// Labels of the engine and of the registrar's command line, and what the engine says of itself (`storagedriver`,
    /// `kernelversion`, `operatingsystem`, `ostype`).
    pub labels: BTreeMap<String, String>,
    /// Processors.
    pub cpus: i64,
    /// Bytes of memory.
    pub memory: i64,
    /// How well it does, in percent; 0 takes no containers. `None`: well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<i64>,
    /// All its containers, stopped ones too: their ports and memory come back with them.
    pub containers: Vec<Container>,
    /// The images that it has.
    pub images: Vec<Image>,
}

impl Node {
    /// How well it does, from 0 to 100.
    #[must_use]
    pub fn health(&self) -> i64 {
        self.health.unwrap_or(100).clamp(0, 100)
    }
}

/// A container on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Its whole id.
    pub id: String,
    /// Its names; the first is its own, others are those that links gave it. A leading slash does not matter.
    pub names: Vec<String>,
    /// The image that it was made of, as it was named then.
    pub image: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Host ports that it was given or asked for.
    pub ports: Vec<Binding>,
    /// It shares the host's network.
    pub host_network: bool,
    /// The ports that it exposes, as `80/tcp`.
    pub exposed: Vec<String>,
    /// Processors set aside for it.
    pub cpus: i64,
    /// Bytes of memory set aside for it.
    pub memory: i64,
}

/// A port of the host that leads to one of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Binding {
    /// The address of the host; empty is all of them.
    pub ip: String,
    /// The port or range of ports as it was written; empty: any that is free.
    pub host_port: String,
    /// `tcp`, `udp` or `sctp`; empty is `tcp`.
    pub protocol: String,
}

impl Binding {
    pub(super) fn protocol(&self) -> &str {
        if self.protocol.is_empty() { "tcp" } else { &self.protocol }
    }

    /// All addresses of the host.
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
