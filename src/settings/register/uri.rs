//! The registry URI of Registrator's command line.

use super::rules;
use crate::client::Credentials;
use crate::key;
use crate::protocol::unescaped;
use crate::registrar::Layout;

/// The store's host when the URI names none.
const LOCAL: &str = "127.0.0.1";
const PORT: &str = "2379";

/// A registry.
#[derive(Debug)]
pub(super) struct Uri {
    pub(super) nodes: Vec<String>,
    pub(super) login: Option<Credentials>,
    pub(super) layout: Layout,
    pub(super) prefix: String,
    /// The adapter's name.
    pub(super) scheme: String,
    /// The URI without a password.
    pub(super) shown: String,
}

impl Uri {
    /// Parses the URI; an error says what to write instead, and contains no password.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let secure = match scheme {
            "etcd" | "skydns2" => false,
            "etcds" => true,
            _ => return Err(foreign(scheme)),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, hosts) =
            authority.rsplit_once('@').map_or((None, authority), |(user, hosts)| (Some(user), hosts));
        let login = user.map(login).transpose()?;
        let nodes = hosts.split(',').map(|host| node(host, secure)).collect::<Result<Vec<_>, _>>()?;
        let (layout, prefix) = if scheme == "skydns2" {
            let domain = path.trim_matches('/');
            if domain.is_empty() {
                return Err("skydns2: dns domain required, for instance: skydns2://HOST:PORT/cluster.local"
                    .to_owned());
            }
            (Layout::Skydns { domain: rules::domain(domain)? }, "/".to_owned())
        } else {
            (Layout::Registrator, key::clean(path))
        };
        let name = login.as_ref().map_or_else(String::new, |login| format!("{}:…@", login.name));
        let shown = format!("{scheme}://{name}{hosts}{path}");
        Ok(Self { nodes, login, layout, prefix, scheme: scheme.to_owned(), shown })
    }
}

fn foreign(scheme: &str) -> String {
    let instead = "write etcd://HOST:PORT/PREFIX, or skydns2://HOST:PORT/DOMAIN";
    match scheme {
        "consul" | "consul-unix" | "consul-tls" => format!(
            "{scheme}:// is not written by this version: it registers keys in etcd's API, as `retune store` serves it; {instead}"
        ),
        "consulkv" | "consulkv-unix" => format!(
            "{scheme}:// is not written by this version; the same keys with the same values lie below the prefix of \
             etcd://HOST:PORT/PREFIX: {instead}"
        ),
        "zookeeper" => format!(
            "{scheme}:// is not written by this version; keys with leases in etcd stand for its ephemeral nodes: {instead}"
        ),
        _ => format!("unrecognized adapter: {scheme}; {instead}"),
    }
}

fn login(user: &str) -> Result<Credentials, String> {
    match user.split_once(':') {
        Some((name, password)) if !name.is_empty() && !password.is_empty() => {
            Ok(Credentials::new(unescaped(name), unescaped(password)))
        }
        _ => Err("a user needs a password: etcd://NAME:PASSWORD@HOST:PORT/PREFIX".to_owned()),
    }
}

fn node(host: &str, secure: bool) -> Result<String, String> {
    let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '@');
    if host.contains(strange) {
        return Err(
            "a host of the URI has characters that none has; write etcd://HOST:PORT/PREFIX".to_owned()
        );
    }
    let (name, port) = match host.rsplit_once(':') {
        // The last colon of a bare IPv6 address does not start a port.
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, PORT),
    };
    if port.parse::<u16>().map_or(true, |port| port == 0) {
        return Err(format!("{port:?} is not a port; write etcd://HOST:PORT/PREFIX"));
    }
    let name = if name.is_empty() { LOCAL } else { name };
    let scheme = if secure { "https" } else { "http" };
    Ok(format!("{scheme}://{name}:{port}"))
}
