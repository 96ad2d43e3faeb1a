//! Shared code of the tests with a real engine.

use crate::support::http::{encode, request};
use crate::support::{Dir, Retune, Store};

/// Returns `retune register` for this store, with its socket in the test's folder.
pub fn register<'d>(dir: &'d Dir, store: &Store) -> Retune<'d> {
    let listen = format!("unix://{}", dir.text_path("register.sock"));
    Retune::new(dir, &["register", "--etcd", &store.url(), "--listen", &listen])
}

/// Returns a key's value; `None` without the key.
pub fn value(store: &Store, key: &str) -> Option<String> {
    let node = node(store, key)?;
    Some(node["value"].as_str()?.to_owned())
}

/// Returns a key or a directory; `None` if it does not exist.
pub fn node(store: &Store, key: &str) -> Option<serde_json::Value> {
    let path = format!("/v2/keys{}?recursive=true", encode(key, true));
    let answer = request(&store.address(), "GET", &path, None).unwrap();
    assert!([200, 404].contains(&answer.status), "{answer:?}");
    let mut body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    (answer.status == 200).then(|| body["node"].take())
}

/// Returns all visible keys below the root, for a message.
pub fn everything(store: &Store) -> String {
    node(store, "/").map(|node| node.to_string()).unwrap_or_default()
}
