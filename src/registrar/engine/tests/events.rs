use serde_json::json;

use super::*;

fn of(said: &Value) -> Option<EngineEvent> {
    read(said)
}

#[test]
fn an_event_of_every_engine_is_parsed() {
    let docker = json!({
        "Type": "container", "Action": "kill", "Actor": { "ID": "a", "Attributes": { "signal": "15" } },
        "status": "kill", "id": "a", "time": 7, "timeNano": 7_000_000_001_i64
    });
    let kill = EngineEvent {
        of: EventSubject::Container,
        action: "kill".into(),
        id: "a".into(),
        at: Some(7_000_000_001),
        signal: Some(15),
    };
    assert_eq!(of(&docker), Some(kill.clone()));
    for signal in [json!("SIGTERM"), json!("TERM"), json!(15)] {
        let mut named = docker.clone();
        named["Actor"]["Attributes"]["signal"] = signal;
        assert_eq!(of(&named), Some(kill.clone()));
    }
    let old = json!({ "status": "kill", "id": "a", "time": 7 });
    assert_eq!(of(&old), Some(EngineEvent { at: Some(7_000_000_000), signal: None, ..kill }));
    let old = json!({ "status": "pull", "id": "busybox:latest" });
    assert_eq!(of(&old).map(|event| event.of), Some(EventSubject::Image));
    for (theirs, ours) in
        [("died", "die"), ("remove", "destroy"), ("health_status: healthy", "health_status")]
    {
        let said = json!({ "Type": "container", "Action": theirs, "Actor": { "ID": "a" } });
        assert_eq!(of(&said).map(|event| event.action), Some(ours.to_owned()));
    }
}

/// Each action of each type from Docker's and Podman's sources, and what it leads to.
#[test]
fn every_action_of_every_type_maps_as_the_table_says() {
    let container = [
        "create",
        "init",
        "start",
        "restart",
        "stop",
        "oom",
        "pause",
        "unpause",
        "rename",
        "update",
        "cleanup",
        "checkpoint",
        "restore",
        "kill",
        "die",
        "died",
        "destroy",
        "remove",
        "health_status: healthy",
        "a-new-word",
    ];
    let harmless = [
        "archive-path",
        "attach",
        "commit",
        "copy",
        "detach",
        "exec_create: sh",
        "exec_start: sh",
        "exec_detach",
        "exec_die",
        "exec_died",
        "exec",
        "export",
        "extract-to-dir",
        "mount",
        "resize",
        "sync",
        "top",
        "unmount",
    ];
    let image = [
        "create", "delete", "import", "load", "mount", "prune", "pull", "push", "remove", "save", "tag",
        "untag",
    ];
    let other = [
        ("network", &["create", "destroy", "remove", "prune", "update"][..]),
        ("daemon", &["shutdown"]),
        ("volume", &["create", "mount", "unmount", "destroy", "prune"]),
        ("service", &["create", "update", "remove"]),
        ("node", &["create", "update", "remove"]),
        ("pod", &["create", "start", "stop", "kill", "remove"]),
        ("system", &["refresh", "renumber"]),
        ("builder", &["prune"]),
    ];
    let all = container.map(|action| ("container", action, Some(EventSubject::Container))).into_iter();
    let all = all.chain(harmless.map(|action| ("container", action, None)));
    let all = all.chain(image.map(|action| ("image", action, Some(EventSubject::Image))));
    let all =
        all.chain(["connect", "disconnect"].map(|action| ("network", action, Some(EventSubject::Container))));
    let all = all.chain([("daemon", "reload", Some(EventSubject::Host))]);
    let all =
        all.chain(other.into_iter().flat_map(|(of, words)| words.iter().map(move |word| (of, *word, None))));
    for (kind, action, wanted) in all {
        let said = json!({ "Type": kind, "Action": action, "Actor": { "ID": "a" } });
        assert_eq!(of(&said).map(|event| event.of), wanted, "{kind} {action}");
    }
}

#[test]
fn a_network_event_belongs_to_its_container_whichever_engine_sends_it() {
    let docker = json!({ "Type": "network", "Action": "connect",
        "Actor": { "ID": "net", "Attributes": { "container": "c", "name": "front", "type": "bridge" } } });
    let podman =
        json!({ "Type": "network", "Action": "disconnect", "Actor": { "ID": "c", "Attributes": {} } });
    for (said, action) in [(docker, "connect"), (podman, "disconnect")] {
        let event = of(&said).unwrap();
        assert_eq!(
            (event.of, event.id.as_str(), event.action.as_str()),
            (EventSubject::Container, "c", action)
        );
    }
    let pruned = json!({ "Type": "image", "Action": "prune", "Actor": { "ID": "" } });
    assert_eq!(of(&pruned).map(|event| event.of), Some(EventSubject::Image));
}

#[test]
fn irrelevant_events_are_skipped() {
    for said in [
        json!({ "Type": "container", "Action": "exec_create: /bin/true", "Actor": { "ID": "a" } }),
        json!({ "Type": "container", "Action": "exec_die", "Actor": { "ID": "a" } }),
        json!({ "Type": "container", "Action": "exec", "Actor": { "ID": "a" } }),
        json!({ "Type": "network", "Action": "create", "Actor": { "ID": "a" } }),
        json!({ "Type": "network", "Action": "destroy", "Actor": { "ID": "a" } }),
        json!({ "Type": "daemon", "Action": "shutdown", "Actor": { "ID": "a" } }),
        json!({ "Type": "volume", "Action": "mount", "Actor": { "ID": "a" } }),
        json!({ "Type": "container", "Action": "start", "Actor": { "ID": "" } }),
        json!({ "Type": "container", "Action": "start", "Actor": null }),
        json!({ "Type": "container", "Action": 7, "Actor": { "ID": "a" } }),
        json!({}),
    ] {
        assert_eq!(of(&said), None, "{said}");
    }
}

fn objects(pieces: &[&[u8]]) -> Result<Vec<String>, &'static str> {
    let (mut objects, mut out) = (Objects::default(), Vec::new());
    for piece in pieces {
        objects.add(piece);
        while let Some(object) = objects.next()? {
            out.push(String::from_utf8(object).unwrap());
        }
    }
    Ok(out)
}

#[test]
fn objects_are_separated_wherever_the_stream_is_split() {
    let one = r#"{"a":"}{\"\\","b":{"c":[{}]}}"#;
    let two = r#"{"ä":"\\\"}"}"#;
    let all = format!("{one}{two}\r\n\n{two} {one}\n");
    for size in 1..=all.len() {
        let pieces: Vec<_> = all.as_bytes().chunks(size).collect();
        assert_eq!(objects(&pieces).unwrap(), [one, two, two, one], "in pieces of {size}");
    }
}

#[test]
fn an_endless_event_is_an_error_before_it_fills_the_memory() {
    let piece = vec![b'x'; 64 << 10];
    let mut pieces: Vec<&[u8]> = vec![b"{\"a\":\""];
    pieces.extend(std::iter::repeat_n(piece.as_slice(), 17));
    assert_eq!(objects(&pieces), Err("an event is larger than 1 MiB"));
    assert!(objects(&pieces[..16]).unwrap().is_empty());
    assert!(objects(&[b"{}{}", b"nonsense"]).is_err());
}
