//! The form of containers and events for a client.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Dialect;
use super::container::{Container, ContainerState, Health};
use super::state::PastEvent;

/// Returns `2026-01-02T03:04:05.678901234Z`; the year 1 for never.
fn date(nanoseconds: i64) -> String {
    if nanoseconds == 0 {
        return "0001-01-01T00:00:00Z".to_owned();
    }
    jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap().to_string()
}

fn doing(container: &Container, dialect: Dialect) -> &'static str {
    match container.doing {
        ContainerState::Created => "created",
        ContainerState::Running => "running",
        ContainerState::Paused => "paused",
        // Podman has no such state.
        ContainerState::Restarting if dialect == Dialect::Podman => "exited",
        ContainerState::Restarting => "restarting",
        ContainerState::Exited => "exited",
    }
}

/// Returns each port with its published addresses; `null` where it is only exposed.
fn ports(container: &Container) -> Value {
    if !container.up() || container.network_mode == "host" {
        return json!({});
    }
    let mut ports = Map::new();
    for port in &container.exposed {
        ports.insert(port.clone(), Value::Null);
    }
    for (port, host) in &container.bindings {
        let both = ["0.0.0.0", "::"].map(|ip| json!({"HostIp": ip, "HostPort": host.to_string()}));
        ports.insert(port.clone(), json!(both));
    }
    Value::Object(ports)
}

fn asked(container: &Container) -> Value {
    let each = container.publish.iter().map(|(port, host)| {
        let host = host.map(|host| host.to_string()).unwrap_or_default();
        (port.clone(), json!([{"HostIp": "", "HostPort": host}]))
    });
    Value::Object(each.collect())
}

fn networks(container: &Container) -> Value {
    let name = container.network_mode.clone();
    let mut networks = Map::new();
    let at = |ip: &String| json!({"IPAddress": ip, "GlobalIPv6Address": "", "Aliases": null});
    networks.insert(name, at(&container.ip));
    for (name, ip) in &container.more_networks {
        networks.insert(name.clone(), at(ip));
    }
    Value::Object(networks)
}

/// Returns the response to an inspection.
pub(super) fn inspect(container: &Container, dialect: Dialect) -> Value {
    let mut state = json!({
        "Status": doing(container, dialect),
        "Running": container.up() || (container.doing == ContainerState::Restarting && dialect == Dialect::Docker),
        "Paused": container.doing == ContainerState::Paused,
        "Restarting": container.doing == ContainerState::Restarting && dialect == Dialect::Docker,
        "OOMKilled": false,
        "Dead": false,
        "Pid": i32::from(container.up()) * 4711,
        "ExitCode": container.exit_code,
        "Error": "",
        "StartedAt": date(container.started_at),
        "FinishedAt": date(container.finished_at),
    });
    if let Some(health) = container.health {
        let streak = u8::from(health == Health::Unhealthy);
        state["Health"] = json!({"Status": health.word(), "FailingStreak": streak, "Log": []});
    }
    let exposed: BTreeMap<_, _> = container.exposed.iter().map(|port| (port, json!({}))).collect();
    let stop_signal = match (container.stop_signal, dialect) {
        (signal, Dialect::Podman) => Value::from(signal.to_string()),
        // The container does not set it.
        (15, Dialect::Docker) => Value::Null,
        (2, Dialect::Docker) => Value::from("SIGINT"),
        (3, Dialect::Docker) => Value::from("SIGQUIT"),
        (signal, Dialect::Docker) => Value::from(signal.to_string()),
    };
    let mut config = json!({
        "Hostname": &container.id[..12],
        "Image": container.image,
        "Env": container.env,
        "Labels": container.labels,
        "ExposedPorts": exposed,
    });
    if !stop_signal.is_null() {
        config["StopSignal"] = stop_signal;
    }
    if let Some(seconds) = container.stop_timeout {
        config["StopTimeout"] = Value::from(seconds);
    }
    if container.health.is_some() {
        config["Healthcheck"] = json!({"Test": ["CMD", "/bin/check"], "Interval": 5_000_000_000_u64});
    }
    json!({
        "Id": container.id,
        "Name": format!("/{}", container.name),
        "Created": date(container.created_at),
        "Image": format!("sha256:{:0>64}", "1"),
        "State": state,
        "Config": config,
        "HostConfig": {
            "NetworkMode": container.network_mode,
            "PortBindings": asked(container),
            "AutoRemove": false,
            "Memory": 0,
            "CpuShares": 0,
            "RestartPolicy": {"Name": if container.always { "always" } else { "" }, "MaximumRetryCount": 0},
        },
        "NetworkSettings": {"Ports": ports(container), "Networks": networks(container)},
    })
}

