//! TLS and access settings of the ports.

use std::path::Path;

use super::super::reader::Reader;
use super::cluster::Cluster;
use super::report_semantic;
use super::urls::HostUrl;
use crate::consensus::PeerSecret;
use crate::tls::TlsFiles;

/// The flags of one port.
struct Port {
    peer: bool,
    /// The port's name in etcd's messages.
    name: &'static str,
    listen: &'static str,
    cert: &'static str,
    key: &'static str,
    trusted_ca: &'static str,
    old_ca: &'static str,
    auth: &'static str,
    auto: &'static str,
    /// The folder, below the data folder, of a self-signed certificate, as in etcd.
    fixtures: &'static str,
}

/// The port for clients.
const CLIENTS: Port = Port {
    peer: false,
    name: "client",
    listen: "listen-client-urls",
    cert: "cert-file",
    key: "key-file",
    trusted_ca: "trusted-ca-file",
    old_ca: "ca-file",
    auth: "client-cert-auth",
    auto: "auto-tls",
    fixtures: "fixtures/client",
};

/// The port for the other members.
const PEERS: Port = Port {
    peer: true,
    name: "peer",
    listen: "listen-peer-urls",
    cert: "peer-cert-file",
    key: "peer-key-file",
    trusted_ca: "peer-trusted-ca-file",
    old_ca: "peer-ca-file",
    auth: "peer-client-cert-auth",
    auto: "peer-auto-tls",
    fixtures: "fixtures/peer",
};

/// What a self-signed certificate depends on.
pub(super) struct SelfSignedSettings<'o> {
    /// The data folder.
    pub(super) data_dir: &'o Path,
    /// The advertised URLs, which the certificate names.
    pub(super) advertised: &'o [HostUrl],
}

/// Returns the TLS files of the client port, if they are used: they only serve `https` listeners.
pub(super) fn client_files(
    read: &mut Reader<'_>,
    listen: &[HostUrl],
    own: &SelfSignedSettings<'_>,
) -> Option<TlsFiles> {
    let files = files(read, &CLIENTS, listen, own);
    let secure = serves_tls(read, &CLIENTS, listen, &files);
    if !secure && (files.any() || files.client_auth) {
        let message = format!("TLS files have no effect: no URL in --{} begins with https", CLIENTS.listen);
        read.warnings.push(message);
    }
    secure.then_some(files)
}

/// Returns the TLS files for other members. The member also uses them to call others, whatever it listens on: members
/// move to `https` and back one at a time, and each has to reach those that have moved and those that have not.
pub(super) fn peer_files(read: &mut Reader<'_>, cluster: &Cluster, data_dir: &Path) -> TlsFiles {
    let listen = &cluster.listen;
    let own = SelfSignedSettings { data_dir, advertised: &cluster.peer_urls };
    let files = files(read, &PEERS, listen, &own);
    let secure = serves_tls(read, &PEERS, listen, &files);
    if !secure && (files.any() || files.client_auth) {
        if let Some(url) = listen.first() {
            read.warnings.push(format!(
                "{} is served without TLS: the peer TLS files are only used to call members at https URLs",
                url.text()
            ));
        } else if cluster.standalone {
            read.warnings.push(
                "TLS files have no effect: this member knows no others and listens for none; add --listen-peer-urls"
                    .to_owned(),
            );
        }
    }
    files
}

/// Reads the secret that the members share.
pub(super) fn peer_secret(read: &mut Reader<'_>) -> Option<PeerSecret> {
    let path = read.path("peer-secret-file")?;
    match PeerSecret::read(&path) {
        Ok((secret, warning)) => {
            read.warnings.extend(warning.map(|warning| format!("--peer-secret-file: {warning}")));
            Some(secret)
        }
        Err(message) => {
            report_semantic(read, "peer-secret-file", message);
            None
        }
    }
}

