//! The options before the command, and the environment, to how a cluster is reached.

use std::path::PathBuf;
use std::time::Duration;

use crate::client::Trust;
use crate::ctl::{Access, Discovery};

use super::Program;
use super::flags::Flags;

const DEFAULT: &str = "http://127.0.0.1:2379,http://127.0.0.1:4001";

pub(super) fn of(program: Program, globals: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Access {
    let from_env = |name: &str| {
        let mut names = program.prefixes.iter().map(|prefix| format!("{prefix}{name}"));
        names.find_map(|name| env(&name).filter(|value| !value.is_empty())).unwrap_or_default()
    };
    let either = |flag: &str, name: &str| {
        let typed = globals.text(flag);
        if typed.is_empty() { from_env(name) } else { typed }
    };
    // Each variable comes right behind the flag of its name: an endpoint from the environment beats --endpoint.
    let places = [("endpoints", "ENDPOINTS"), ("endpoint", "ENDPOINT"), ("peers", "PEERS")];
    let endpoints = places.iter().map(|(flag, name)| either(flag, name)).find(|found| !found.is_empty());
    let endpoints = endpoints.unwrap_or_else(|| DEFAULT.to_owned());
    let domain = either("discovery-srv", "DISCOVERY_SRV");
    let discovery = (!domain.is_empty()).then(|| Discovery {
        domain,
        insecure: globals.on("insecure-discovery") || !from_env("INSECURE_DISCOVERY").is_empty(),
    });
    let file = |flag: &str, name: &str| {
        let typed = globals.all(flag).pop().filter(|path| !path.is_empty()).map(PathBuf::from);
        typed.or_else(|| Some(from_env(name)).filter(|path| !path.is_empty()).map(PathBuf::from))
    };
    Access {
        endpoints: endpoints.split(',').map(str::to_owned).collect(),
        discovery,
        trust: Trust {
            ca: file("ca-file", "CA_FILE"),
            cert: file("cert-file", "CERT_FILE"),
            key: file("key-file", "KEY_FILE"),
            insecure: false,
        },
        username: Some(either("username", "USERNAME")).filter(|name| !name.is_empty()),
        timeout: globals.span("timeout").unwrap_or(Duration::from_secs(2)),
        total_timeout: globals.span("total-timeout").unwrap_or(Duration::from_secs(5)),
        sync: !globals.on("no-sync"),
        debug: globals.on("debug"),
    }
}
