//! Parses ports like `docker run -p` and `--expose`.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::placement::PortBinding;

const PORT_SYNTAX: &str = "write [IP:][HOST:]CONTAINER[/PROTO], for instance 80, 8080:80, 127.0.0.1:8080:80/tcp or 8000-8010:8000-8010";

/// A larger range is a mistake, and each of its ports would be checked on each node.
const MAX_PORTS: usize = 1000;

/// The result of one `-p`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Published {
    /// Ports on the host.
    pub(super) bindings: Vec<PortBinding>,
    /// Ports in the container, as `80/tcp`.
    pub(super) exposed: Vec<String>,
}

impl Published {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a port; {PORT_SYNTAX}");
        let (rest, protocol) = protocol(text)?;
        let (ip, rest) = split_ip(rest).ok_or_else(wrong)?;
        let (host, container) = rest.rsplit_once(':').unwrap_or(("", rest));
        let inner = range(container).ok_or_else(wrong)?;
        let exposed = inner.clone().map(|port| format!("{port}/{protocol}")).collect();
        let binding =
            |host_port: String| PortBinding { ip: ip.clone(), host_port, protocol: protocol.to_owned() };
        if host.is_empty() {
            return Ok(Self { bindings: inner.map(|_| binding(String::new())).collect(), exposed });
        }
        let outer = range(host).ok_or_else(wrong)?;
        let bindings = match (outer.len(), inner.len()) {
            (1, 1) => vec![binding(outer.start().to_string())],
            (several, same) if several == same => outer.map(|port| binding(port.to_string())).collect(),
            // Any of these ports may be used.
            (_, 1) => vec![binding(format!("{}-{}", outer.start(), outer.end()))],
            _ => return Err(format!("{text:?}: the ranges of host and container differ in length")),
        };
        Ok(Self { bindings, exposed })
    }
}

/// Returns a port of the container, as `80/tcp`.
pub(super) fn exposed(text: &str) -> Result<String, String> {
    let (port, protocol) = protocol(text)?;
    match range(port) {
        Some(range) if range.len() == 1 => Ok(format!("{}/{protocol}", range.start())),
        _ => Err(format!("{text:?} is not a port of a container; write one such as 80 or 53/udp")),
    }
}

fn protocol(text: &str) -> Result<(&str, &'static str), String> {
    let (rest, protocol) = text.trim().split_once('/').unwrap_or((text.trim(), "tcp"));
    match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Ok((rest, "tcp")),
        "udp" => Ok((rest, "udp")),
        "sctp" => Ok((rest, "sctp")),
        _ => Err(format!("{protocol:?} is not a protocol; write tcp, udp or sctp")),
    }
}

/// Returns the host's address, if one is named, and the rest.
fn split_ip(text: &str) -> Option<(String, &str)> {
    let (ip, rest) = match text.strip_prefix('[') {
        Some(inner) => inner.split_once("]:")?,
        None if text.matches(':').count() < 2 => return Some((String::new(), text)),
        None => {
            let (head, container) = text.rsplit_once(':')?;
            let (ip, host) = head.rsplit_once(':')?;
            (ip, &text[text.len() - container.len() - host.len() - 1..])
        }
    };
    let parsed: IpAddr = ip.parse().ok()?;
    Some((parsed.to_string(), rest))
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    let range = first..=last;
    (first > 0 && !range.is_empty() && range.len() <= MAX_PORTS).then_some(range)
}
