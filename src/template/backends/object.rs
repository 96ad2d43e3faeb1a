//! Backends and nodes as objects in templates.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Enumerator, Object, Serde};

use super::read::BackendService;
use crate::placement::Node;

/// A service with its node.
#[derive(Debug)]
pub(super) struct Backend {
    /// The key as templates name it.
    pub(super) key: String,
    pub(super) service: BackendService,
    /// The service as expressions see it.
    pub(super) node: Node,
}

/// A backend in a list.
#[derive(Debug)]
pub(super) struct OfferedBackend {
    pub(super) backend: Arc<Backend>,
    /// Used only when no other backend responds.
    pub(super) backup: bool,
}

impl Object for OfferedBackend {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let Backend { key: shown, service, node } = &*self.backend;
        Some(match key {
            "key" => text(shown),
            "name" => text(&service.name),
            "id" => text(&service.id),
            "ip" => text(&service.ip),
            "port" => Value::from(service.port),
            "address" if service.ip.contains(':') => {
                Value::from(format!("[{}]:{}", service.ip, service.port))
            }
            "address" => Value::from(format!("{}:{}", service.ip, service.port)),
            "node" => text(&node.name),
            "labels" => map(&node.labels),
            "tags" => list(&service.tags),
            "attributes" => map(&service.attributes),
            "container" => text(&service.container),
            "image" => text(&service.image),
            "backup" => Value::from(self.backup),
            _ => return None,
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&[
            "key",
            "name",
            "id",
            "ip",
            "port",
            "address",
            "node",
            "labels",
            "tags",
            "attributes",
            "container",
            "image",
            "backup",
        ])
    }
}

/// A node in a list.
#[derive(Debug)]
pub(super) struct NodeObject(pub(super) Arc<Node>);

impl Object for NodeObject {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let node = &self.0;
        Some(match key {
            "name" => text(&node.name),
            "id" => text(&node.id),
            "address" => text(&node.address),
            "labels" => map(&node.labels),
            "cpus" => Value::from(node.cpus),
            "memory" => Value::from(node.memory),
            "health" => Value::from(node.health()),
            "containers" => Value::from(Serde(&node.containers)),
            "images" => Value::from(Serde(&node.images)),
            _ => return None,
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&[
            "name",
            "id",
            "address",
            "labels",
            "cpus",
            "memory",
            "health",
            "containers",
            "images",
        ])
    }
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn map(entries: &BTreeMap<String, String>) -> Value {
    Value::from_pairs(entries.iter().map(|(name, value)| (text(name), text(value))))
}

fn list(items: &[String]) -> Value {
    Value::from(items.iter().map(|item| text(item)).collect::<Vec<_>>())
}
