//! TLS: bad files. The tests of the whole program make handshakes with real certificates.

use super::super::{ApiError, Server, Settings};
use crate::tls::Files;

fn refused(tls: Option<Files>) -> ApiError {
    let listen_client_urls = vec!["https://127.0.0.1:0".to_owned()];
    Server::bind(&Settings { listen_client_urls, tls, ..Settings::default() }).unwrap_err()
}

#[tokio::test]
async fn a_bad_file_is_named_with_what_sets_it() {
    let dir = tempfile::tempdir().unwrap();
    let none = Some(dir.path().join("none.pem"));
    let error = refused(Some(Files { cert: none.clone(), key: none, ..Files::default() })).to_string();
    assert!(error.contains("none.pem: cannot be read") && error.contains("--cert-file"), "{error}");
}

#[tokio::test]
async fn https_without_a_certificate_says_what_to_add() {
    let error = refused(None).to_string();
    assert!(error.contains("add --cert-file and --key-file"), "{error}");
}
