//! Parses an endpoint as it was typed, the way Go parses URLs.
//!
//! This keeps Go's leniency on purpose: `localhost:2379` is a URL of the scheme `localhost` and fails only when a
//! request is sent, `host` alone means `http://host`, and error messages are Go's.

use crate::protocol::{GoUrl, cleaned, escape, quoted};

/// A base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) scheme: String,
    /// The text after a scheme without slashes; no request can be sent to such an address.
    opaque: Option<String>,
    /// Host and port as typed.
    pub(super) host: String,
    path: String,
}

impl Address {
    /// Parses `text`; without a scheme it gets `http`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let whole = Self::url(text)?;
        if !whole.scheme.is_empty() {
            return Ok(whole);
        }
        // Go prepends `http:` and parses the result again, so a bare word becomes a host.
        let path = escape(whole.path.as_bytes());
        let slashes = if whole.host.is_empty() && path.is_empty() { "" } else { "//" };
        Self::url(&format!("http:{slashes}{}{path}", whole.host))
    }

    /// Parses like Go's `url.Parse`.
    fn url(text: &str) -> Result<Self, String> {
        Self::parse_parts(text).map_err(|why| format!("parse {}: {why}", quoted(&without_password(text))))
    }

    fn parse_parts(text: &str) -> Result<Self, String> {
        let url = GoUrl::parse(text)?;
        if url.has_user {
            return Err("an endpoint must not contain a user name or password; use --username".into());
        }
        Ok(Self {
            scheme: url.scheme,
            opaque: url.opaque.map(str::to_owned),
            host: url.host.to_owned(),
            path: String::from_utf8_lossy(&url.path).into_owned(),
        })
    }

    /// Returns the address as Go prints it.
    pub(super) fn text(&self) -> String {
        match &self.opaque {
            Some(opaque) => format!("{}:{opaque}", self.scheme),
            None if self.host.is_empty() && self.path.is_empty() => format!("{}:", self.scheme),
            None => format!("{}://{}{}", self.scheme, self.host, escape(self.path.as_bytes())),
        }
    }

    /// Returns the URL without a final slash, to which a path can be added.
    pub(super) fn base(&self) -> String {
        let path = escape(&cleaned(self.path.as_bytes()));
        format!("{}://{}{}", self.scheme, self.host, path.trim_end_matches('/'))
    }

    /// Returns why no request can ever be sent to this address, if that is so.
    pub(super) fn unusable_reason(&self) -> Option<String> {
        if self.scheme != "http" && self.scheme != "https" {
            return Some(format!("unsupported protocol scheme {}", quoted(&self.scheme)));
        }
        if self.host.is_empty() {
            return Some("http: no Host in request URL".into());
        }
        let port = self.port_text()?;
        (!port.is_empty() && port.parse::<u16>().is_err())
            .then(|| format!("dial tcp: address {port}: invalid port"))
    }

    fn port_text(&self) -> Option<&str> {
        let after = self.host.rfind(']').map_or(0, |at| at + 1);
        self.host[after..].rsplit_once(':').map(|(_, port)| port)
    }

    /// Returns the host name or address, without brackets, and the port.
    pub(super) fn host_and_port(&self) -> (String, u16) {
        let default = if self.scheme == "https" { 443 } else { 80 };
        let port = self.port_text().and_then(|port| port.parse().ok());
        let name = match self.port_text() {
            Some(port) => &self.host[..self.host.len() - port.len() - 1],
            None => &self.host,
        };
        (name.trim_matches(['[', ']']).to_owned(), port.unwrap_or(default))
    }
}

/// Returns the text with a password in it masked.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    match rest.split('/').next().and_then(|authority| authority.rfind('@')) {
        Some(at) => format!("{scheme}://…{}", &rest[at..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_messages_of_go() {
        for (typed, says) in [
            ("127.0.0.1:2379", "parse \"127.0.0.1:2379\": first path segment in URL cannot contain colon"),
            ("http://a b", "parse \"http://a b\": invalid character \" \" in host name"),
            ("http://[::1", "parse \"http://[::1\": missing ']' in host"),
            ("http://127.0.0.1:x", "parse \"http://127.0.0.1:x\": invalid port \":x\" after host"),
            ("%zz", "parse \"%zz\": invalid URL escape \"%zz\""),
            (":foo", "parse \":foo\": missing protocol scheme"),
        ] {
            assert_eq!(Address::parse(typed).unwrap_err(), says);
        }
    }

    #[test]
    fn a_password_in_an_endpoint_is_refused_and_not_repeated() {
        let reported = Address::parse("http://root:secret@h:1").unwrap_err();
        assert!(reported.contains("--username") && !reported.contains("secret"), "{reported}");
    }

    #[test]
    fn what_go_accepts_is_accepted() {
        let address = Address::parse("localhost:2379").unwrap();
        assert_eq!(address.unusable_reason().unwrap(), "unsupported protocol scheme \"localhost\"");
        let address = Address::parse("localhost").unwrap();
        assert_eq!(
            (address.text().as_str(), address.host_and_port()),
            ("http://localhost", ("localhost".into(), 80))
        );
        assert_eq!(Address::parse("").unwrap().unusable_reason().unwrap(), "http: no Host in request URL");
        let address = Address::parse("https://[::1]:2379/base/").unwrap();
        assert_eq!(address.base() + "/v2/members?x=1", "https://[::1]:2379/base/v2/members?x=1");
        assert_eq!(address.host_and_port(), ("::1".into(), 2379));
        assert_eq!(address.text(), "https://[::1]:2379/base/");
        let far = Address::parse("http://127.0.0.1:99999").unwrap();
        assert_eq!(far.unusable_reason().unwrap(), "dial tcp: address 99999: invalid port");
    }
}
