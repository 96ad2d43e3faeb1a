//! How a cluster is reached: from the options before the command, and the environment.

use std::path::PathBuf;
use std::time::Duration;

use crate::client::{SetBy, Trust};
use crate::ctl::{Access, Discovery};

use super::super::go_flags::Flags;
use super::super::units;
use super::Program;

/// The variables that are read besides flags, without the prefix.
pub(in crate::settings) const VARIABLES: &[&str] = &[
    "CA_FILE",
    "CERT_FILE",
    "DISCOVERY_SRV",
    "ENDPOINT",
    "ENDPOINTS",
    "INSECURE_DISCOVERY",
    "KEY_FILE",
    "PEERS",
    "USERNAME",
    "FROM_USER",
];

/// A variable of ours that etcdctl does not have, without the prefix.
pub(super) const NO_SYNC: &str = "NO_SYNC";

/// The names of the same variables in etcdctl's later API.
const V3_NAMES: &[(&str, &str)] =
    &[("CACERT", "CA_FILE"), ("CERT", "CERT_FILE"), ("KEY", "KEY_FILE"), ("USER", "USERNAME")];

const DEFAULT_ENDPOINTS: &str = "http://127.0.0.1:2379,http://127.0.0.1:4001";

pub(super) fn read(program: Program, globals: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Access {
    let from_env = |name: &str| {
        let mut names = program.prefixes.iter().map(|prefix| format!("{prefix}{name}"));
        names.find_map(|name| env(&name).filter(|value| !value.is_empty())).unwrap_or_default()
    };
    // etcdctl has no such variable.
    let unsynced = program.prefixes.contains(&"RETUNE_")
        && env("RETUNE_NO_SYNC").is_some_and(|word| units::switch(&word) == Ok(true));
    let either = |flag: &str, name: &str| {
        let typed = globals.text(flag);
        if typed.is_empty() { from_env(name) } else { typed }
    };
    // Each variable comes right after the flag of its name: an endpoint from the environment beats --endpoint.
    let places = [("endpoints", "ENDPOINTS"), ("endpoint", "ENDPOINT"), ("peers", "PEERS")];
    let endpoints = places.iter().map(|(flag, name)| either(flag, name)).find(|found| !found.is_empty());
    let endpoints = endpoints.unwrap_or_else(|| DEFAULT_ENDPOINTS.to_owned());
    let domain = either("discovery-srv", "DISCOVERY_SRV");
    let discovery = (!domain.is_empty()).then(|| Discovery {
        domain,
        insecure: globals.on("insecure-discovery") || !from_env("INSECURE_DISCOVERY").is_empty(),
    });
    let file = |flag: &str, name: &str| {
        let typed = globals.all(flag).pop().filter(|path| !path.is_empty()).map(PathBuf::from);
        typed.or_else(|| Some(from_env(name)).filter(|path| !path.is_empty()).map(PathBuf::from))
    };
    // etcdctl rejects an address without a scheme with its parser's message; our other commands assume http.
    let whole = |url: &str| if program == super::ETCDCTL { url.to_owned() } else { with_scheme(url) };
    Access {
        endpoints: endpoints.split(',').map(whole).collect(),
        discovery,
        trust: Trust {
            ca: file("ca-file", "CA_FILE"),
            cert: file("cert-file", "CERT_FILE"),
            key: file("key-file", "KEY_FILE"),
            insecure: false,
            set_by: if program == super::ETCDCTL { SetBy::Etcdctl } else { SetBy::Ctl },
        },
        username: Some(either("username", "USERNAME")).filter(|name| !name.is_empty()),
        timeout: globals.span("timeout").unwrap_or(Duration::from_secs(2)),
        total_timeout: globals.span("total-timeout").unwrap_or(Duration::from_secs(5)),
        sync: !(globals.on("no-sync") || unsynced),
        debug: globals.on("debug"),
    }
}

/// Returns a URL as our other commands read it: without a scheme it is http.
pub(super) fn with_scheme(url: &str) -> String {
    let url = url.trim();
    if url.is_empty() || url.contains("://") { url.to_owned() } else { format!("http://{url}") }
}

/// Returns the notes on the environment for users of `retune ctl`: which of etcdctl's variables are overridden, and
/// which have no effect. Under etcdctl's name there are none, as in etcdctl.
pub(super) fn notes(
    program: Program,
    variables: &[String],
    env: &dyn Fn(&str) -> Option<String>,
) -> Vec<String> {
    let [own, theirs] = program.prefixes else { return Vec::new() };
    let set = |prefix: &str, name: &str| env(&format!("{prefix}{name}")).filter(|value| !value.is_empty());
    let outvoted = VARIABLES.iter().filter_map(|name| {
        let (ours, other) = (set(own, name)?, set(theirs, name)?);
        (ours != other).then(|| format!("{theirs}{name} is not used: {own}{name} overrides it"))
    });
    let idle = variables.iter().filter_map(|variable| {
        let name = variable.strip_prefix(theirs)?;
        // It selects the API, and here there is only one.
        if name == "API" || VARIABLES.contains(&name) {
            return None;
        }
        let near = V3_NAMES.iter().find(|(later, _)| *later == name);
        let hint = near.map(|(_, name)| format!("; {theirs}{name} is its name here"));
        Some(format!("unrecognized environment variable {variable}{}", hint.unwrap_or_default()))
    });
    outvoted.chain(idle).collect()
}
