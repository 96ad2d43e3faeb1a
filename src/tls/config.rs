//! Turns the files' contents into rustls configurations.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::accept_any::AcceptAnyCertificate;
use super::contents::{CA, CERT, FileContents, KEY, bad};
use super::{TlsError, TlsFiles};

const HTTP: &[u8] = b"http/1.1";

/// Makes the server's configuration.
pub(super) fn server(files: &TlsFiles, contents: &FileContents) -> Result<ServerConfig, TlsError> {
    let Some(identity) = contents.identity(files)? else {
        let (cert, key) = (files.flag(CERT), files.flag(KEY));
        return Err(TlsError(format!("an https URL needs a certificate and its key; add {cert} and {key}")));
    };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| no_tls(&error))?;
    let builder = match verifier(files, contents.roots(files)?)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(identity);
    config.alpn_protocols = vec![HTTP.to_vec()];
    Ok(config)
}

/// Makes the client's configuration.
pub(super) fn client(files: &TlsFiles, contents: &FileContents) -> Result<ClientConfig, TlsError> {
    let identity = contents.identity(files)?;
    let roots = contents.roots(files)?;
    let roots = match roots {
        _ if files.unverified => None,
        None => Some(system_roots(&files.flag(CA))?),
        roots => roots,
    };
    let mut config = client_config(roots, identity)?;
    config.alpn_protocols = vec![HTTP.to_vec()];
    Ok(config)
}

/// Makes a client's configuration. Without `roots`, every server certificate is accepted.
pub(crate) fn client_config(
    roots: Option<RootCertStore>,
    identity: Option<Arc<SingleCertAndKey>>,
) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| no_tls(&error))?;
    let builder = match roots {
        Some(roots) => builder.with_root_certificates(roots),
        None => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate(provider())))
        }
    };
    Ok(match identity {
        Some(identity) => builder.with_client_cert_resolver(identity),
        None => builder.with_no_client_auth(),
    })
}

/// Makes the verifier of client certificates. An authority alone does not require certificates, but those presented
/// must be valid.
fn verifier(
    files: &TlsFiles,
    roots: Option<RootCertStore>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let Some(roots) = roots else {
        if !files.client_auth {
            return Ok(None);
        }
        let (auth, ca) = (files.flag("client-cert-auth"), files.flag(CA));
        return Err(TlsError(format!("{auth} needs the authorities of client certificates; add {ca} FILE")));
    };
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = if files.client_auth { builder } else { builder.allow_unauthenticated() };
    let verifier = builder.build().map_err(|error| bad(files, CA, &format!("cannot be used: {error}")))?;
    Ok(Some(verifier))
}

/// Returns the system's authorities; `flag` names others.
pub(crate) fn system_roots(flag: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(native.certs);
    if added == 0 {
        return Err(TlsError(format!(
            "this system has no trusted certificate authorities; name a PEM file of them by {flag} FILE"
        )));
    }
    Ok(roots)
}

fn no_tls(error: &rustls::Error) -> TlsError {
    TlsError(format!("TLS cannot be set up: {error}"))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
