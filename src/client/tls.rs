//! TLS settings towards a store: trusted authorities and the client certificate.

use std::path::{Path, PathBuf};

use rustls::{ClientConfig, RootCertStore};

use super::ClientError;
use crate::tls::advice::{self, Flags};
use crate::tls::identity::{PairError, pair};
use crate::tls::{TlsError, client_config, pem, system_roots};

/// The TLS files and options; all empty means the system's trust roots and no client certificate.
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
    /// How errors name the files.
    pub set_by: SetBy,
}

/// The command whose flags set the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetBy {
    /// Those of most commands: `--client-ca-keys`.
    #[default]
    Client,
    /// Those of a container engine: `--engine-ca`.
    Engine,
    /// Those of `retune ctl`: `--ca-file`.
    Ctl,
    /// The same, with errors only in the words of etcd's own client.
    Etcdctl,
}

impl Trust {
    /// Returns the flags, with the files that they name.
    pub(crate) fn flags(&self) -> Flags {
        let flags = match self.set_by {
            SetBy::Client => Flags::named("--client-ca-keys", "--client-cert", "--client-key"),
            SetBy::Engine => Flags::named("--engine-ca", "--engine-cert", "--engine-key"),
            SetBy::Ctl | SetBy::Etcdctl => Flags::named("--ca-file", "--cert-file", "--key-file"),
        };
        Flags { ca_path: self.ca.clone(), cert_path: self.cert.clone(), ..flags }
    }
}

/// Returns the configuration for nodes with TLS. Always loads the named files, so that a bad one is found at start;
/// loads the system's trust roots only when `https` says that a node needs them, because that takes milliseconds.
pub(crate) fn config(trust: &Trust, https: bool) -> Result<ClientConfig, ClientError> {
    let (flags, unusable) = (trust.flags(), |error: TlsError| ClientError::Settings(error.0));
    let roots = match &trust.ca {
        Some(ca) => contents(ca, &flags.ca)
            .and_then(|pem| pem::authorities(&pem).map_err(|why| bad(ca, &flags.ca, &why)))?,
        None if https && !trust.insecure => system_roots(&flags.ca).map_err(unusable)?,
        None => RootCertStore::empty(),
    };
    let identity = match (&trust.cert, &trust.key) {
        (Some(cert), Some(key)) => {
            let paired = pair(&contents(cert, &flags.cert)?, &contents(key, &flags.key)?);
            Some(paired.map_err(|unusable| match unusable {
                PairError::Cert(why) => bad(cert, &flags.cert, &why),
                PairError::Key(why) => bad(key, &flags.key, &why),
                PairError::Mismatch => {
                    bad(cert, &flags.cert, &format!("does not go with the key {}", key.display()))
                }
            })?)
        }
        (None, None) => None,
        (Some(_), None) => {
            return Err(ClientError::Settings("a client certificate needs its client key".into()));
        }
        (None, Some(_)) => {
            return Err(ClientError::Settings("a client key needs its client certificate".into()));
        }
    };
    let identity = identity.map(|identity| identity.certified_key);
    client_config((!trust.insecure).then_some(roots), identity).map_err(unusable)
}

/// Returns what the HTTP clients have in common.
pub(crate) fn http_client(trust: &Trust, https: bool) -> Result<reqwest::ClientBuilder, ClientError> {
    let http = reqwest::Client::builder().use_preconfigured_tls(config(trust, https)?);
    Ok(http.no_proxy().redirect(reqwest::redirect::Policy::none()))
}

fn contents(path: &Path, flag: &str) -> Result<Vec<u8>, ClientError> {
    pem::contents(path).map_err(|why| bad(path, flag, &why))
}

fn bad(path: &Path, flag: &str, why: &str) -> ClientError {
    ClientError::File { path: path.to_owned(), why: format!("{why}; check {flag}") }
}

/// Describes why a handshake with `host` failed, and what to do about it.
pub(crate) fn reason(error: &rustls::Error, host: &str) -> Option<String> {
    advice::of_server(&Trust::default().flags(), host, error)
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
