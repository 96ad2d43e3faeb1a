//! Translates errors of the HTTP library into the words of Go's.

use std::io;
use std::net::IpAddr;

use nix::errno::Errno;
use rustls::AlertDescription;

use super::error::EndpointError;
use crate::client::address::Address;
use crate::client::endpoints::{NodeUrl, Unverified};
use crate::client::request::{NodeError, Reply};
use crate::client::{SetBy, Trust, excerpt};
use crate::http::error::causes;
use crate::tls::advice;
use crate::tls::identity::version_1;

/// Loop Detected.
const LOOP_DETECTED: u16 = 508;

/// Returns why `node` did not serve a request.
pub(super) async fn translate(node: &NodeUrl, error: NodeError, trust: &Trust) -> EndpointError {
    let text = match error {
        NodeError::Unverified(Unverified { why, responds }) => {
            return EndpointError { text: format!("client: {node}: {why}"), connection: !responds };
        }
        NodeError::OtherCluster(why) => format!("client: {node}: {why}"),
        NodeError::TimedOut(_) => format!("client: endpoint {node} exceeded header timeout"),
        NodeError::Http(error) | NodeError::Interrupted(error) => match Address::parse(node) {
            Ok(address) => return translate_http(error, &address, trust).await,
            Err(why) => why,
        },
        NodeError::Status(reply) => server_error(&reply),
        NodeError::Other(text) => {
            let connection = text.starts_with("dial");
            return EndpointError { text, connection };
        }
    };
    EndpointError { text, connection: false }
}

fn server_error(reply: &Reply) -> String {
    let node = &reply.node;
    if matches!(reply.status.as_u16(), 500 | 503) {
        return format!("client: etcd member {node} has no leader");
    }
    let reason = reply.status.canonical_reason().unwrap_or_default();
    let text = format!("client: etcd member {node} returns server error [{reason}]");
    // Only our own proxy returns this status, and its message says which address to change.
    if reply.status.as_u16() == LOOP_DETECTED { format!("{text}: {}", message(&reply.body)) } else { text }
}

/// Returns the `message` of a body, or the body's beginning.
fn message(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let reported = json.as_ref().and_then(|json| json["message"].as_str());
    excerpt(reported.map_or(body, str::as_bytes))
}

async fn translate_http(error: reqwest::Error, address: &Address, trust: &Trust) -> EndpointError {
    // The causes are not `Send`, so nothing may be awaited while they are borrowed.
    match explain(&error, address, trust) {
        Explanation::Complete(error) => error,
        Explanation::Connection { what, why } => {
            EndpointError { text: format!("{what} tcp {}: {why}", target(address).await), connection: true }
        }
    }
}

/// A reason, or the two parts around the dialled address.
enum Explanation {
    Complete(EndpointError),
    Connection { what: &'static str, why: String },
}

fn explain(error: &reqwest::Error, address: &Address, trust: &Trust) -> Explanation {
    let causes: Vec<_> = causes(error).collect();
    if let Some(tls) = causes.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return Explanation::Complete(EndpointError {
            text: handshake(tls, address, trust),
            connection: false,
        });
    }
    let os = causes.iter().find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error());
    let named = |words: &str| causes.iter().any(|cause| cause.to_string().contains(words));
    if error.is_connect() && named("dns error") {
        let (host, _) = address.host_and_port();
        let text = format!("dial tcp: lookup {host}{}: no such host", name_server());
        return Explanation::Complete(EndpointError { text, connection: true });
    }
    if error.is_connect() && (error.is_timeout() || os.is_some()) {
        let why = if error.is_timeout() {
            "i/o timeout".to_owned()
        } else {
            format!("connect: {}", os_error_text(os))
        };
        return Explanation::Connection { what: "dial", why };
    }
    if os.is_some() {
        return Explanation::Connection { what: "read", why: format!("read: {}", os_error_text(os)) };
    }
    let ended = causes.iter().any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof)
    });
    if ended || named("connection closed before message completed") {
        let text = if error.is_body() || error.is_decode() { "unexpected EOF" } else { "EOF" };
        // An end of stream while connecting can only come from the handshake.
        let text = match advice::ENDED {
            ended if error.is_connect() && trust.set_by != SetBy::Etcdctl => {
                format!("{text} ({}: {ended})", address.text())
            }
            _ => text.to_owned(),
        };
        return Explanation::Complete(EndpointError { text, connection: false });
    }
    if error.is_body() || error.is_decode() {
        return Explanation::Complete(EndpointError { text: "unexpected EOF".to_owned(), connection: false });
    }
    let last = causes.last().map_or_else(|| error.to_string(), |cause| cause.to_string());
    Explanation::Complete(EndpointError { text: last, connection: false })
}

fn os_error_text(os: Option<i32>) -> String {
    os.map_or_else(String::new, |code| Errno::from_raw(code).desc().to_lowercase())
}

/// Returns the dialled address as Go shows it: the IP address, not the name.
async fn target(address: &Address) -> String {
    let (host, port) = address.host_and_port();
    let ip = match host.parse::<IpAddr>() {
        Ok(ip) => Some(ip),
        Err(_) => match tokio::net::lookup_host((host.as_str(), port)).await {
            Ok(mut found) => found.next().map(|found| found.ip()),
            Err(_) => None,
        },
    };
    match ip {
        Some(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        Some(IpAddr::V4(ip)) => format!("{ip}:{port}"),
        None => format!("{host}:{port}"),
    }
}

/// Returns ` on SERVER:53`, as Go's resolver adds it.
pub(super) fn name_server() -> String {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let server = text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        if words.next() == Some("nameserver") { words.next().map(str::to_owned) } else { None }
    });
    match server {
        Some(server) if server.contains(':') => format!(" on [{server}]:53"),
        Some(server) => format!(" on {server}:53"),
        None => String::new(),
    }
}

/// Describes a failed handshake: Go's words, then ours.
fn handshake(error: &rustls::Error, address: &Address, trust: &Trust) -> String {
    let words = go_words(error, address);
    match advice::of_server(&trust.flags(), &address.host_and_port().0, error) {
        Some(reason) if trust.set_by != SetBy::Etcdctl => format!("{words} ({}: {reason})", address.text()),
        _ => words,
    }
}

fn go_words(error: &rustls::Error, address: &Address) -> String {
    use rustls::{CertificateError, InvalidMessage};
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "x509: certificate signed by unknown authority".to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "x509: certificate has expired or is not yet valid".to_owned(),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!("x509: certificate is not valid for {}", address.host_and_port().0),
        rustls::Error::AlertReceived(alert) => format!("remote error: tls: {}", alert_words(*alert)),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "http: server gave HTTP response to HTTPS client".to_owned()
        }
        rustls::Error::InvalidCertificate(bad) if let Some(says) = version_1(bad) => says.to_owned(),
        other => other.to_string(),
    }
}

fn alert_words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => "unknown certificate authority".to_owned(),
        AlertDescription::CertificateExpired => "expired certificate".to_owned(),
        AlertDescription::CertificateRevoked => "revoked certificate".to_owned(),
        AlertDescription::CertificateUnknown => "unknown certificate".to_owned(),
        other => {
            let mut spoken = String::new();
            for c in format!("{other:?}").chars() {
                if c.is_uppercase() && !spoken.is_empty() {
                    spoken.push(' ');
                }
                spoken.extend(c.to_lowercase());
            }
            spoken
        }
    }
}
