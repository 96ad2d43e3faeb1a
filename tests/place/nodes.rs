//! A store with nodes in it, and the program that asks it.

use serde_json::{Value, json};

use crate::support::http::{encode, request};
use crate::support::retune::Done;
use crate::support::{Dir, Etcd, Retune, Store};

/// A store of ours or a real etcd: neither must matter.
pub enum Holder {
    /// Ours.
    Own(Store),
    /// etcd.
    Real(Etcd),
}

/// It, and the folder for what the program logs.
pub struct Field {
    holder: Holder,
    dir: Dir,
}

impl Field {
    /// A field in a store of our own.
    pub fn new() -> Self {
        Self { holder: Holder::Own(Store::start()), dir: Dir::new() }
    }

    /// One in a real etcd, where that is installed.
    pub fn real() -> Option<Self> {
        Some(Self { holder: Holder::Real(Etcd::start()?), dir: Dir::new() })
    }

    /// One with these nodes.
    pub fn of(nodes: &[(&str, Value)]) -> Self {
        let field = Self::new();
        for (name, record) in nodes {
            field.publish(name, record);
        }
        field
    }

    /// The store's URL.
    pub fn url(&self) -> String {
        match &self.holder {
            Holder::Own(store) => store.url(),
            Holder::Real(etcd) => etcd.url(),
        }
    }

    /// Publishes the record of a node.
    #[track_caller]
    pub fn publish(&self, name: &str, record: &Value) {
        let mut record = record.clone();
        record["name"] = json!(name);
        self.write(name, &record.to_string());
    }

    /// Publishes any text as one.
    #[track_caller]
    pub fn write(&self, name: &str, text: &str) {
        let address = self.url().trim_start_matches("http://").to_owned();
        let form = format!("value={}", encode(text, false));
        let path = format!("/v2/keys/_retune/nodes/{name}");
        let answer =
            request(&address, "PUT", &path, Some(("application/x-www-form-urlencoded", &form))).unwrap();
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    }

    /// What `retune place` with these words comes to.
    #[track_caller]
    pub fn place(&self, words: &str) -> Done {
        let words: Vec<&str> = words.split_whitespace().collect();
        Retune::new(&self.dir, &["place", "--endpoints", &self.url()]).args(&words).run()
    }
}

/// A record of four processors and 4 GiB, with these labels and containers.
pub fn record(labels: &Value, containers: &Value) -> Value {
    json!({
        "id": "ID", "labels": labels, "cpus": 4, "memory": 4_u64 << 30, "containers": containers, "images": [],
    })
}

/// A container with host port 80.
pub fn web() -> Value {
    json!([{
        "id": "aaaaaaaaaaaa1111", "names": ["/front"], "image": "nginx:1",
        "ports": [{"ip": "0.0.0.0", "host_port": "80", "protocol": "tcp"}],
    }])
}
