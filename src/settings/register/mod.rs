//! Settings of `retune register` and its subcommands, and of Registrator's command line.

mod engine;
mod lease;
mod listen;
mod registrator;
mod rows;
mod rules;
mod uri;

use std::time::Duration;

use super::invocation::{Invocation, Register, RegisterStop, Task};
use super::layers::Rank;
use super::problem::Problem;
use super::reader::Reader;
use super::spec::CommandSpec;
use super::{store, units};
use crate::registrar::{CheckAddress, Checks, Deregister, Health, OnExit, OwnContainer, Settings};

pub(super) use registrator::{described, parse_args};
pub(super) use rows::{ENGINE_ROWS, HEALTH_ROWS, KEY_ROWS, OWN_ROWS, REGISTRAR_ROWS, STOP_ROWS};

pub(super) const REGISTER: CommandSpec = CommandSpec {
    notes: "SIGUSR1 writes the status to the log. Over --listen it serves GET /status (JSON), /metrics and /health, and on \
            its own host POST /drain?container=NAME and /undrain.",
    ..CommandSpec::new(
        "register",
        "Register the running containers of this host in a store, each with its health and a lease",
        |read| {
            let own = own(read);
            let (listen, must_listen) = listen::listen_addresses(read, own.is_some());
            let source = store::client_settings(read);
            let registrar = settings(read, own);
            let task = Register { registrar, listen, must_listen, adapter: None };
            Invocation { source, ..Invocation::new(Task::Register(Box::new(task))) }
        },
    )
};

pub(super) const STATUS: CommandSpec = CommandSpec {
    notes: "Exit status 0 means that every service passes and is in the store, and that engine and store respond; 1 that \
            this is not so; 2 that no registrar responds.",
    ..CommandSpec::new(
        "register status",
        "Show every container, key and check of the running registrar",
        |read| {
            let task = Task::RegisterStatus(listen::request_address(read));
            Invocation { output: read.format("output"), ..Invocation::new(task) }
        },
    )
};

pub(super) const STOP: CommandSpec = CommandSpec {
    operand: Some(("container", "CONTAINER")),
    ..CommandSpec::new(
        "register stop",
        "Remove a container's keys, wait for its consumers, then stop it",
        |read| Invocation::new(Task::RegisterStop(Box::new(stop(read)))),
    )
};

fn stop(read: &mut Reader<'_>) -> RegisterStop {
    let container = read.text("container").unwrap_or_else(|| {
        read.report("container", "write the id or name of the container as the last word");
        String::new()
    });
    RegisterStop {
        at: listen::request_address(read),
        engine: engine::read(read),
        container,
        drain: read.span("drain").unwrap_or(Duration::from_secs(10)),
        grace: read.span("stop-timeout"),
    }
}

fn settings(read: &mut Reader<'_>, own: Option<OwnContainer>) -> Settings {
    let base = Settings::default();
    let publish = read.switch("publish-node").unwrap_or(own.is_none());
    let exits = [("keep", OnExit::Keep), ("remove", OnExit::Remove)];
    let on_exit = if own.is_some() { OnExit::Remove } else { base.on_exit };
    Settings {
        engine: engine::read(read),
        node: read.parsed("node-name", node_name),
        labels: labels(read),
        engine_address: read.text("engine-address"),
        publish_node: publish,
        rules: rules::read(read, own.is_some()),
        checks: checks(read, own.is_some()),
        lease: lease::read(read),
        relist: read.limit("relist", base.relist),
        grace: read.span("grace").unwrap_or(base.grace),
        on_exit: read.choice("on-exit", &exits, on_exit),
        deregister: read.choice("deregister", DEREGISTER, base.deregister),
        own,
        attempts: read.parsed("retry-attempts", attempts).flatten(),
        pause: read.limit("retry-interval", base.pause),
        once: read.on("once"),
        dry_run: read.on("dry-run"),
    }
}

const DEREGISTER: &[(&str, Deregister)] =
    &[("always", Deregister::Always), ("on-success", Deregister::OnSuccess)];

/// Returns the container that this process runs in, if only that is registered.
fn own(read: &mut Reader<'_>) -> Option<OwnContainer> {
    let wanted = read.on("self");
    let (container, ports) = (read.text("container"), read.parsed_all("port", port));
    if wanted {
        if read.rank("port").is_none() {
            read.report("self", "which port of the container is registered? add --port N");
        }
        return Some(OwnContainer { container, ports });
    }
    for name in ["container", "port"] {
        // The settings file may contain it for commands with --self.
        if read.rank(name) > Some(Rank::File) {
            read.report(
                name,
                "goes with --self, which registers only its own container; add that or remove this",
            );
        }
    }
    None
}

fn port(text: &str) -> Result<u16, String> {
    match text.trim().parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("{text:?} is not a port; write a number from 1 to 65535")),
    }
}

fn node_name(text: &str) -> Result<String, String> {
    // It becomes the last part of a key.
    let strange = |c: char| c.is_whitespace() || c.is_control() || c == '/';
    if text.contains(strange) || matches!(text, "." | "..") {
        return Err(format!("{text:?} is not a node name; letters, digits, dots and hyphens make one"));
    }
    Ok(text.to_owned())
}

fn labels(read: &mut Reader<'_>) -> std::collections::BTreeMap<String, String> {
    let mut labels = std::collections::BTreeMap::new();
    for text in read.texts("label") {
        match text.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                labels.insert(name.trim().to_owned(), value.to_owned());
            }
            _ => read
                .report("label", format!("{text:?} is not a label; write NAME=VALUE, for instance zone=a")),
        }
    }
    labels
}

fn checks(read: &mut Reader<'_>, own: bool) -> Checks {
    let base = if own {
        Checks { via: CheckAddress::Container, default: Health::Http, ..Checks::default() }
    } else {
        Checks::default()
    };
    let healths = [("running", Health::Running), ("tcp", Health::Tcp), ("http", Health::Http)];
    let vias = [("published", CheckAddress::Published), ("container", CheckAddress::Container)];
    Checks {
        interval: read.limit("health-interval", base.interval),
        timeout: read.limit("health-timeout", base.timeout),
        rise: read.parsed("health-rise", times).unwrap_or(base.rise),
        fall: read.parsed("health-fall", times).unwrap_or(base.fall),
        via: read.choice("health-via", &vias, base.via),
        default: read.choice("health", &healths, base.default),
    }
}

fn times(text: &str) -> Result<u32, String> {
    let times = units::number(text)?;
    match u32::try_from(times) {
        Ok(times) if (1..=1000).contains(&times) => Ok(times),
        _ => Err(format!("{text} times is not possible; write a number from 1 to 1000")),
    }
}

/// Parses a number of tries; Registrator's -1 means for ever, and so does 0 here.
fn attempts(text: &str) -> Result<Option<u32>, String> {
    match text.trim().parse::<i64>() {
        Ok(-1 | 0) => Ok(None),
        Ok(number) if number > 0 => Ok(Some(u32::try_from(number).unwrap_or(u32::MAX))),
        _ => Err(format!("{text:?} is not a number of tries; write at least 1, or 0 for ever")),
    }
}
