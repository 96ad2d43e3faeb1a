//! Parsing of the engine's responses. Reads only the fields that are needed, most of which may be missing.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use super::{Info, signal};
use crate::placement::Image;
use crate::registrar::container::{
    Container, ContainerState, Healthcheck, ListedContainer, Network, Port, Published,
};

const SIGTERM: i32 = 15;
/// The longest stop timeout. Engines write -1 for no limit; a week is long enough.
const MAX_STOP_TIMEOUT_SECS: u64 = 7 * 24 * 3600;

/// An entry of the container list. One entry without an id makes the whole list invalid.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct ListEntry(pub(super) ListedContainer);

impl TryFrom<Value> for ListEntry {
    type Error = &'static str;

    fn try_from(said: Value) -> Result<Self, Self::Error> {
        let id = said["Id"].as_str().filter(|id| !id.is_empty()).ok_or("an entry has no Id")?;
        let run_state = said["State"].as_str().filter(|word| !word.is_empty()).map(doing_of);
        let healthcheck = listed_health(&said);
        let names = items(&said["Names"]).filter_map(Value::as_str);
        let names = names.map(|name| name.strip_prefix('/').unwrap_or(name).to_owned()).collect();
        let signature = signature(&said);
        Ok(Self(ListedContainer { id: id.to_owned(), names, signature, run_state, healthcheck }))
    }
}

/// Returns all parts of an entry that an inspection depends on, except those that change with time alone.
fn signature(said: &Value) -> String {
    let status = text(&said["Status"]);
    let state = said["State"].as_str().unwrap_or_else(|| status.split(' ').next().unwrap_or(""));
    // `Up 3 seconds (healthy)`, `Up 1 hour (Paused)`, `Exited (0) 5 minutes ago`.
    let asides: Vec<&str> =
        status.split('(').skip(1).filter_map(|aside| aside.split_once(')')).map(|(aside, _)| aside).collect();
    let mut names: Vec<&str> = items(&said["Names"]).filter_map(Value::as_str).collect();
    names.sort_unstable();
    let mut ports: Vec<String> = items(&said["Ports"])
        .map(|port| {
            let (from, to) = (word(&port["PublicPort"]), word(&port["PrivatePort"]));
            format!("{} {from} {to} {}", text(&port["IP"]), text(&port["Type"]))
        })
        .collect();
    ports.sort_unstable();
    let mut networks: Vec<(&str, &str, &str)> = fields(&said["NetworkSettings"]["Networks"])
        .map(|(name, network)| (name, text(&network["IPAddress"]), text(&network["GlobalIPv6Address"])))
        .collect();
    networks.sort_unstable();
    format!("{state:?} {asides:?} {:?} {names:?} {ports:?} {networks:?}", text(&said["Health"]["Status"]))
}

/// Parses an inspection. The error names the required field that is missing.
pub(super) fn container(said: &Value) -> Result<Container, &'static str> {
    let id = said["Id"].as_str().filter(|id| !id.is_empty()).ok_or("the response has no Id")?;
    let state = &said["State"];
    if !state.is_object() {
        return Err("the response has no State");
    }
    let (config, host, net) = (&said["Config"], &said["HostConfig"], &said["NetworkSettings"]);
    let mut exposed: Vec<Port> =
        fields(&config["ExposedPorts"]).filter_map(|(port, _)| Port::read(port)).collect();
    exposed.sort_unstable();
    let name = text(&said["Name"]);
    Ok(Container {
        id: id.to_owned(),
        name: name.strip_prefix('/').unwrap_or(name).to_owned(),
        image: text(&config["Image"]).to_owned(),
        env: items(&config["Env"])
            .filter_map(|entry| entry.as_str()?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        labels: fields(&config["Labels"])
            .filter_map(|(name, value)| Some((name.to_owned(), value.as_str()?.to_owned())))
            .collect(),
        run_state: run_state(state),
        exit_code: state["ExitCode"].as_i64().unwrap_or(0),
        started: state["StartedAt"].as_str().and_then(nanoseconds),
        healthcheck: healthcheck(state),
        network_mode: text(&host["NetworkMode"]).to_owned(),
        networks: networks(net),
        exposed,
        ports: published(&net["Ports"]),
        asked: published(&host["PortBindings"]),
        stop_signal: signal::number(&word(&config["StopSignal"])).unwrap_or(SIGTERM),
        stop_timeout: config["StopTimeout"].as_i64().map(|seconds| {
            u64::try_from(seconds).map_or(MAX_STOP_TIMEOUT_SECS, |seconds| seconds.min(MAX_STOP_TIMEOUT_SECS))
        }),
        memory: host["Memory"].as_i64().unwrap_or(0),
        cpu_shares: host["CpuShares"].as_i64().unwrap_or(0),
    })
}

