//! PEM files: from a path to certificates and keys. What is wrong is said without the path; the caller knows how the
//! person named the file.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The system's own list of authorities takes a quarter of it.
const MOST_BYTES: u64 = 1 << 20;

/// The bytes of a file that is not larger than any PEM file needs to be.
pub(crate) fn contents(path: &Path) -> Result<Vec<u8>, String> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error: std::io::Error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err("is larger than 1 MiB, so it is no PEM file of certificates".to_owned());
    }
    Ok(bytes)
}

/// All certificates, of which there must be one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("is no PEM file of certificates: {error}"))?;
    if all.is_empty() { Err("holds no certificate in PEM form".to_owned()) } else { Ok(all) }
}

/// The first private key. The parser's own words may quote the file, which holds a secret, so they are not repeated.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| "holds no private key in PEM form".to_owned())
}
