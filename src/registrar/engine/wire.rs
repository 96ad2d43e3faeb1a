//! Parsing of the engine's responses. Reads only the fields that are needed, most of which may be missing.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use super::{EngineInfo, signal};
use crate::placement::Image;
use crate::registrar::container::{
    Container, ContainerState, Healthcheck, ListedContainer, Network, Port, PublishedPort,
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

    fn try_from(json: Value) -> Result<Self, Self::Error> {
        let id = json["Id"].as_str().filter(|id| !id.is_empty()).ok_or("an entry has no Id")?;
        let run_state = json["State"].as_str().filter(|word| !word.is_empty()).map(state_of);
        let healthcheck = listed_health(&json);
        let names = items(&json["Names"]).filter_map(Value::as_str);
        let names = names.map(|name| name.strip_prefix('/').unwrap_or(name).to_owned()).collect();
        let signature = signature(&json);
        Ok(Self(ListedContainer { id: id.to_owned(), names, signature, run_state, healthcheck }))
    }
}

/// Returns all parts of an entry that an inspection depends on, except those that change with time alone.
fn signature(json: &Value) -> String {
    let status = text(&json["Status"]);
    let state = json["State"].as_str().unwrap_or_else(|| status.split(' ').next().unwrap_or(""));
    // `Up 3 seconds (healthy)`, `Up 1 hour (Paused)`, `Exited (0) 5 minutes ago`.
    let details: Vec<&str> =
        status.split('(').skip(1).filter_map(|aside| aside.split_once(')')).map(|(aside, _)| aside).collect();
    let mut names: Vec<&str> = items(&json["Names"]).filter_map(Value::as_str).collect();
    names.sort_unstable();
    let mut ports: Vec<String> = items(&json["Ports"])
        .map(|port| {
            let (from, to) = (text_or_number(&port["PublicPort"]), text_or_number(&port["PrivatePort"]));
            format!("{} {from} {to} {}", text(&port["IP"]), text(&port["Type"]))
        })
        .collect();
    ports.sort_unstable();
    let mut networks: Vec<(&str, &str, &str)> = fields(&json["NetworkSettings"]["Networks"])
        .map(|(name, network)| (name, text(&network["IPAddress"]), text(&network["GlobalIPv6Address"])))
        .collect();
    networks.sort_unstable();
    format!("{state:?} {details:?} {:?} {names:?} {ports:?} {networks:?}", text(&json["Health"]["Status"]))
}

/// Parses an inspection. The error names the required field that is missing.
pub(super) fn container(json: &Value) -> Result<Container, &'static str> {
    let id = json["Id"].as_str().filter(|id| !id.is_empty()).ok_or("the response has no Id")?;
    let state = &json["State"];
    if !state.is_object() {
        return Err("the response has no State");
    }
    let (config, host, net) = (&json["Config"], &json["HostConfig"], &json["NetworkSettings"]);
    let mut exposed: Vec<Port> =
        fields(&config["ExposedPorts"]).filter_map(|(port, _)| Port::read(port)).collect();
    exposed.sort_unstable();
    let name = text(&json["Name"]);
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
        configured_ports: published(&host["PortBindings"]),
        stop_signal: signal::number(&text_or_number(&config["StopSignal"])).unwrap_or(SIGTERM),
        stop_timeout: config["StopTimeout"].as_i64().map(|seconds| {
            u64::try_from(seconds).map_or(MAX_STOP_TIMEOUT_SECS, |seconds| seconds.min(MAX_STOP_TIMEOUT_SECS))
        }),
        memory: host["Memory"].as_i64().unwrap_or(0),
        cpu_shares: host["CpuShares"].as_i64().unwrap_or(0),
    })
}

fn state_of(word: &str) -> ContainerState {
    match word {
        "running" => ContainerState::Running,
        "paused" => ContainerState::Paused,
        "restarting" => ContainerState::Restarting,
        _ => ContainerState::NotRunning,
    }
}

/// Reads the health from an entry's `Status`, as in `Up 3 seconds (healthy)`.
fn listed_health(json: &Value) -> Option<Healthcheck> {
    let status = text(&json["Status"]);
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
        return state_of(word);
    }
    // Engines before API 1.21.
    let is = |flag: &str| state[flag].as_bool().unwrap_or(false);
    match (is("Restarting"), is("Paused"), is("Running")) {
        (true, ..) => ContainerState::Restarting,
        (_, true, _) => ContainerState::Paused,
        (_, _, true) => ContainerState::Running,
        _ => ContainerState::NotRunning,
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
        |json: &Value| Network { v4: address(&json["IPAddress"]), v6: address(&json["GlobalIPv6Address"]) };
    let all: BTreeMap<_, _> =
        fields(&net["Networks"]).map(|(name, json)| (name.to_owned(), network(json))).collect();
    let alone = network(net);
    if all.is_empty() && alone != Network::default() {
        // Before API 1.21 there was only one network with addresses.
        return BTreeMap::from([("bridge".to_owned(), alone)]);
    }
    all
}

fn address(json: &Value) -> Option<IpAddr> {
    text(json).parse().ok()
}

fn published(json: &Value) -> BTreeMap<Port, Vec<PublishedPort>> {
    fields(json)
        .filter_map(|(port, at)| {
            let at = items(at).map(|at| PublishedPort {
                ip: text(&at["HostIp"]).to_owned(),
                port: text_or_number(&at["HostPort"]),
            });
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
pub(super) fn info(json: &Value) -> EngineInfo {
    let own = |name: &str| text(&json[name]).to_owned();
    EngineInfo {
        id: own("ID"),
        name: own("Name"),
        labels: items(&json["Labels"])
            .filter_map(Value::as_str)
            .map(|label| label.split_once('=').unwrap_or((label, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        cpus: json["NCPU"].as_i64().unwrap_or(0),
        memory: json["MemTotal"].as_i64().unwrap_or(0),
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

    fn try_from(json: Value) -> Result<Self, Self::Error> {
        let id = json["Id"].as_str().filter(|id| !id.is_empty()).ok_or("an entry has no Id")?;
        let tags = items(&json["RepoTags"]).filter_map(Value::as_str).filter(|tag| *tag != "<none>:<none>");
        Ok(Self(Image { id: id.to_owned(), tags: tags.map(str::to_owned).collect() }))
    }
}

fn text(json: &Value) -> &str {
    json.as_str().unwrap_or("")
}

/// Returns a text, or a number as text.
fn text_or_number(json: &Value) -> String {
    match json {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn items(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().into_iter().flatten()
}

fn fields(json: &Value) -> impl Iterator<Item = (&str, &Value)> {
    json.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

#[cfg(test)]
#[path = "tests/wire.rs"]
mod tests;
