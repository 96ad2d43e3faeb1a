//! A store with nodes in it, and the program that reads it.

use serde_json::{Value, json};

use crate::support::http::{encode, request};
use crate::support::retune::FinishedRun;
use crate::support::{Dir, Etcd, Retune, Store};

/// Our store or a real etcd: it must not matter which.
pub enum RecordStore {
    /// Ours.
    Own(Store),
    /// etcd.
    Real(Etcd),
}

/// The store, and the folder for the program's logs.
pub struct NodeRecords {
    holder: RecordStore,
    dir: Dir,
}

impl NodeRecords {
    /// Returns a field in our own store.
    pub fn new() -> Self {
        Self { holder: RecordStore::Own(Store::start()), dir: Dir::new() }
    }

    /// Returns one in a real etcd, where that is installed.
    pub fn real() -> Option<Self> {
        Some(Self { holder: RecordStore::Real(Etcd::start()?), dir: Dir::new() })
    }

    /// Returns one with these nodes.
    pub fn of(nodes: &[(&str, Value)]) -> Self {
        let field = Self::new();
        for (name, record) in nodes {
            field.publish(name, record);
        }
        field
    }

    /// Returns the store's URL.
    pub fn url(&self) -> String {
        match &self.holder {
            RecordStore::Own(store) => store.url(),
            RecordStore::Real(etcd) => etcd.url(),
        }
    }

    /// Publishes a node's record.
    #[track_caller]
    pub fn publish(&self, name: &str, record: &Value) {
        let mut record = record.clone();
        record["name"] = json!(name);
        self.write(name, &record.to_string());
    }

    /// Publishes any text as a record.
    #[track_caller]
    pub fn write(&self, name: &str, text: &str) {
        let address = self.url().trim_start_matches("http://").to_owned();
        let form = format!("value={}", encode(text, false));
        let path = format!("/v2/keys/_retune/nodes/{name}");
        let answer =
            request(&address, "PUT", &path, Some(("application/x-www-form-urlencoded", &form))).unwrap();
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    }

    /// Runs `retune place` with these words.
    #[track_caller]
    pub fn place(&self, words: &str) -> FinishedRun {
        let words: Vec<&str> = words.split_whitespace().collect();
        Retune::new(&self.dir, &["place", "--endpoints", &self.url()]).args(&words).run()
    }
}

/// Returns a record of four processors and 4 GiB, with these labels and containers.
pub fn record(labels: &Value, containers: &Value) -> Value {
    json!({
        "id": "ID", "labels": labels, "cpus": 4, "memory": 4_u64 << 30, "containers": containers, "images": [],
    })
}

/// Returns a container with host port 80.
pub fn web() -> Value {
    json!([{
        "id": "aaaaaaaaaaaa1111", "names": ["/front"], "image": "nginx:1",
        "ports": [{"ip": "0.0.0.0", "host_port": "80", "protocol": "tcp"}],
    }])
}
