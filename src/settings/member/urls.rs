//! The URLs of a member, with etcd's error messages.

/// One `http` or `https` URL of a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostUrl {
    pub(super) https: bool,
    /// A name or an address, without the brackets of IPv6.
    pub(super) host: String,
    pub(super) port: u16,
}

impl HostUrl {
    /// Reads one URL.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let shape = || format!("URL address does not have the form \"host:port\": {text}");
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| format!("URL scheme must be http, https, unix, or unixs: {text}"))?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            "unix" | "unixs" => {
                return Err(format!(
                    "sockets in the file system are not part of this version; write http://127.0.0.1:PORT: {text}"
                ));
            }
            _ => return Err(format!("URL scheme must be http, https, unix, or unixs: {text}")),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !path.is_empty() {
            return Err(format!("URL must not contain a path: {text}"));
        }
        if authority.contains('@') {
            // The text may contain a password, so it is not shown.
            return Err("URL must not contain a user or a password".to_owned());
        }
        let (host, port) = authority.rsplit_once(':').ok_or_else(shape)?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').ok_or_else(shape)?,
            None if host.contains(':') => return Err(shape()),
            None => host,
        };
        let port = port.parse().map_err(|_| shape())?;
        let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\\' | '<' | '>');
        if host.contains(strange) {
            return Err(shape());
        }
        Ok(Self { https, host: host.to_owned(), port })
    }

    /// Parses URLs separated by commas; sorted and without duplicates, as in etcd.
    pub(super) fn read_list(text: &str) -> Result<Vec<Self>, String> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let urls = parts.iter().map(|part| Self::read(part)).collect::<Result<Vec<_>, _>>()?;
        let mut texts: Vec<(String, Self)> = urls.into_iter().map(|url| (url.text(), url)).collect();
        texts.sort_by(|a, b| a.0.cmp(&b.0));
        texts.dedup_by(|a, b| a.0 == b.0);
        Ok(texts.into_iter().map(|(_, url)| url).collect())
    }

    /// Returns the URL in its usual form.
    pub(super) fn text(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        if self.host.contains(':') {
            format!("{scheme}://[{}]:{}", self.host, self.port)
        } else {
            format!("{scheme}://{}:{}", self.host, self.port)
        }
    }

    /// Returns the URL with an address to bind to in place of a name; `None` for a name that is not this machine's
    /// own.
    pub(super) fn bindable(&self) -> Option<Self> {
        let host = match self.host.as_str() {
            "localhost" => "127.0.0.1",
            // An empty host means every address, as in Go.
            "" => "0.0.0.0",
            host if host.parse::<std::net::IpAddr>().is_ok() => host,
            _ => return None,
        };
        Some(Self { host: host.to_owned(), ..self.clone() })
    }

    /// Returns whether both may be the same address. Other machines' names are not resolved. For etcd (`strict`)
    /// `localhost` is not an address and equals only itself.
    pub(super) fn may_equal(&self, other: &Self, strict: bool) -> bool {
        let local = |url: &Self| url.host == "localhost";
        let host = match (self.bindable(), other.bindable()) {
            _ if strict && local(self) != local(other) => false,
            (Some(own), Some(other)) => own.host == other.host,
            _ => true,
        };
        host && (self.https, self.port) == (other.https, other.port)
    }

    /// Returns whether a client of `advertised` can reach this listener, as far as the URLs show.
    pub(super) fn serves(&self, advertised: &Self) -> bool {
        let local = self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let host = match advertised.bindable() {
            _ if self.is_wildcard() => true,
            Some(advertised) => advertised.host == self.host,
            None => !local,
        };
        host && (self.port == advertised.port || self.port == 0)
    }

    /// Returns whether it is a wildcard address, which cannot be advertised.
    pub(super) fn is_wildcard(&self) -> bool {
        self.host.is_empty() || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_unspecified())
    }
}

/// Parses one member of a list, `NAME=URL`.
pub(super) fn read_member(text: &str) -> Result<(String, HostUrl), String> {
    match text.split_once('=') {
        Some((name, url)) if !name.is_empty() && !url.is_empty() => {
            Ok((name.to_owned(), HostUrl::read(url)?))
        }
        _ => Err(format!("{text:?} is not a member; write NAME=URL, separated by commas")),
    }
}

/// Returns the texts of some URLs.
pub(super) fn texts(urls: &[HostUrl]) -> Vec<String> {
    urls.iter().map(HostUrl::text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_scheme_a_host_and_a_port() {
        for text in
            ["http://127.0.0.1:2379", "https://store.example:1", "http://[::1]:0", "http://localhost:80"]
        {
            assert_eq!(HostUrl::read(text).map(|url| url.text()), Ok(text.to_owned()));
        }
        assert_eq!(HostUrl::read("HTTP://a:1").map(|url| url.text()), Ok("http://a:1".to_owned()));
    }

    #[test]
    fn errors_have_the_messages_of_etcd() {
        for (text, message) in [
            ("127.0.0.1:1", "URL scheme must be http, https, unix, or unixs: 127.0.0.1:1"),
            ("ftp://a:1", "URL scheme must be http, https, unix, or unixs: ftp://a:1"),
            ("http://a", "URL address does not have the form \"host:port\": http://a"),
            ("http://a:x", "URL address does not have the form \"host:port\": http://a:x"),
            ("http://a:99999", "URL address does not have the form \"host:port\": http://a:99999"),
            ("http://::1:80", "URL address does not have the form \"host:port\": http://::1:80"),
            ("http://a:1/p", "URL must not contain a path: http://a:1/p"),
        ] {
            assert_eq!(HostUrl::read(text), Err(message.to_owned()));
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        let message = HostUrl::read("http://root:secret@a:1").unwrap_err();
        assert!(!message.contains("secret"), "{message}");
    }

    #[test]
    fn lists_are_sorted_and_deduplicated() {
        let list = HostUrl::read_list("http://b:1, http://a:1,http://b:1").unwrap();
        assert_eq!(texts(&list), ["http://a:1", "http://b:1"]);
        assert!(HostUrl::read_list("http://a:1,").is_err());
    }

    #[test]
    fn only_addresses_of_this_machine_can_be_bound() {
        let bound = |text: &str| HostUrl::read(text).unwrap().bindable().map(|url| url.text());
        assert_eq!(bound("http://localhost:1").as_deref(), Some("http://127.0.0.1:1"));
        assert_eq!(bound("http://:1").as_deref(), Some("http://0.0.0.0:1"));
        assert_eq!(bound("https://[::]:1").as_deref(), Some("https://[::]:1"));
        assert_eq!(bound("http://foo.example.com:1"), None);
    }
}
