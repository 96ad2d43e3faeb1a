//! TLS: bad files. The tests of the whole program make handshakes with real certificates.

use super::super::{ApiError, Server, Settings};
use crate::tls::TlsFiles;

fn refused(tls: Option<TlsFiles>) -> ApiError {
    let listen_client_urls = vec!["https://127.0.0.1:0".to_owned()];
    Server::bind(&Settings { listen_client_urls, tls, ..Settings::default() }).unwrap_err()
}

#[tokio::test]
async fn a_bad_file_is_reported_with_its_setting() {
    let dir = tempfile::tempdir().unwrap();
    let none = Some(dir.path().join("none.pem"));
    let error = refused(Some(TlsFiles { cert: none.clone(), key: none, ..TlsFiles::default() })).to_string();
    assert!(error.contains("none.pem: cannot be read") && error.contains("--cert-file"), "{error}");
}

#[tokio::test]
async fn https_without_a_certificate_names_the_missing_setting() {
    let error = refused(None).to_string();
    assert!(error.contains("add --cert-file and --key-file"), "{error}");
}