/// Returns the files given for a port; reports inconsistencies.
fn files(read: &mut Reader<'_>, port: &Port, listen: &[HostUrl], own: &SelfSignedSettings<'_>) -> TlsFiles {
    let (mut cert, mut key) = (read.path(port.cert), read.path(port.key));
    let old_authority = read.path(port.old_ca);
    let trusted_ca = read.path(port.trusted_ca).or(old_authority);
    let asked = read.on(port.auth);
    if asked && trusted_ca.is_none() {
        let message = format!(
            "client certificates can only be verified with their authorities; add --{} FILE",
            port.trusted_ca
        );
        report_semantic(read, port.auth, message);
    }
    if let Some((name, message)) = read.half_pair(port.cert, port.key) {
        report_semantic(read, name, message);
    }
    let self_signed = self_signed_hosts(read, port, cert.is_some(), &[listen, own.advertised].concat());
    if self_signed.is_some() {
        let folder = own.data_dir.join(port.fixtures);
        (cert, key) = (Some(folder.join("cert.pem")), Some(folder.join("key.pem")));
    }
    // etcd's rule: naming the authorities requires client certificates.
    let client_auth = asked || trusted_ca.is_some();
    // The other members' certificates are self-signed as well.
    let unverified = port.peer && self_signed.is_some();
    TlsFiles { cert, key, trusted_ca, client_auth, peer: port.peer, self_signed, unverified }
}

/// Returns the hosts of a self-signed certificate; `None` when there is to be none.
fn self_signed_hosts(
    read: &mut Reader<'_>,
    port: &Port,
    given: bool,
    urls: &[HostUrl],
) -> Option<Vec<String>> {
    if !read.on(port.auto) {
        return None;
    }
    if given {
        // etcd's rule.
        read.warnings.push(format!("--{} has no effect: --{} is given", port.auto, port.cert));
        return None;
    }
    if port.peer && (read.on(port.auth) || read.path(port.trusted_ca).or(read.path(port.old_ca)).is_some()) {
        // etcd ignores these, and then accepts everybody.
        let message = format!(
            "self-signed certificates of members come from no authority, so none can be required; remove --{} and \
             --{}, or give --{} and --{}",
            port.auth, port.trusted_ca, port.cert, port.key
        );
        report_semantic(read, port.auto, message);
    }
    let local = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let advertised = urls.iter().filter(|url| !url.is_wildcard()).map(|url| url.host.clone());
    let mut hosts: Vec<String> = local.into_iter().chain(advertised).collect();
    hosts.sort();
    hosts.dedup();
    Some(hosts)
}

/// Returns whether some listener is `https`; reports a missing certificate for it, and any listeners without TLS.
fn serves_tls(read: &mut Reader<'_>, port: &Port, listen: &[HostUrl], files: &TlsFiles) -> bool {
    let Some(url) = listen.iter().find(|url| url.https) else { return false };
    if files.cert.is_none() && files.key.is_none() {
        let message = format!(
            "TLS key/cert (--{}/--{}) must be provided for {} url {} with HTTPS scheme",
            port.cert,
            port.key,
            port.name,
            url.text()
        );
        report_semantic(read, port.listen, message);
    } else if let Some(url) = listen.iter().find(|url| !url.https) {
        let url = url.text();
        read.warnings.push(format!("{url} is served without TLS, although --{} is given", port.cert));
    }
    true
}

/// Reads the origins, if any are given; etcd requires each to be a URL.
pub(super) fn cors(read: &mut Reader<'_>) -> Option<Vec<String>> {
    let origins = |text: &str| {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let origin = |part: &str| {
            if part == "*" { Ok(part.to_owned()) } else { HostUrl::read(part).map(|url| url.text()) }
        };
        parts.map(origin).collect::<Result<Vec<_>, _>>()
    };
    read.parsed("cors", origins)
}

/// Reads the host names.
pub(super) fn hosts(read: &mut Reader<'_>) -> Vec<String> {
    let text = read.text("host-whitelist").unwrap_or_default();
    let hosts: Vec<String> =
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    if hosts.is_empty() { vec!["*".to_owned()] } else { hosts }
}
