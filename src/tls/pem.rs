//! Reads certificates and keys from PEM files. Errors do not name the path; the caller knows how the user named the
//! file.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Four times the size of the system's own list of authorities.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Reads a file that is not larger than any PEM file needs to be.
pub(crate) fn contents(path: &Path) -> Result<Vec<u8>, String> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error: std::io::Error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err("is larger than 1 MiB, so it is not a PEM file of certificates".to_owned());
    }
    Ok(bytes)
}

/// Returns all certificates; there must be at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("is not a PEM file of certificates: {error}"))?;
    if all.is_empty() { Err(lacks(pem, "certificate")) } else { Ok(all) }
}

/// Returns all certificates as authorities.
pub(crate) fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| format!("holds a bad certificate: {error}"))?;
    }
    Ok(roots)
}

/// Returns the first private key. The parser's errors may quote the secret file, so they are not repeated.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| lacks(pem, "private key"))
}

/// Says what a file contains instead. Nothing of the content is repeated, since it may be secret.
fn lacks(pem: &[u8], wanted: &str) -> String {
    const DER_SEQUENCE: [u8; 2] = [0x30, 0x82];
    let text = String::from_utf8_lossy(pem);
    let mut labels =
        text.lines().filter_map(|line| line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    let held = labels.find_map(|label| match label {
        "CERTIFICATE" => Some("a certificate"),
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Some("a request for a certificate"),
        "ENCRYPTED PRIVATE KEY" => Some("a key under a password"),
        label if label.ends_with("PRIVATE KEY") => Some("a private key"),
        label if label.ends_with("PUBLIC KEY") => Some("a public key"),
        _ => None,
    });
    match held {
        Some(held) if held != format!("a {wanted}") => format!("holds {held}, but no {wanted}"),
        Some(_) => format!("holds a damaged {wanted}"),
        None if pem.starts_with(&DER_SEQUENCE) => {
            format!("holds no {wanted} in PEM form but something in DER form; convert it with openssl")
        }
        None => format!("holds no {wanted} in PEM form"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_kind_of_file_is_reported_by_what_it_holds() {
        let pem = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        for (file, holds) in [
            (pem("CERTIFICATE REQUEST"), "holds a request for a certificate, but no "),
            (pem("ENCRYPTED PRIVATE KEY"), "holds a key under a password, but no "),
            (pem("PUBLIC KEY"), "holds a public key, but no "),
            ("secret".to_owned(), "holds no "),
        ] {
            let says =
                [certificates(file.as_bytes()).unwrap_err(), private_key(file.as_bytes()).unwrap_err()];
            for (says, wanted) in says.iter().zip(["certificate", "private key"]) {
                assert!(says.starts_with(&format!("{holds}{wanted}")), "{says}");
                assert!(!says.contains("secret"), "{says}");
            }
        }
        let key = certificates(pem("EC PRIVATE KEY").as_bytes()).unwrap_err();
        assert_eq!(key, "holds a private key, but no certificate");
        let damaged = private_key(b"-----BEGIN PRIVATE KEY-----\nsecret").unwrap_err();
        assert_eq!(damaged, "holds a damaged private key");
        assert_eq!(
            private_key(pem("CERTIFICATE").as_bytes()).unwrap_err(),
            "holds a certificate, but no private key"
        );
        assert!(certificates(&[0x30, 0x82, 1, 2]).unwrap_err().contains("DER form"));
    }
}
