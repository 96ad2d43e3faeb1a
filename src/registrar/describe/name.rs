//! A service's name, and the id that distinguishes it from others of that name.

use super::super::container::{Container, Port, Protocol};
use super::super::settings::Suffix;
use super::metadata::Meta;
use super::ports::Ports;

/// Returns the name of a service, with the port appended where the rules say so; a port's own name never gets it.
pub(super) fn of(container: &Container, port: Port, meta: &Meta, suffix: Suffix, ports: &Ports) -> String {
    let name = meta.name.clone().unwrap_or_else(|| default(container));
    let suffixed = match suffix {
        Suffix::Exposed => ports.known > 1,
        Suffix::Published => ports.reached > 1,
        Suffix::Always => true,
        Suffix::Never => false,
    };
    if suffixed && !meta.own_name { format!("{name}-{}", port.number) } else { name }
}

/// Returns the last part of the image's name, without tag and digest. For an image given by its id, returns the
/// container's name.
fn default(container: &Container) -> String {
    let image = container.image.as_str();
    let named = image.split('@').next().unwrap_or(image).trim_end_matches('/');
    let last = named.rsplit('/').next().unwrap_or(named);
    let name = last.split(':').next().unwrap_or(last);
    if is_id(image) || name.is_empty() { container.name.clone() } else { name.to_owned() }
}

/// Returns whether an image is given by its id: `sha256:…`, or all or the first twelve of its digits.
fn is_id(image: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    image.starts_with("sha256:") || (matches!(image.len(), 12 | 64) && digits(image))
}

/// Returns `<node>:<container>:<port>`, with the protocol when it is not TCP.
pub(super) fn id(node: &str, container: &Container, port: Port) -> String {
    let id = format!("{node}:{}:{}", container.name, port.number);
    if port.protocol == Protocol::Tcp { id } else { format!("{id}:{}", port.protocol.word()) }
}
