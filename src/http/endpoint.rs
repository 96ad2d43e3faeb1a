//! The parts of a server's URL.

use std::io;

/// A URL in the form that a connection needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Scheme, host and port, as shown in messages.
    pub(crate) url: String,
    pub(crate) secure: bool,
    /// A name or an address, without the brackets of IPv6.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Why a text is no URL of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("write http://HOST:PORT")]
    NoScheme,
    #[error("only http and https are supported")]
    Scheme,
    #[error("it may hold no user and no password")]
    User,
    #[error("the host is missing or malformed")]
    Host,
    #[error("the port is missing; write http://HOST:PORT")]
    NoPort,
    #[error("the port is not a number up to 65535")]
    Port,
}

/// The parts of a URL as they are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct UrlParts<'u> {
    pub(super) secure: bool,
    /// Host and port.
    pub(super) authority: &'u str,
    /// Without the brackets of IPv6; may be empty.
    pub(super) host: &'u str,
    pub(super) port: Option<u16>,
}

impl<'u> UrlParts<'u> {
    /// Parses a URL; a path is dropped.
    pub(super) fn parse(url: &'u str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.trim().split_once("://").ok_or(UrlError::NoScheme)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(UrlError::Scheme),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(UrlError::User);
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| UrlError::Port)?))
            }
            _ => (authority, None),
        };
        let bare = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']'),
            None => Some(host).filter(|host| !host.contains(':')),
        };
        match bare.filter(|bare| bare.bytes().all(|byte| byte.is_ascii_graphic())) {
            Some(host) => Ok(Self { secure, authority, host, port }),
            None => Err(UrlError::Host),
        }
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

impl Endpoint {
    /// Parses a URL; a path is dropped.
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        let parts = UrlParts::parse(url)?;
        if parts.host.is_empty() {
            return Err(UrlError::Host);
        }
        Ok(Self {
            url: format!("{}://{}", parts.scheme(), parts.authority),
            secure: parts.secure,
            host: parts.host.to_owned(),
            port: parts.port.unwrap_or(if parts.secure { 443 } else { 80 }),
        })
    }

    /// Returns the value of a `Host` header.
    pub(crate) fn authority(&self) -> &str {
        self.url.split_once("://").map_or("", |(_, authority)| authority)
    }
}

/// Returns the host of `tcp://10.0.0.1:2375`, `ssh://user@10.0.0.1` or `[::1]:2376`, without
/// brackets; empty for a socket.
pub(crate) fn host_of(address: &str) -> &str {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    if scheme == "unix" {
        return "";
    }
    let rest = rest.split('/').next().unwrap_or_default();
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => rest.split(':').next().unwrap_or_default(),
    }
}

impl From<UrlError> for io::Error {
    fn from(error: UrlError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_engine_address_is_found_in_every_spelling() {
        for (address, want) in [
            ("tcp://10.0.0.1:2375", "10.0.0.1"),
            ("ssh://10.0.0.1", "10.0.0.1"),
            ("ssh://root@10.0.0.1:22/run/docker.sock", "10.0.0.1"),
            ("tcp://[fe80::1]:2375", "fe80::1"),
            ("10.0.0.1:2375", "10.0.0.1"),
            ("unix:///var/run/docker.sock", ""),
            ("", ""),
        ] {
            assert_eq!(host_of(address), want, "{address}");
        }
    }

    #[test]
    fn urls_are_parsed_and_unusable_ones_are_refused() {
        let parts = |url: &str| {
            Endpoint::parse(url).map(|endpoint| (endpoint.secure, endpoint.host, endpoint.port)).ok()
        };
        assert_eq!(parts("http://127.0.0.1:2379"), Some((false, "127.0.0.1".to_owned(), 2379)));
        assert_eq!(parts("HTTPS://store.example/x"), Some((true, "store.example".to_owned(), 443)));
        assert_eq!(parts("http://[::1]:1/"), Some((false, "::1".to_owned(), 1)));
        assert_eq!(parts("http://[::1]"), Some((false, "::1".to_owned(), 80)));
        for bad in [
            "",
            "a:1",
            "unix://a:1",
            "http://",
            "http://:1",
            "http://a:x",
            "http://a:99999",
            "http://::1:1",
            "http://u:p@a:1",
        ] {
            assert_eq!(parts(bad), None, "{bad}");
        }
        assert_eq!(Endpoint::parse("http://a:1/p").map(|endpoint| endpoint.url), Ok("http://a:1".to_owned()));
    }
}
