//! Parses one key as a service, as registrars or people write it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use minijinja::Error;
use serde::Deserialize;

use super::super::error::{binary, fail, hidden};
use crate::key;
use crate::values::Datum;

/// A service as its key describes it. What the key does not hold is empty.
#[derive(Debug, Default)]
pub(super) struct BackendService {
    pub(super) name: String,
    pub(super) id: String,
    /// An address, or a name that resolves to one.
    pub(super) ip: String,
    pub(super) port: u16,
    pub(super) tags: Vec<String>,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) node: String,
    /// The full id.
    pub(super) container: String,
    pub(super) container_name: String,
    pub(super) image: String,
}

/// The JSON object that a key may hold. `host` is SkyDNS's name for `ip`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BackendRecord {
    address: Option<String>,
    ip: Option<String>,
    host: Option<String>,
    port: Option<serde_json::Value>,
    name: Option<String>,
    id: Option<String>,
    tags: Option<Vec<String>>,
    attributes: Option<BTreeMap<String, serde_json::Value>>,
    node: Option<String>,
    container: Option<String>,
    container_name: Option<String>,
    image: Option<String>,
}

/// Reads a key and its value.
///
/// # Errors
/// The key is not a service; the error does not contain the value.
pub(super) fn read(key: &str, datum: &Datum) -> Result<BackendService, Error> {
    let text = match datum {
        Datum::Text(text) => text.trim(),
        Datum::Binary(bytes) => return Err(binary(key, bytes)),
    };
    let mut service = if text.starts_with('{') { from_json(key, text)? } else { from_text(key, text)? };
    if service.name.is_empty() {
        service.name = key::parent(key).map(key::base).unwrap_or_default().trim_matches('/').to_owned();
    }
    if service.id.is_empty() {
        service.id = key::base(key).to_owned();
    }
    if service.container_name.is_empty() {
        service.container_name = container_of(&service.id).to_owned();
    }
    Ok(service)
}

fn from_text(key: &str, text: &str) -> Result<BackendService, Error> {
    // A name in the key alone could be anything: it is an address only with the value `running`, which dockreg writes.
    let found = address(text, true).or_else(|| address(key::base(key), text == "running"));
    let (ip, port) = found.ok_or_else(|| {
        fail(format!(
            "{key} is not a backend: its value, {}, is neither ip:port nor a JSON object, and its name is not ip:port",
            hidden(text)
        ))
    })?;
    Ok(BackendService { ip, port, ..BackendService::default() })
}

fn from_json(key: &str, text: &str) -> Result<BackendService, Error> {
    let no_backend = |why: &str| fail(format!("{key} is not a backend: {why}"));
    let written: BackendRecord = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        no_backend(&format!("its JSON is not that of a service (line {line}, column {column})"))
    })?;
    let port = written.port.as_ref().and_then(|port| number(plain(port).as_str()));
    let (ip, port) = match (written.address, written.ip.or(written.host), port) {
        (Some(text), _, _) => {
            address(&text, true).ok_or_else(|| no_backend("the address in its JSON is not ip:port"))?
        }
        (None, Some(ip), Some(port)) if ip.parse::<IpAddr>().is_ok() || is_name(&ip) => (ip, port),
        _ => return Err(no_backend("its JSON has neither an address nor an ip and a port")),
    };
    Ok(BackendService {
        ip,
        port,
        name: written.name.unwrap_or_default(),
        id: written.id.unwrap_or_default(),
        tags: written.tags.unwrap_or_default(),
        attributes: written
            .attributes
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| (name, plain(&value)))
            .collect(),
        node: written.node.unwrap_or_default(),
        container: written.container.unwrap_or_default(),
        container_name: written.container_name.unwrap_or_default().trim_start_matches('/').to_owned(),
        image: written.image.unwrap_or_default(),
    })
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns the middle of `<node>:<container>:<port>`, the form of an id unless a container sets its own.
fn container_of(id: &str) -> &str {
    let parts: Vec<&str> = id.split(':').collect();
    match parts.as_slice() {
        [_, container, port] | [_, container, port, _] if number(port).is_some() => container,
        _ => "",
    }
}

