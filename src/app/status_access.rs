//! Which requests to a registrar's status port are refused.
//!
//! Everybody who reaches the port may read the state. A web page must not: a browser on this host sends its requests to
//! loopback addresses too, and a page whose name resolves to one (DNS rebinding) may read the responses.

use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use crate::http::server::request_head::{authority, host_name, is_fixed_host, is_from_web_page, malformed};
use crate::settings::Listen;

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The Unix socket: its mode decides who may use it, and no browser can.
    Socket,
    /// TCP, from this host.
    Loopback,
    /// TCP, from elsewhere.
    Network,
}

/// The names under which the status port may be asked for more than figures.
#[derive(Debug)]
pub(super) struct OwnNames(Vec<String>);

impl OwnNames {
    /// Takes the hosts that `--listen` names, and the name of this host.
    pub(super) fn new(addresses: &[Listen]) -> Self {
        let listed = addresses.iter().filter_map(|at| match at {
            Listen::Tcp(address) => Some(host_name(address).to_owned()),
            Listen::Unix(_) => None,
        });
        let own = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        Self(listed.chain(own).filter(|name| !name.is_empty()).collect())
    }

    /// Addresses need not be listed: nobody's DNS decides what they mean.
    fn include(&self, host: &str) -> bool {
        is_fixed_host(host) || self.0.iter().any(|own| own.eq_ignore_ascii_case(host))
    }

    /// Returns the status and the text of a refusal.
    pub(super) fn refusal(&self, head: &Parts, from: Origin) -> Option<(StatusCode, String)> {
        if let Some(says) = malformed(head) {
            return Some((StatusCode::BAD_REQUEST, says.to_owned()));
        }
        let reads = matches!(head.method, Method::GET | Method::HEAD);
        if !reads && (from == Origin::Network || is_from_web_page(head)) {
            let says = "a drain must be requested on the registrar's own host, by a program";
            return Some((StatusCode::FORBIDDEN, says.to_owned()));
        }
        // Monitoring may use any name of this host, and learns no more than figures.
        if from == Origin::Socket || (reads && matches!(head.uri.path(), "/metrics" | "/health")) {
            return None;
        }
        let host = host_name(authority(head));
        if self.include(host) {
            return None;
        }
        let says = format!(
            "{host:?} is not known as a name of this host: ask by its address or host name, or name it with --listen {host}:PORT"
        );
        Some((StatusCode::MISDIRECTED_REQUEST, says))
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn refused(from: Origin, method: &str, target: &str, headers: &[(&str, &str)]) -> u16 {
        let names = OwnNames(vec!["node1.example".to_owned()]);
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        names.refusal(&head, from).map_or(0, |(status, _)| status.as_u16())
    }

    #[test]
    fn a_web_page_neither_drains_nor_reads_the_status() {
        use Origin::{Loopback, Network, Socket};
        let own = ("host", "127.0.0.1:9180");
        let evil = ("host", "evil.example:9180");
        for (from, method, target, headers, wanted) in [
            (Loopback, "POST", "/drain", &[own][..], 0),
            (Loopback, "POST", "/drain", &[("host", "LOCALHOST:9180")], 0),
            (Loopback, "POST", "/drain", &[("host", "node1.example:9180")], 0),
            (Socket, "POST", "/drain", &[("host", "anything")], 0),
            (Network, "POST", "/drain", &[own], 403),
            (Loopback, "POST", "/drain", &[own, ("origin", "http://evil.example")], 403),
            (Loopback, "POST", "/undrain", &[own, ("sec-fetch-site", "cross-site")], 403),
            (Loopback, "POST", "/drain", &[own, ("sec-fetch-site", "same-origin")], 403),
            (Loopback, "POST", "/drain", &[evil], 421),
            (Loopback, "POST", "/drain", &[own, evil], 400),
            (Loopback, "GET", "/status", &[own], 0),
            (Network, "GET", "/status", &[("host", "[fd00::1]:9180")], 0),
            (Network, "GET", "/status", &[evil], 421),
            (Loopback, "GET", "/status", &[evil], 421),
            (Loopback, "GET", "/status", &[("host", "localhost.evil.example")], 421),
            (Network, "GET", "/metrics", &[("host", "other.example:9180")], 0),
            (Network, "GET", "/health", &[("host", "other.example")], 0),
        ] {
            assert_eq!(
                refused(from, method, target, headers),
                wanted,
                "{from:?} {method} {target} {headers:?}"
            );
        }
    }

    #[test]
    fn the_hosts_of_listen_are_own_names() {
        let listen = [Listen::Tcp("Node7.example:9180".to_owned()), Listen::Unix("/x.sock".into())];
        let names = OwnNames::new(&listen);
        assert!(
            names.include("node7.example") && names.include("127.0.0.1") && !names.include("evil.example")
        );
        let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
        assert!(names.include(&host), "{host}");
    }
}
