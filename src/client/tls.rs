//! TLS towards a store: whom to trust, and who we are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::ClientError;
use crate::tls::pem;

/// Files and switches of TLS; all empty means the system's trust roots and no client certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// PEM file of the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// PEM file of the client certificate chain; needs `key`.
    pub cert: Option<PathBuf>,
    /// PEM file of the client's private key; needs `cert`.
    pub key: Option<PathBuf>,
    /// Accept any server certificate.
    pub insecure: bool,
}

/// The configuration for nodes that speak TLS. Named files are always read, so that a bad one is found at start;
/// the system's trust roots only when `https` says a node needs them, because reading them takes milliseconds.
pub(crate) fn config(trust: &Trust, https: bool) -> Result<ClientConfig, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Settings(format!("TLS cannot be set up: {error}")))?;
    let roots = roots(trust, https)?;
    let builder = if trust.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else {
        builder.with_root_certificates(roots)
    };
    match (&trust.cert, &trust.key) {
        (Some(cert), Some(key)) => {
            let private = private_key(key)?;
            builder.with_client_auth_cert(certificates(cert)?, private).map_err(|error| ClientError::File {
                path: cert.clone(),
                why: format!("does not go with the key {}: {error}", key.display()),
            })
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(_), None) => Err(ClientError::Settings("a client certificate needs its client key".into())),
        (None, Some(_)) => Err(ClientError::Settings("a client key needs its client certificate".into())),
    }
}

fn roots(trust: &Trust, https: bool) -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = &trust.ca {
        for certificate in certificates(ca)? {
            roots
                .add(certificate)
                .map_err(|error| ClientError::File { path: ca.clone(), why: error.to_string() })?;
        }
    } else if https && !trust.insecure {
        let native = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(native.certs);
        if added == 0 {
            return Err(ClientError::Settings(
                "this system has no trusted certificate authorities; name a PEM file of them".into(),
            ));
        }
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let read = pem::contents(path).and_then(|bytes| pem::certificates(&bytes));
    read.map_err(|why| ClientError::File { path: path.to_owned(), why })
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ClientError> {
    let read = pem::contents(path).and_then(|bytes| pem::private_key(&bytes));
    read.map_err(|why| ClientError::File { path: path.to_owned(), why })
}

/// What a person can do about a failed handshake, where the error's own words do not say.
pub(crate) fn advice(error: &rustls::Error) -> Option<&'static str> {
    use rustls::{AlertDescription as Alert, CertificateError, Error, InvalidMessage};
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            Some("no trusted authority signed its certificate; name the one that did by client-ca-keys")
        }
        Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::UnsupportedCertificate
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::CertificateRevoked,
        ) => Some("it wants a client certificate that it trusts; give one by client-cert and client-key"),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            Some("it does not speak TLS; its URL begins with http://")
        }
        _ => None,
    }
}

/// Believes every certificate; signatures are still checked, so the peer at least owns the key it shows.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, "no pem at all\n").unwrap();
        let trust = Trust { ca: Some(path), ..Trust::default() };
        let said = config(&trust, false).unwrap_err().to_string();
        assert!(said.contains("ca.pem") && said.contains("holds no certificate"), "{said}");
        let trust = Trust { ca: Some(dir.path().join("none.pem")), ..Trust::default() };
        assert!(config(&trust, true).unwrap_err().to_string().contains("none.pem: cannot be read"));
    }

    #[test]
    fn a_certificate_without_its_key_is_refused() {
        let trust = Trust { cert: Some("c.pem".into()), ..Trust::default() };
        assert!(matches!(config(&trust, false), Err(ClientError::Settings(_))));
    }
}
