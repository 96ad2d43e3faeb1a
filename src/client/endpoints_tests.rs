//! Nodes as they are given, and the order in which they are tried.

use std::time::Duration;

use super::ClientError;
use super::endpoints::Endpoints;

fn endpoints(nodes: &[&str]) -> Result<Endpoints, ClientError> {
    let nodes: Vec<String> = nodes.iter().map(|node| (*node).to_owned()).collect();
    Endpoints::new(&nodes, None, "http", Duration::from_secs(1))
}

#[test]
fn nodes_get_a_scheme_and_lose_their_slash() {
    let found = endpoints(&["10.0.0.1:2379/", " HTTPS://store.example ", "[::1]:2379"]).unwrap();
    assert_eq!(
        found.known().iter().map(|node| &**node).collect::<Vec<_>>(),
        ["http://10.0.0.1:2379", "https://store.example", "http://[::1]:2379"]
    );
    assert!(found.https());
}

#[test]
fn a_bad_node_is_named_and_a_password_is_not() {
    for bad in ["ftp://x", "http://", "http://x:99999", "http://x?y"] {
        let said = endpoints(&[bad]).unwrap_err().to_string();
        assert!(said.contains(&format!("{bad:?}")), "{said}");
    }
    let said = endpoints(&["http://root:hunter2@x"]).unwrap_err().to_string();
    assert!(!said.contains("hunter2"), "{said}");
    assert!(matches!(endpoints(&[]), Err(ClientError::Settings(_))));
}

#[test]
fn the_node_that_responded_is_tried_first_until_it_fails() {
    let found = endpoints(&["a:1", "b:1", "c:1"]).unwrap();
    found.served(&"http://b:1".into());
    assert_eq!(&*found.known()[0], "http://b:1");
    found.failed("http://a:1");
    assert_eq!(&*found.known()[0], "http://b:1");
    found.failed("http://b:1");
    assert_eq!(&*found.known()[0], "http://c:1");
}