/// Parses `ip:port` or `[ip]:port`, and with `names` also `name:port`.
fn address(text: &str, names: bool) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = number(port)?;
    if let Some(bracketed) = host.strip_prefix('[') {
        let inner = bracketed.strip_suffix(']')?;
        return inner.parse::<Ipv6Addr>().is_ok().then(|| (inner.to_owned(), port));
    }
    let known = host.parse::<std::net::Ipv4Addr>().is_ok() || (names && is_name(host));
    known.then(|| (host.to_owned(), port))
}

fn number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    text.len() <= 253 && text.bytes().all(fits) && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed_address(key: &str, text: &str) -> Option<(String, u16)> {
        read(key, &Datum::from(text)).ok().map(|service| (service.ip, service.port))
    }

    #[test]
    fn an_address_is_read_from_the_value_the_json_or_the_name_of_the_key() {
        let at = |ip: &str, port| Some((ip.to_owned(), port));
        for (key, text, want) in [
            ("/web/1", "10.0.0.1:80", at("10.0.0.1", 80)),
            ("/web/1", "10.0.0.1:80\n", at("10.0.0.1", 80)),
            ("/web/1", "[fe80::1]:80", at("fe80::1", 80)),
            ("/web/1", "db.example.org:5432", at("db.example.org", 5432)),
            ("/web/1", r#"{"address":"10.0.0.1:80","ip":"x","port":1}"#, at("10.0.0.1", 80)),
            ("/web/1", r#"{"ip":"fe80::1","port":"80"}"#, at("fe80::1", 80)),
            ("/skydns/local/web/1", r#"{"host":"10.0.0.1","port":80}"#, at("10.0.0.1", 80)),
            ("/service/10.0.0.1:80", "running", at("10.0.0.1", 80)),
            ("/service/10.0.0.1:80", "", at("10.0.0.1", 80)),
            ("/service/[::1]:80", "running", at("::1", 80)),
            ("/service/web1:80", "running", at("web1", 80)),
            ("/service/web1:80", "up", None),
            ("/web/1", "10.0.0.1", None),
            ("/web/1", "10.0.0.1:0", None),
            ("/web/1", "10.0.0.1:+80", None),
            ("/web/1", "10.0.0.1:65536", None),
            ("/web/1", "fe80::1:80", None),
            ("/web/1", "[fe80::1:80", None),
            ("/web/1", "http://10.0.0.1:80", None),
            ("/web/1", "a b:80", None),
            ("/web/1", "", None),
            ("/web/1", r#"{"ip":"10.0.0.1"}"#, None),
            ("/web/1", r#"{"address":"10.0.0.1"}"#, None),
            ("/web/1", r#"{"address":"10.0.0.1:80","tags":"x"}"#, None),
            ("/web/1", r#"{"address":"10.0.0.1:80""#, None),
            ("/web/1", r#"["10.0.0.1:80"]"#, None),
        ] {
            assert_eq!(parsed_address(key, text), want, "{key} {text}");
        }
    }

    #[test]
    fn an_invalid_service_is_reported_by_its_key_and_not_by_its_value() {
        for text in ["hunter2", r#"{"address":"hunter2"}"#, r#"{"tags":"hunter2"}"#, r#"{"ip":"hunter2"}"#] {
            let error = read("/web/1", &Datum::from(text)).unwrap_err().to_string();
            assert!(error.contains("/web/1 is not a backend") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn name_id_and_container_come_from_the_key_as_a_fallback() {
        let service = read("/services/web/h1:web.1:80:udp", &Datum::from("10.0.0.1:80")).unwrap();
        let got = (service.name.as_str(), service.id.as_str(), service.container_name.as_str());
        assert_eq!(got, ("web", "h1:web.1:80:udp", "web.1"));
        let service = read("/service/10.0.0.1:80", &Datum::from("running")).unwrap();
        let got = (service.name.as_str(), service.id.as_str(), service.container_name.as_str());
        assert_eq!(got, ("service", "10.0.0.1:80", ""));
        let service = read("/1", &Datum::from(r#"{"address":"a:1","name":"n","id":"i"}"#)).unwrap();
        assert_eq!((service.name.as_str(), service.id.as_str()), ("n", "i"));
        assert_eq!(read("/1", &Datum::from("a:1")).unwrap().name, "");
    }
}
