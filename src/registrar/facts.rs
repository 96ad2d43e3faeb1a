//! What this node reports about itself: the engine's host, the command line's labels, and the containers.

use std::collections::BTreeMap;

use super::engine::EngineInfo;
use super::model::{Model, NodeConfig};
use super::settings::Settings;
use crate::placement::{Image, Node};

/// The parts of this node's record, apart from its containers.
pub(super) struct NodeFacts {
    node: String,
    address: String,
    labels: BTreeMap<String, String>,
    info: EngineInfo,
    images: Vec<Image>,
}

impl NodeFacts {
    pub(super) fn new(settings: &Settings, node_config: &NodeConfig, info: EngineInfo) -> Self {
        let url = &settings.engine.url;
        let address = match &settings.engine_address {
            Some(address) => address.clone(),
            None if url.contains("://") && !url.starts_with("unix://") => url.clone(),
            None => {
                let host = node_config.rules.ip.clone().or_else(|| node_config.host.map(|ip| ip.to_string()));
                host.map(|host| format!("ssh://{}", bracketed(&host))).unwrap_or_default()
            }
        };
        let labels = settings.labels.clone();
        Self { node: node_config.node.clone(), address, labels, info, images: Vec::new() }
    }

    pub(super) fn info(&mut self, info: EngineInfo) {
        self.info = info;
    }

    pub(super) fn images(&mut self, images: Vec<Image>) {
        self.images = images;
        self.images.sort_by(|left, right| left.id.cmp(&right.id));
    }

    /// Returns the node's current record.
    pub(super) fn record(&self, model: &Model) -> Node {
        let mut labels = self.info.labels.clone();
        // A label of this name would hide the node's name.
        labels.remove("node");
        labels.extend(self.labels.clone());
        let reported = [
            ("storagedriver", &self.info.storage_driver),
            ("kernelversion", &self.info.kernel_version),
            ("operatingsystem", &self.info.operating_system),
            ("ostype", &self.info.os_type),
        ];
        for (name, value) in reported {
            if !value.is_empty() {
                labels.insert(name.to_owned(), value.clone());
            }
        }
        Node {
            name: self.node.clone(),
            id: self.info.id.clone(),
            address: self.address.clone(),
            labels,
            cpus: self.info.cpus,
            memory: self.info.memory,
            health: None,
            containers: model.facts(),
            images: self.images.clone(),
        }
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}