/// Returns the status text in a list.
fn status(container: &Container, now: i64, dialect: Dialect) -> String {
    let seconds = |since: i64| format!("{} seconds", (now - since).max(0) / 1_000_000_000);
    let health = match container.health {
        // Podman's list does not show it.
        None => "",
        Some(_) if dialect == Dialect::Podman => "",
        Some(Health::Starting) => " (health: starting)",
        Some(Health::Healthy) => " (healthy)",
        Some(Health::Unhealthy) => " (unhealthy)",
    };
    match container.doing {
        ContainerState::Created => "Created".to_owned(),
        ContainerState::Running => format!("Up {}{health}", seconds(container.started_at)),
        ContainerState::Paused => format!("Up {} (Paused)", seconds(container.started_at)),
        ContainerState::Restarting if dialect == Dialect::Docker => {
            format!("Restarting ({}) {} ago", container.exit_code, seconds(container.finished_at))
        }
        ContainerState::Exited | ContainerState::Restarting => {
            format!("Exited ({}) {} ago", container.exit_code, seconds(container.finished_at))
        }
    }
}

/// Returns an entry of a list.
pub(super) fn line(container: &Container, now: i64, dialect: Dialect) -> Value {
    let mut open = Vec::new();
    if container.up() && container.network_mode != "host" {
        for port in &container.exposed {
            let (number, kind) = port.split_once('/').unwrap_or((port, "tcp"));
            let number: u16 = number.parse().unwrap();
            match container.bindings.get(port) {
                Some(host) => {
                    open.extend(["0.0.0.0", "::"].map(
                        |ip| json!({"IP": ip, "PrivatePort": number, "PublicPort": host, "Type": kind}),
                    ));
                }
                None => open.push(json!({"PrivatePort": number, "Type": kind})),
            }
        }
    }
    let mode = if dialect == Dialect::Podman { "host" } else { &container.network_mode };
    json!({
        "Id": container.id,
        "Names": [format!("/{}", container.name)],
        "Image": container.image,
        "ImageID": format!("sha256:{:0>64}", "1"),
        "Command": "run",
        "Created": container.created_at / 1_000_000_000,
        "Ports": open,
        "Labels": container.labels,
        "State": doing(container, dialect),
        "Status": status(container, now, dialect),
        "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {"Networks": networks(container)},
        "Mounts": [],
    })
}

/// Returns an event, without the fields that API 1.52 dropped.
pub(super) fn event(event: &PastEvent) -> Value {
    let mut value = json!({
        "Type": event.of,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": event.attributes},
        "scope": "local",
        "time": event.at / 1_000_000_000,
        "timeNano": event.at,
    });
    if let Some(health) = event.health {
        value["HealthStatus"] = Value::from(health.word());
    }
    value
}

/// Returns the engine's information about its host.
pub(super) fn info(containers: usize, labels: &[String]) -> Value {
    json!({
        "ID": "7TRN:IPZB:QYBB:VPBQ:UMPP:KARE:6ZNR:XE6T:7EWV:PKF4:ZOJD:TPYS",
        "Name": "fake-host",
        "Labels": labels,
        "Containers": containers,
        "NCPU": 4,
        "MemTotal": 8_589_934_592_u64,
        "Driver": "overlay2",
        "KernelVersion": "6.1.0",
        "OperatingSystem": "Debian GNU/Linux 12 (bookworm)",
        "OSType": "linux",
    })
}

/// Returns the images of these containers.
pub(super) fn images(containers: &BTreeMap<String, Container>) -> Value {
    let names: std::collections::BTreeSet<_> = containers.values().map(|one| &one.image).collect();
    let line = |(at, name): (usize, &String)| {
        let tag = if name.contains(':') { name.clone() } else { format!("{name}:latest") };
        let labels: Option<Map<String, Value>> = None;
        json!({"Id": format!("sha256:{at:064x}"), "RepoTags": [tag], "RepoDigests": null, "Created": 0, "Size": 1,
               "Labels": labels})
    };
    Value::Array(names.into_iter().enumerate().map(line).collect())
}
