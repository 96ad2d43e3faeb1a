//! What the tests with a real engine share.

use crate::support::http::{encode, request};
use crate::support::{Dir, Retune, Store};

/// `retune register` against this store, its socket in the test's folder.
pub fn register<'d>(dir: &'d Dir, store: &Store) -> Retune<'d> {
    let listen = format!("unix://{}", dir.text_path("register.sock"));
    Retune::new(dir, &["register", "--etcd", &store.url(), "--listen", &listen])
}

/// What a key holds; `None` without it.
pub fn value(store: &Store, key: &str) -> Option<String> {
    let node = node(store, key)?;
    Some(node["value"].as_str()?.to_owned())
}

/// A key or a directory; `None` without it.
pub fn node(store: &Store, key: &str) -> Option<serde_json::Value> {
    let path = format!("/v2/keys{}?recursive=true", encode(key, true));
    let answer = request(&store.address(), "GET", &path, None).unwrap();
    assert!([200, 404].contains(&answer.status), "{answer:?}");
    let mut body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    (answer.status == 200).then(|| body["node"].take())
}

/// All keys below the root that can be seen, for a message.
pub fn everything(store: &Store) -> String {
    node(store, "/").map(|node| node.to_string()).unwrap_or_default()
}