fn doing_of(word: &str) -> ContainerState {
    match word {
        "running" => ContainerState::Running,
        "paused" => ContainerState::Paused,
        "restarting" => ContainerState::Restarting,
        _ => ContainerState::Nothing,
    }
}

/// Reads the health from an entry's `Status`, as in `Up 3 seconds (healthy)`.
fn listed_health(said: &Value) -> Option<Healthcheck> {
    let status = text(&said["Status"]);
    let is = |aside: &str| status.ends_with(aside);
    match () {
        () if is("(healthy)") => Some(Healthcheck::Healthy),
        () if is("(unhealthy)") => Some(Healthcheck::Unhealthy),
        () if is("(health: starting)") => Some(Healthcheck::Starting),
        () => None,
    }
}

fn run_state(state: &Value) -> ContainerState {
    if let Some(word) = state["Status"].as_str().filter(|word| !word.is_empty()) {
        return doing_of(word);
    }
    // Engines before API 1.21.
    let is = |flag: &str| state[flag].as_bool().unwrap_or(false);
    match (is("Restarting"), is("Paused"), is("Running")) {
        (true, ..) => ContainerState::Restarting,
        (_, true, _) => ContainerState::Paused,
        (_, _, true) => ContainerState::Running,
        _ => ContainerState::Nothing,
    }
}

fn healthcheck(state: &Value) -> Option<Healthcheck> {
    // Podman before 4 has another name for it.
    let word = state["Health"]["Status"].as_str().or_else(|| state["Healthcheck"]["Status"].as_str());
    match word.unwrap_or("") {
        "" | "none" => None,
        "healthy" => Some(Healthcheck::Healthy),
        "unhealthy" => Some(Healthcheck::Unhealthy),
        // An unknown word does not mean healthy.
        _ => Some(Healthcheck::Starting),
    }
}

fn networks(net: &Value) -> BTreeMap<String, Network> {
    let network =
        |said: &Value| Network { v4: address(&said["IPAddress"]), v6: address(&said["GlobalIPv6Address"]) };
    let all: BTreeMap<_, _> =
        fields(&net["Networks"]).map(|(name, said)| (name.to_owned(), network(said))).collect();
    let alone = network(net);
    if all.is_empty() && alone != Network::default() {
        // Before API 1.21 there was only one network with addresses.
        return BTreeMap::from([("bridge".to_owned(), alone)]);
    }
    all
}

fn address(said: &Value) -> Option<IpAddr> {
    text(said).parse().ok()
}

fn published(said: &Value) -> BTreeMap<Port, Vec<Published>> {
    fields(said)
        .filter_map(|(port, at)| {
            let at = items(at)
                .map(|at| Published { ip: text(&at["HostIp"]).to_owned(), port: word(&at["HostPort"]) });
            Some((Port::read(port)?, at.collect()))
        })
        .collect()
}

/// Returns a date in nanoseconds since 1970; `None` for the zero date, with which engines say never.
fn nanoseconds(date: &str) -> Option<i64> {
    let at: jiff::Timestamp = date.parse().ok()?;
    i64::try_from(at.as_nanosecond()).ok().filter(|at| *at > 0)
}

/// Parses what an engine reports about its host.
pub(super) fn info(said: &Value) -> Info {
    let own = |name: &str| text(&said[name]).to_owned();
    Info {
        id: own("ID"),
        name: own("Name"),
        labels: items(&said["Labels"])
            .filter_map(Value::as_str)
            .map(|label| label.split_once('=').unwrap_or((label, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        cpus: said["NCPU"].as_i64().unwrap_or(0),
        memory: said["MemTotal"].as_i64().unwrap_or(0),
        storage_driver: own("Driver"),
        kernel_version: own("KernelVersion"),
        operating_system: own("OperatingSystem"),
        os_type: own("OSType"),
    }
}

/// An entry of the image list.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct ImageEntry(pub(super) Image);

impl TryFrom<Value> for ImageEntry {
    type Error = &'static str;

    fn try_from(said: Value) -> Result<Self, Self::Error> {
        let id = said["Id"].as_str().filter(|id| !id.is_empty()).ok_or("an entry has no Id")?;
        let tags = items(&said["RepoTags"]).filter_map(Value::as_str).filter(|tag| *tag != "<none>:<none>");
        Ok(Self(Image { id: id.to_owned(), tags: tags.map(str::to_owned).collect() }))
    }
}

fn text(said: &Value) -> &str {
    said.as_str().unwrap_or("")
}

/// Returns a text, or a number as text.
fn word(said: &Value) -> String {
    match said {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn items(said: &Value) -> impl Iterator<Item = &Value> {
    said.as_array().into_iter().flatten()
}

fn fields(said: &Value) -> impl Iterator<Item = (&str, &Value)> {
    said.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

#[cfg(test)]
#[path = "tests/wire.rs"]
mod tests;
