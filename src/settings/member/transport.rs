//! What crosses the ports, and to whom.

use super::super::options::Commands;
use super::super::reader::Reader;
use super::object;
use super::urls::HostUrl;
use crate::tls::Files;

/// The flags of one port.
pub(super) struct Port {
    peer: bool,
    /// As etcd's messages have it.
    whose: &'static str,
    listen: &'static str,
    cert: &'static str,
    key: &'static str,
    trusted_ca: &'static str,
    old_ca: &'static str,
    auth: &'static str,
}

/// The port for clients.
pub(super) const CLIENTS: Port = Port {
    peer: false,
    whose: "client",
    listen: "listen-client-urls",
    cert: "cert-file",
    key: "key-file",
    trusted_ca: "trusted-ca-file",
    old_ca: "ca-file",
    auth: "client-cert-auth",
};

/// The port for the other members.
pub(super) const PEERS: Port = Port {
    peer: true,
    whose: "peer",
    listen: "listen-peer-urls",
    cert: "peer-cert-file",
    key: "peer-key-file",
    trusted_ca: "peer-trusted-ca-file",
    old_ca: "peer-ca-file",
    auth: "peer-client-cert-auth",
};

/// The files of a port, when some URL it listens on, or that is `reached` from here with the same files, is `https`.
pub(super) fn tls(
    read: &mut Reader<'_>,
    command: Commands,
    port: &Port,
    listen: &[HostUrl],
    reached: &[HostUrl],
) -> Option<Files> {
    let (cert, key) = (read.path(port.cert), read.path(port.key));
    let old_authority = read.path(port.old_ca);
    let trusted_ca = read.path(port.trusted_ca).or(old_authority);
    let asked = read.on(port.auth);
    if asked && trusted_ca.is_none() {
        let says =
            format!("certificates can only be judged by their authorities; add --{} FILE", port.trusted_ca);
        object(read, command, port.auth, says);
    }
    if !paired(read, command, port, (cert.is_some(), key.is_some())) {
        return None;
    }
    let given = cert.is_some() || trusted_ca.is_some() || asked;
    match listen.iter().find(|url| url.https) {
        Some(url) if cert.is_none() => {
            let says = format!(
                "TLS key/cert (--{}/--{}) must be provided for {} url {} with HTTPS scheme",
                port.cert,
                port.key,
                port.whose,
                url.text()
            );
            object(read, command, port.listen, says);
            return None;
        }
        Some(_) => {
            if let Some(url) = listen.iter().find(|url| !url.https) {
                let url = url.text();
                read.warnings.push(format!("{url} is served without TLS, although --{} is given", port.cert));
            }
        }
        None if reached.iter().any(|url| url.https) => {}
        None => {
            if given {
                let says = format!("TLS files have no effect: no URL in --{} begins with https", port.listen);
                read.warnings.push(says);
            }
            return None;
        }
    }
    // etcd's rule: naming the authorities asks for certificates.
    let client_auth = asked || trusted_ca.is_some();
    Some(Files { cert, key, trusted_ca, client_auth, peer: port.peer })
}

/// Whether certificate and key are both there, or neither; notes what is missing.
fn paired(read: &mut Reader<'_>, command: Commands, port: &Port, given: (bool, bool)) -> bool {
    let (name, says) = match given {
        (true, false) => {
            (port.cert, format!("a certificate is of no use without its key; add --{} FILE", port.key))
        }
        (false, true) => {
            (port.key, format!("a key is of no use without its certificate; add --{} FILE", port.cert))
        }
        (true, true) | (false, false) => return true,
    };
    object(read, command, name, says);
    false
}

/// Origins; etcd wants each to be a URL.
pub(super) fn cors(read: &mut Reader<'_>) -> Vec<String> {
    let origins = |text: &str| {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let origin = |part: &str| {
            if part == "*" { Ok(part.to_owned()) } else { HostUrl::read(part).map(|url| url.text()) }
        };
        parts.map(origin).collect::<Result<Vec<_>, _>>()
    };
    read.parsed("cors", origins).unwrap_or_else(everyone)
}

/// Host names.
pub(super) fn hosts(read: &mut Reader<'_>) -> Vec<String> {
    let text = read.text("host-whitelist").unwrap_or_default();
    let hosts: Vec<String> =
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    if hosts.is_empty() { everyone() } else { hosts }
}

fn everyone() -> Vec<String> {
    vec!["*".to_owned()]
}
