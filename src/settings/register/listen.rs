//! Where a registrar serves its state, and where to request it.

use std::path::PathBuf;

use super::super::Host;
use super::super::invocation::Listen;
use super::super::reader::Reader;

const LISTEN_SYNTAX: &str = "write unix:///PATH or HOST:PORT, or none";

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => f.write_str(address),
        }
    }
}

/// Returns the addresses to listen on, and whether they were requested, so that a failure is an error.
pub(super) fn listen_addresses(read: &mut Reader<'_>, own: bool) -> (Vec<Listen>, bool) {
    match given(read) {
        Some(places) => (places, true),
        None if own => (Vec::new(), false),
        None => (default_address(read.host).into_iter().collect(), false),
    }
}

/// Returns the address to send requests to.
pub(super) fn request_address(read: &mut Reader<'_>) -> Listen {
    let nowhere = || Listen::Unix(PathBuf::new());
    let Some(places) = given(read) else {
        let host = read.host;
        let found = default_address(host).filter(|place| match place {
            Listen::Unix(path) => host.root || (host.file_exists)(path),
            Listen::Tcp(_) => true,
        });
        // A user who is not root may still have access to root's socket.
        return found.unwrap_or_else(system_socket);
    };
    if places.is_empty() && read.problems.is_empty() {
        read.report("listen", "with none a registrar cannot be reached; name the address that it listens on");
    }
    let socket = |place: &&Listen| matches!(place, Listen::Unix(_));
    places.iter().find(socket).or(places.first()).cloned().unwrap_or_else(nowhere)
}

/// Returns the default address, if there is one.
pub(super) fn default_address(host: &Host<'_>) -> Option<Listen> {
    if host.root {
        return Some(system_socket());
    }
    let folder = (host.env)("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute())?;
    Some(Listen::Unix(folder.join("retune/register.sock")))
}

fn system_socket() -> Listen {
    Listen::Unix(PathBuf::from("/run/retune/register.sock"))
}

fn given(read: &mut Reader<'_>) -> Option<Vec<Listen>> {
    let texts = read.texts("listen");
    if texts.is_empty() {
        return None;
    }
    if texts.iter().any(|text| text == "none") {
        if texts.len() > 1 {
            read.report("listen", "none does not go with other addresses");
        }
        return Some(Vec::new());
    }
    Some(read.parsed_all("listen", parse_address))
}

fn parse_address(text: &str) -> Result<Listen, String> {
    if let Some(path) = text.strip_prefix("unix://").or_else(|| text.starts_with('/').then_some(text)) {
        let whole = path.starts_with('/') && path.len() > 1;
        return if whole {
            Ok(Listen::Unix(path.into()))
        } else {
            Err(format!("{text:?} is not a path; {LISTEN_SYNTAX}"))
        };
    }
    let address = text.strip_prefix("http://").or_else(|| text.strip_prefix("tcp://")).unwrap_or(text);
    let (name, port) =
        address.rsplit_once(':').ok_or_else(|| format!("{text:?} has no port; {LISTEN_SYNTAX}"))?;
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '[' | ']');
    if inner.contains(strange) || (inner == name && name.contains(':')) || port.parse::<u16>().is_err() {
        return Err(format!("{text:?} is not an address to listen on; {LISTEN_SYNTAX}"));
    }
    // As in Go's listeners: an empty host means every address.
    let name = if name.is_empty() { "0.0.0.0" } else { name };
    Ok(Listen::Tcp(format!("{name}:{port}")))
}
