use serde_json::json;

use super::*;
use crate::registrar::container::Protocol;

fn listed() -> Value {
    json!({
        "Id": "a", "State": "running", "Status": "Up 3 seconds (healthy)", "Names": ["/web", "/other/alias"],
        "Ports": [
            { "IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 1234, "Type": "tcp" },
            { "IP": "::", "PrivatePort": 80, "PublicPort": 1234, "Type": "tcp" },
            { "PrivatePort": 443, "Type": "tcp" }
        ],
        "NetworkSettings": { "Networks": { "bridge": { "IPAddress": "172.17.0.2", "GlobalIPv6Address": "" } } }
    })
}

fn signed(said: &Value) -> String {
    ListEntry::try_from(said.clone()).map(|line| line.0.signature).unwrap()
}

#[test]
fn a_signature_changes_with_everything_relevant() {
    let before = signed(&listed());
    let changes: [(&str, Value); 9] = [
        ("/State", json!("paused")),
        ("/Status", json!("Up 3 seconds (unhealthy)")),
        ("/Status", json!("Up 3 seconds (Paused)")),
        ("/Status", json!("Up 3 seconds")),
        ("/Names", json!(["/renamed", "/other/alias"])),
        ("/Ports/0/PublicPort", json!(1235)),
        ("/Ports/0/IP", json!("127.0.0.1")),
        ("/Ports", json!(null)),
        ("/NetworkSettings/Networks/bridge/IPAddress", json!("172.17.0.3")),
    ];
    for (at, value) in changes {
        let mut said = listed();
        *said.pointer_mut(at).unwrap() = value.clone();
        assert_ne!(signed(&said), before, "{at} {value}");
    }
    let mut said = listed();
    said["NetworkSettings"]["Networks"]["second"] = json!({ "IPAddress": "10.0.0.2" });
    assert_ne!(signed(&said), before);
}

#[test]
fn a_signature_ignores_time_and_order() {
    let before = signed(&listed());
    let mut said = listed();
    said["Status"] = json!("Up 2 hours (healthy)");
    said["Ports"].as_array_mut().unwrap().reverse();
    said["Names"].as_array_mut().unwrap().reverse();
    said["SizeRw"] = json!(17);
    assert_eq!(signed(&said), before);
    // Some engines send no State: then the first word of the status is the state.
    let old = |status: &str| signed(&json!({ "Id": "a", "Status": status }));
    assert_eq!(old("Up 2 hours"), old("Up 3 days"));
    assert_ne!(old("Up 2 hours"), old("Exited (0) 2 hours ago"));
}

fn inspected() -> Value {
    json!({
        "Id": "a1", "Name": "/web", "Image": "sha256:1",
        "State": { "Status": "running", "Running": true, "ExitCode": 0,
            "StartedAt": "2024-05-01T10:00:00.123456789Z", "Health": { "Status": "starting", "Log": null } },
        "Config": {
            "Image": "nginx:1", "Env": ["A=b=c", "BARE", "EMPTY="], "Labels": { "l": "v", "odd": 1 },
            "ExposedPorts": { "80/tcp": {}, "53/udp": {}, "odd/x": {} }, "StopSignal": "SIGQUIT", "StopTimeout": 3
        },
        "HostConfig": { "NetworkMode": "net1", "Memory": 1024, "CpuShares": 512,
            "PortBindings": { "80/tcp": [{ "HostIp": "", "HostPort": "8000-8010" }], "53/udp": null } },
        "NetworkSettings": {
            "IPAddress": "172.17.0.9",
            "Ports": { "80/tcp": [{ "HostIp": "0.0.0.0", "HostPort": "8001" }, { "HostIp": "::", "HostPort": 8001 }],
                "443/tcp": null, "53/udp": [] },
            "Networks": { "net1": { "IPAddress": "10.0.0.2", "GlobalIPv6Address": "fd00::2" },
                "net2": { "IPAddress": "", "GlobalIPv6Address": "" } }
        }
    })
}

fn port(number: u16, protocol: Protocol) -> Port {
    Port { number, protocol }
}

fn at(ip: &str, port: &str) -> PublishedPort {
    PublishedPort { ip: ip.into(), port: port.into() }
}

#[test]
fn an_inspection_is_parsed_into_a_container() {
    let container = container(&inspected()).unwrap();
    let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
    let wanted = Container {
        id: "a1".into(),
        name: "web".into(),
        image: "nginx:1".into(),
        env: vec![("A".into(), "b=c".into()), ("EMPTY".into(), String::new())],
        labels: [("l".to_owned(), "v".to_owned())].into(),
        run_state: ContainerState::Running,
        exit_code: 0,
        started: Some(1_714_557_600_123_456_789),
        healthcheck: Some(Healthcheck::Starting),
        network_mode: "net1".into(),
        networks: [
            ("net1".to_owned(), Network { v4: "10.0.0.2".parse().ok(), v6: "fd00::2".parse().ok() }),
            ("net2".to_owned(), Network::default()),
        ]
        .into(),
        exposed: vec![port(53, udp), port(80, tcp)],
        ports: [
            (port(80, tcp), vec![at("0.0.0.0", "8001"), at("::", "8001")]),
            (port(443, tcp), vec![]),
            (port(53, udp), vec![]),
        ]
        .into(),
        configured_ports: [(port(80, tcp), vec![at("", "8000-8010")]), (port(53, udp), vec![])].into(),
        stop_signal: 3,
        stop_timeout: Some(3),
        memory: 1024,
        cpu_shares: 512,
    };
    assert!(container == wanted);
}

#[test]
fn a_container_with_few_fields_is_parsed() {
    let said = json!({ "Id": "a", "State": {}, "Config": { "Labels": null, "Env": null, "StopSignal": "" } });
    let wanted = Container { id: "a".into(), stop_signal: SIGTERM, ..Container::default() };
    assert!(container(&said).unwrap() == wanted);
    for said in [json!({ "State": {} }), json!({ "Id": "a" }), json!({ "Id": 1, "State": {} }), json!([])] {
        assert!(container(&said).is_err(), "{said}");
    }
}

#[test]
fn the_container_state_is_parsed_in_old_and_new_formats() {
    for (state, wanted) in [
        (json!({ "Status": "running" }), ContainerState::Running),
        (json!({ "Status": "paused", "Running": true, "Paused": true }), ContainerState::Paused),
        (json!({ "Status": "restarting", "Running": true }), ContainerState::Restarting),
        (json!({ "Status": "dead", "Running": true }), ContainerState::NotRunning),
        (json!({ "Status": "exited" }), ContainerState::NotRunning),
        (json!({ "Status": "dreaming" }), ContainerState::NotRunning),
        (json!({ "Running": true }), ContainerState::Running),
        (json!({ "Running": true, "Paused": true }), ContainerState::Paused),
        (json!({ "Running": true, "Restarting": true }), ContainerState::Restarting),
        (json!({ "Running": false }), ContainerState::NotRunning),
    ] {
        assert_eq!(run_state(&state), wanted, "{state}");
    }
}

#[test]
fn health_is_none_without_a_check_and_never_healthy_for_an_unknown_word() {
    for (word, wanted) in [
        ("", None),
        ("none", None),
        ("starting", Some(Healthcheck::Starting)),
        ("healthy", Some(Healthcheck::Healthy)),
        ("unhealthy", Some(Healthcheck::Unhealthy)),
        ("reset", Some(Healthcheck::Starting)),
    ] {
        assert_eq!(healthcheck(&json!({ "Health": { "Status": word } })), wanted, "{word}");
    }
    assert_eq!(healthcheck(&json!({ "Health": null })), None);
    assert_eq!(healthcheck(&json!({ "Healthcheck": { "Status": "healthy" } })), Some(Healthcheck::Healthy));
}

#[test]
fn dates_are_parsed_with_offsets_and_the_zero_date_is_none() {
    let wanted = Some(1_714_557_600_123_456_789);
    assert_eq!(nanoseconds("2024-05-01T10:00:00.123456789Z"), wanted);
    assert_eq!(nanoseconds("2024-05-01T12:00:00.123456789+02:00"), wanted);
    assert_eq!(nanoseconds("0001-01-01T00:00:00Z"), None);
    assert_eq!(nanoseconds("1970-01-01T00:00:00Z"), None);
    assert_eq!(nanoseconds("yesterday"), None);
}

#[test]
fn the_address_outside_networks_counts_only_without_networks() {
    let old = json!({ "IPAddress": "172.17.0.2", "GlobalIPv6Address": "", "Networks": {} });
    let found = networks(&old);
    assert_eq!(found["bridge"].v4, "172.17.0.2".parse().ok());
    assert!(networks(&json!({ "IPAddress": "", "Networks": null })).is_empty());
    let both = json!({ "IPAddress": "172.17.0.2", "Networks": { "net1": { "IPAddress": "10.0.0.1" } } });
    assert_eq!(networks(&both).keys().collect::<Vec<_>>(), ["net1"]);
}

#[test]
fn stop_signals_and_timeouts_have_their_defaults() {
    let with = |config: Value| container(&json!({ "Id": "a", "State": {}, "Config": config })).unwrap();
    for (signal, wanted) in [
        (json!("SIGTERM"), 15),
        (json!("15"), 15),
        (json!("9"), 9),
        (json!(3), 3),
        (json!("SIGRTMIN+3"), 37),
        (json!("WHAT"), 15),
        (json!(null), 15),
    ] {
        assert_eq!(with(json!({ "StopSignal": signal })).stop_signal, wanted);
    }
    for (seconds, wanted) in
        [(json!(null), None), (json!(0), Some(0)), (json!(-1), Some(MAX_STOP_TIMEOUT_SECS))]
    {
        assert_eq!(with(json!({ "StopTimeout": seconds })).stop_timeout, wanted);
    }
}
