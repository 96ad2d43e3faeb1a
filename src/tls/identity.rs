//! A certificate chain with its key, as presented in a handshake.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, Error, InconsistentKeys};

use super::pem;

/// The warning about our certificate, with advice.
const VERSION_1_WARNING: &str = "is of X.509 version 1: curl and other programs on OpenSSL accept it, those in Go or Rust (etcdctl, \
                     retune) refuse it; make one of version 3: openssl x509 -req with -extfile FILE, where FILE holds \
                     subjectAltName=DNS:HOST,IP:ADDRESS";
/// The error about the other side's certificate, with advice.
const VERSION_1_ERROR: &str = "its certificate is of X.509 version 1, which is not accepted; make one of version 3: openssl x509 \
                       -req with -extfile FILE, where FILE holds subjectAltName=DNS:HOST,IP:ADDRESS";

/// What is wrong with the two files. It never contains a part of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PairError {
    /// The certificate cannot be read.
    Cert(String),
    /// The key cannot be used.
    Key(String),
    /// Each is valid, but the certificate belongs to another key.
    Mismatch,
}

/// A certificate chain with its key.
#[derive(Debug)]
pub(crate) struct Identity {
    /// For a server's or a client's configuration.
    pub(crate) certified_key: Arc<SingleCertAndKey>,
    /// A warning, with advice, if other programs may refuse it.
    pub(crate) warning: Option<&'static str>,
}

/// Pairs a chain with its key, both in PEM.
///
/// # Errors
/// The certificate or the key cannot be read, or they do not belong together.
pub(crate) fn pair(cert: &[u8], key: &[u8]) -> Result<Identity, PairError> {
    let chain = pem::certificates(cert).map_err(PairError::Cert)?;
    let key = pem::private_key(key).map_err(PairError::Key)?;
    let key = ring::sign::any_supported_type(&key).map_err(|_| {
        PairError::Key(
            "holds a key of a kind that cannot be used; RSA of 2048 to 8192 bits, ECDSA on P-256 or P-384, and Ed25519 can"
                .to_owned(),
        )
    })?;
    let certified = CertifiedKey::new(chain, key);
    let warning = match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => None,
        Err(Error::InconsistentKeys(_)) => return Err(PairError::Mismatch),
        // Certificates of other versions than 3 are served too: other programs accept what rustls cannot read.
        Err(error) => match certified.cert.first().and_then(key_of_version_1) {
            Some(public) if certified.key.public_key().as_ref() == Some(&public) => Some(VERSION_1_WARNING),
            Some(_) => return Err(PairError::Mismatch),
            None => return Err(PairError::Cert(format!("holds a certificate that cannot be read: {error}"))),
        },
    };
    Ok(Identity { certified_key: Arc::new(SingleCertAndKey::from(certified)), warning })
}

/// Returns the public key in a certificate of version 1, which has six fields and no version; `None` for any other.
fn key_of_version_1(cert: &CertificateDer<'static>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let key = yasna::parse_der(cert, |reader| {
        reader.read_sequence(|fields| {
            let key = fields.next().read_sequence(|body| {
                // Serial number, signature algorithm, issuer, validity, subject.
                for _ in 0..5 {
                    body.next().read_der()?;
                }
                body.next().read_der()
            })?;
            fields.next().read_der()?;
            fields.next().read_der()?;
            Ok(key)
        })
    });
    key.ok().map(SubjectPublicKeyInfoDer::from)
}

/// Returns what is wrong with the other side's certificate if it is of version 1.
pub(crate) fn version_1(error: &CertificateError) -> Option<&'static str> {
    let CertificateError::Other(cause) = error else { return None };
    // The verifying library has no variant for this among rustls' errors.
    cause.0.to_string().contains("UnsupportedCertVersion").then_some(VERSION_1_ERROR)
}
