//! URLs to listen on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

use super::endpoint::{UrlError, UrlParts};
use crate::tcp;

/// A URL to listen on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenUrl<'u> {
    parts: UrlParts<'u>,
    pub(crate) address: SocketAddr,
}

impl<'u> ListenUrl<'u> {
    /// Parses `http://IP:PORT` or `https://IP:PORT`. The error says what is wrong or expected.
    pub(crate) fn parse(url: &'u str) -> Result<Self, String> {
        let parts = UrlParts::parse(url);
        let parts = parts.and_then(|parts| Ok((parts, parts.port.ok_or(UrlError::NoPort)?)));
        let (parts, port) = parts.map_err(|error| match error {
            UrlError::NoScheme => "write http://IP:PORT or https://IP:PORT".to_owned(),
            error => error.to_string(),
        })?;
        let ip = match parts.host {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            // As in etcd: every interface.
            "" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            host => host.parse().map_err(|_| "expected an IP or localhost to listen on")?,
        };
        Ok(Self { parts, address: SocketAddr::new(ip, port) })
    }

    pub(crate) fn secure(&self) -> bool {
        self.parts.secure
    }

    /// Returns whether one of these URLs is listened on with TLS. Bad ones are reported where they are opened.
    pub(crate) fn any_secure(urls: &[String]) -> bool {
        urls.iter().any(|url| ListenUrl::parse(url).is_ok_and(|url| url.secure()))
    }

    /// Returns the URL with another port.
    pub(crate) fn with_port(&self, port: u16) -> String {
        let (host, _) = self.parts.authority.rsplit_once(':').unwrap_or((self.parts.authority, ""));
        format!("{}://{host}:{port}", self.parts.scheme())
    }

    /// Listens there. Returns also the URL with the actual port.
    pub(crate) fn listen(&self, backlog: u32) -> io::Result<(TcpListener, String)> {
        let socket = tcp::listen(self.address, backlog)?;
        let port = socket.local_addr()?.port();
        Ok((socket, self.with_port(port)))
    }
}
