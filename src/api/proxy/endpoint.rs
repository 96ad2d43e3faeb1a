//! The parts of a member's URL.

/// A URL in the form that a connection needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Scheme, host and port, as shown in messages.
    pub(super) url: String,
    pub(super) secure: bool,
    /// A name or an address, without the brackets of IPv6.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Endpoint {
    /// Parses a URL; a path is dropped. Returns `None` for a URL that cannot be connected to.
    pub(super) fn read(url: &str) -> Option<Self> {
        let (scheme, rest) = url.trim().split_once("://")?;
        let (secure, usual) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') || !authority.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, usual),
        };
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']')?,
            None if host.contains(':') => return None,
            None => host,
        };
        if host.is_empty() {
            return None;
        }
        let scheme = if secure { "https" } else { "http" };
        Some(Self { url: format!("{scheme}://{authority}"), secure, host: host.to_owned(), port })
    }

    /// Returns the value of a `Host` header.
    pub(super) fn authority(&self) -> &str {
        self.url.split_once("://").map_or("", |(_, authority)| authority)
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn urls_are_taken_apart_and_what_cannot_be_connected_to_is_none() {
        let parts =
            |url: &str| Endpoint::read(url).map(|endpoint| (endpoint.secure, endpoint.host, endpoint.port));
        assert_eq!(parts("http://127.0.0.1:2379"), Some((false, "127.0.0.1".to_owned(), 2379)));
        assert_eq!(parts("HTTPS://store.example/x"), Some((true, "store.example".to_owned(), 443)));
        assert_eq!(parts("http://[::1]:1/"), Some((false, "::1".to_owned(), 1)));
        assert_eq!(parts("http://[::1]"), Some((false, "::1".to_owned(), 80)));
        for bad in
            ["", "a:1", "unix://a:1", "http://", "http://:1", "http://a:x", "http://::1:1", "http://u:p@a:1"]
        {
            assert_eq!(parts(bad), None, "{bad}");
        }
        assert_eq!(
            Endpoint::read("http://a:1/p").map(|endpoint| endpoint.url),
            Some("http://a:1".to_owned())
        );
    }
}
