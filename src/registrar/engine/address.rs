//! The engine's address, in the forms that `DOCKER_HOST` takes.

use std::path::Path;
use std::sync::Arc;

use reqwest::Url;

use super::EngineError;
use crate::registrar::settings::EngineEndpoint;

const FORMS: &str =
    "write unix:///PATH, tcp://HOST:PORT, http://HOST:PORT, https://HOST:PORT or the path of a socket";

/// A parsed address.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// For messages, in a form that can be configured again.
    pub(super) shown: Arc<str>,
    /// The URL that paths are appended to; without a trailing slash.
    pub(super) base: Url,
    /// The unix socket to connect to instead of the host of `base`.
    pub(super) socket: Option<Arc<Path>>,
}

impl Address {
    pub(super) fn read(at: &EngineEndpoint) -> Result<Self, EngineError> {
        let text = at.url.trim();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None if text.starts_with('/') => ("unix".to_owned(), text),
            None => return Err(refused(text, &format!("it has no scheme; {FORMS}"))),
        };
        match scheme.as_str() {
            "unix" => socket(text, rest),
            "tcp" => {
                let (scheme, port) = if at.tls { ("https", 2376) } else { ("http", 2375) };
                host(text, scheme, rest, Some(port))
            }
            "http" | "https" => host(text, &scheme, rest, None),
            "ssh" => Err(refused(
                text,
                "ssh is not supported; forward its socket (ssh -L /tmp/engine.sock:/var/run/docker.sock host) \
                 and write unix:///tmp/engine.sock",
            )),
            "npipe" => Err(refused(
                text,
                &format!(
                    "npipe:// is not a scheme of a container engine here: named pipes exist only on Windows; {FORMS}"
                ),
            )),
            "fd" => Err(refused(
                text,
                &format!("fd:// is a setting of the engine itself, for an inherited socket; {FORMS}"),
            )),
            other => {
                Err(refused(text, &format!("{other}:// is not a scheme of a container engine; {FORMS}")))
            }
        }
    }
}

fn socket(text: &str, path: &str) -> Result<Address, EngineError> {
    if !path.starts_with('/') || path == "/" {
        return Err(refused(text, "a socket needs its full path: unix:///var/run/docker.sock"));
    }
    // This host name only fills the Host header.
    let base = Url::parse("http://localhost").map_err(|error| refused(text, &error.to_string()))?;
    Ok(Address { shown: format!("unix://{path}").into(), base, socket: Some(Path::new(path).into()) })
}

fn host(text: &str, scheme: &str, rest: &str, port: Option<u16>) -> Result<Address, EngineError> {
    if rest.contains('@') {
        return Err(refused(text, &format!("it has a user or a password; {FORMS}")));
    }
    let mut base = Url::parse(&format!("{scheme}://{rest}"))
        .map_err(|error| refused(text, &format!("{error}; {FORMS}")))?;
    if base.query().is_some() || base.fragment().is_some() {
        return Err(refused(text, &format!("it has more than a host, a port and a path; {FORMS}")));
    }
    if let Some(port) = port {
        let authority = rest.split('/').next().unwrap_or(rest);
        let bare = authority.rsplit(']').next().unwrap_or(authority);
        // The parser drops a scheme's default port; a missing port becomes Docker's.
        if !bare.contains(':') {
            base.set_port(Some(port)).map_err(|()| refused(text, FORMS))?;
        }
    }
    Ok(Address { shown: text.into(), base, socket: None })
}

fn refused(text: &str, why: &str) -> EngineError {
    // The text before an @ may be a password.
    let shown = if text.contains('@') { "this".to_owned() } else { format!("{text:?}") };
    EngineError::new(format!("{shown} is not the address of a container engine: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Trust;

    fn read(url: &str, tls: bool) -> Result<Address, EngineError> {
        Address::read(&EngineEndpoint { url: url.into(), trust: Trust::default(), tls })
    }

    #[test]
    fn every_form_of_an_address_is_parsed() {
        for (url, tls, base, socket) in [
            ("unix:///var/run/docker.sock", false, "http://localhost/", Some("/var/run/docker.sock")),
            ("/run/podman/podman.sock", true, "http://localhost/", Some("/run/podman/podman.sock")),
            ("tcp://10.0.0.1:2375", false, "http://10.0.0.1:2375/", None),
            ("tcp://10.0.0.1:2376", true, "https://10.0.0.1:2376/", None),
            ("tcp://10.0.0.1", false, "http://10.0.0.1:2375/", None),
            ("tcp://[::1]", true, "https://[::1]:2376/", None),
            ("tcp://10.0.0.1:80", false, "http://10.0.0.1/", None),
            ("http://engine:1234/behind/", true, "http://engine:1234/behind/", None),
            ("HTTPS://engine:1234", false, "https://engine:1234/", None),
        ] {
            let address = read(url, tls).unwrap();
            assert_eq!(address.base.as_str(), base, "{url}");
            assert_eq!(address.socket.as_deref(), socket.map(Path::new), "{url}");
        }
    }

    #[test]
    fn an_invalid_address_is_reported_with_a_valid_example() {
        for (url, word) in [
            ("", "write unix:///"),
            ("engine:2375", "write unix:///"),
            ("unix://", "full path"),
            ("unix://var/run/docker.sock", "full path"),
            ("tcp://", "write unix:///"),
            ("tcp://host:port", "write unix:///"),
            ("npipe:////./pipe/docker_engine", "named pipes"),
            ("ssh://root@host", "ssh -L"),
            ("fd://", "write unix:///"),
            ("ftp://host", "ftp://"),
            ("http://host:1?x", "write unix:///"),
        ] {
            let why = read(url, false).unwrap_err().why;
            assert!(why.contains(word), "{url}: {why}");
        }
        let why = read("http://me:secret@host:1", false).unwrap_err().why;
        assert!(!why.contains("secret"), "{why}");
    }
}
