//! The fake engine behaves like a real one: otherwise the other tests prove nothing.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::raw::{Events, StreamEnd, ask, field, get, head_of};
use crate::support::fake_engine::{
    CommandResult, Container, Dialect, Endpoint, Failure, FakeEngine, Health, OnEngineStop, Since,
};
use crate::support::http::request;
use crate::support::skips::Permitted;
use crate::support::{WAIT_TIMEOUT, eventually};

const NOW: Duration = Duration::ZERO;

fn web() -> Container {
    Container::new("web").publish("80/tcp", None).expose("443/tcp")
}

/// Returns the actions of all events that `happen` causes.
fn events_of(engine: &FakeEngine, happen: impl FnOnce()) -> Vec<String> {
    let mut events = Events::open(engine.socket(), "").unwrap();
    happen();
    events.actions().0
}

#[test]
fn the_events_of_docker_have_dockers_order() {
    let engine = FakeEngine::start();
    let id = engine.create(web());
    let settle = || eventually("it settles", WAIT_TIMEOUT, || engine.settled());
    let starts = events_of(&engine, || engine.begin(&id));
    assert_eq!(starts, ["start"]);
    let restarts = events_of(&engine, || {
        engine.restart_container("web", Duration::from_millis(20));
        settle();
    });
    assert_eq!(restarts, ["kill", "die", "stop", "start", "restart"]);
    let crashes = events_of(&engine, || {
        engine.crash("web", 1, Duration::from_millis(20));
        settle();
    });
    assert_eq!(crashes, ["die", "start"]);
    let rests = events_of(&engine, || {
        engine.kill("web", 1);
        engine.pause("web");
        engine.unpause("web");
        engine.rename("web", "www");
        engine.stop("www", NOW);
        settle();
        engine.begin("www");
        engine.remove("www");
    });
    let wanted =
        ["kill", "pause", "unpause", "rename", "kill", "die", "stop", "start", "kill", "die", "destroy"];
    assert_eq!(rests, wanted);
}

#[test]
fn a_stop_sends_its_signal_event_at_once_and_ends_later() {
    let engine = FakeEngine::start();
    engine.run(web().stop_signal(3));
    let mut events = Events::open(engine.socket(), "").unwrap();
    engine.stop("web", Duration::from_millis(200));
    let kill = events.next().unwrap();
    assert_eq!(
        (kill["Action"].as_str(), kill["Actor"]["Attributes"]["signal"].as_str()),
        (Some("kill"), Some("3"))
    );
    assert!(kill["id"].is_null() && kill["status"].is_null(), "what newer versions dropped: {kill}");
    let running = get(engine.socket(), "/containers/web/json").unwrap();
    assert_eq!(running["State"]["Status"], "running");
    assert_eq!(running["Config"]["StopSignal"], "SIGQUIT");
    assert_eq!(events.actions().0, ["die", "stop"]);
}

#[test]
fn podman_sends_fewer_and_different_events() {
    let engine = FakeEngine::start_as(Dialect::Podman, 0);
    assert_eq!(field(&head_of(engine.socket(), "!/_ping").unwrap(), "api-version").as_deref(), Some("1.44"));
    engine.run(web().healthcheck());
    let mut events = Events::open(engine.socket(), "").unwrap();
    engine.probe("web", Health::Healthy);
    engine.probe("web", Health::Healthy);
    engine.stop("web", NOW);
    eventually("it ends", WAIT_TIMEOUT, || engine.settled());
    engine.remove("web");
    let probe = ["exec", "exec_died", "health_status"];
    assert_eq!(events.actions().0, [&probe[..], &probe, &["die", "cleanup", "stop", "remove"]].concat());
    engine.run(web());
    engine.pause("web");
    assert_eq!(get(engine.socket(), "/containers/json").unwrap().as_array().unwrap().len(), 0);
    let all = get(engine.socket(), "/containers/json?all=1").unwrap();
    assert_eq!((&all[0]["State"], &all[0]["HostConfig"]["NetworkMode"]), (&"paused".into(), &"host".into()));
    assert_eq!(get(engine.socket(), "/containers/web/json").unwrap()["Config"]["StopSignal"], "15");
}

#[test]
fn ports_exist_while_a_container_runs_and_change_with_its_restarts() {
    let engine = FakeEngine::start();
    let id = engine.create(web());
    let ports = || get(engine.socket(), "/containers/web/json").unwrap()["NetworkSettings"]["Ports"].clone();
    assert_eq!(ports(), serde_json::json!({}));
    engine.begin(&id);
    let first = ports();
    assert!(first["443/tcp"].is_null() && first["80/tcp"][1]["HostIp"] == "::", "{first}");
    assert!(first["80/tcp"][0]["HostPort"].is_string(), "{first}");
    engine.die(&id, 3);
    assert_eq!(ports(), serde_json::json!({}));
    engine.begin(&id);
    assert_ne!(ports(), first);
    let word = |path: &str| ask(engine.socket(), "GET", path).unwrap().0;
    assert_eq!(word(&format!("/containers/{}/json", &id[..12])), 200);
    assert_eq!(word("/containers/nobody/json"), 404);
}

#[test]
fn a_list_contains_health_and_state_as_text() {
    let engine = FakeEngine::start();
    engine.run(web().healthcheck());
    let status =
        || get(engine.socket(), "/containers/json").unwrap()[0]["Status"].as_str().unwrap().to_owned();
    assert_eq!(status(), "Up 0 seconds (health: starting)");
    engine.probe("web", Health::Healthy);
    assert_eq!(status(), "Up 0 seconds (healthy)");
    engine.pause("web");
    assert_eq!(status(), "Up 0 seconds (Paused)");
}

#[test]
fn a_url_without_a_version_or_with_an_unsupported_one_is_refused() {
    let engine = FakeEngine::start();
    let status = |path: &str| ask(engine.socket(), "GET", path).unwrap().0;
    assert_eq!(status("!/_ping"), 200);
    assert!(engine.invalid_requests().is_empty());
    assert_eq!(status("!/containers/json"), 400);
    assert_eq!(status("!/v1.48/containers/json"), 400);
    assert_eq!(status("!/v1.20/containers/json"), 400);
    assert_eq!(status("!/v1.24/containers/json"), 200);
    assert_eq!(engine.invalid_requests().len(), 3);
}

#[test]
fn since_replays_remembered_events_up_to_256() {
    let engine = FakeEngine::start();
    engine.run(web());
    let start = Events::open(engine.socket(), "?since=0").unwrap().actions();
    assert_eq!(start, (vec!["create".to_owned(), "start".to_owned()], StreamEnd::Silent));
    let at = Events::open(engine.socket(), "?since=0").unwrap().next().unwrap()["timeNano"].as_i64().unwrap();
    let since = |nano: i64| format!("?since={}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
    assert_eq!(Events::open(engine.socket(), &since(at)).unwrap().actions().0, ["create", "start"]);
    assert_eq!(Events::open(engine.socket(), &since(at + 1)).unwrap().actions().0, ["start"]);
    let replay = format!("{}&until={}", since(at), at / 1_000_000_000 + 1);
    eventually("the second is over", WAIT_TIMEOUT, || {
        let (actions, over) = Events::open(engine.socket(), &replay).unwrap().actions();
        over == StreamEnd::InOrder && actions == ["create", "start"]
    });
    engine.pull("busybox", 300);
    let only = "&filters=%7B%22type%22%3A%7B%22container%22%3Atrue%7D%7D";
    assert_eq!(Events::open(engine.socket(), "?since=0").unwrap().actions().0.len(), 256);
    assert!(Events::open(engine.socket(), &format!("?since=0{only}")).unwrap().actions().0.is_empty());
    assert!(Events::open(engine.socket(), "?since=5&until=4").is_err());
    engine.restart(OnEngineStop::Stay);
    assert!(Events::open(engine.socket(), "?since=0").unwrap().actions().0.is_empty());
}

#[test]
fn events_can_be_lost_duplicated_reordered_and_silenced_and_since_can_be_wrong() {
    let engine = FakeEngine::start();
    let id = engine.create(web());
    let lives = || {
        for _ in 0..10 {
            engine.begin(&id);
            engine.die(&id, 0);
        }
    };
    let honest = events_of(&engine, lives);
    assert_eq!(honest.len(), 20);
    engine.fault(|faults| faults.lost = 100);
    assert!(events_of(&engine, lives).is_empty());
    engine.clear_faults();
    engine.fault(|faults| faults.doubled = 100);
    assert_eq!(events_of(&engine, lives).len(), 40);
    engine.clear_faults();
    engine.fault(|faults| faults.jitter = Duration::from_millis(200));
    let swapped = events_of(&engine, lives);
    assert!(swapped.len() == 20 && swapped != honest, "{swapped:?}");
    engine.clear_faults();
    engine.fault(|faults| faults.silent = true);
    assert!(events_of(&engine, lives).is_empty());
    engine.clear_faults();
    engine.fault(|faults| faults.since = Since::Nothing);
    assert!(Events::open(engine.socket(), "?since=0").unwrap().actions().0.is_empty());
    engine.fault(|faults| faults.since = Since::Everything);
    assert!(!Events::open(engine.socket(), "?since=99999999999").unwrap().actions().0.is_empty());
}

#[test]
fn streams_end_properly_or_in_the_middle_of_a_line() {
    let engine = FakeEngine::start();
    for (in_a_line, over) in [(false, StreamEnd::InOrder), (true, StreamEnd::Cut)] {
        let mut events = Events::open(engine.socket(), "").unwrap();
        engine.cut_streams(in_a_line);
        assert_eq!(events.actions(), (Vec::new(), over));
    }
}

#[test]
fn the_head_of_a_stream_can_be_delayed_until_its_first_event() {
    let engine = FakeEngine::start();
    engine.fault(|faults| faults.late_head = true);
    assert!(Events::open(engine.socket(), "").is_err());
    std::thread::scope(|scope| {
        let opened = scope.spawn(|| Events::open(engine.socket(), ""));
        while !opened.is_finished() {
            engine.pull("busybox", 1);
            std::thread::yield_now();
        }
        assert!(opened.join().unwrap().is_ok());
    });
}

#[test]
fn requests_fail_in_every_way_and_only_the_selected_ones() {
    let engine = FakeEngine::start();
    engine.run(web());
    let list = || ask(engine.socket(), "GET", "/containers/json");
    let with = |failure| engine.fault(|faults| faults.requests = vec![(Some(Endpoint::List), failure, 100)]);
    with(Failure::Error);
    assert_eq!(list().unwrap().0, 500);
    assert_eq!(ask(engine.socket(), "GET", "/containers/web/json").unwrap().0, 200);
    with(Failure::Truncate);
    assert_eq!(list().unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    with(Failure::Reset);
    assert!(list().is_err());
    with(Failure::Hang);
    assert_eq!(list().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    with(Failure::Slow(Duration::from_millis(200)));
    let old = std::thread::scope(|scope| {
        let old = scope.spawn(list);
        eventually("it was asked", WAIT_TIMEOUT, || engine.asked().get(&Endpoint::List) == Some(&5));
        engine.remove("web");
        old.join().unwrap()
    });
    assert!(
        String::from_utf8(old.unwrap().1).unwrap().contains("/web"),
        "an answer that is late is out of date"
    );
    engine.clear_faults();
    assert_eq!(list().unwrap().1, b"[]\n");
}

#[test]
fn a_stopped_engine_refuses_connections_and_sends_no_events_of_that_time() {
    let engine = FakeEngine::start();
    engine.run(web().always());
    engine.run(Container::new("job"));
    let mut events = Events::open(engine.socket(), "").unwrap();
    engine.down();
    assert_eq!(events.actions(), (Vec::new(), StreamEnd::Cut));
    assert!(ask(engine.socket(), "GET", "!/_ping").is_err());
    engine.die("web", 1);
    engine.up();
    assert!(Events::open(engine.socket(), "").unwrap().actions().0.is_empty());
    engine.begin("web");
    let before = engine.container("web").unwrap();
    engine.restart(OnEngineStop::Stay);
    assert_eq!(engine.container("web").unwrap().started_at, before.started_at);
    engine.restart(OnEngineStop::End);
    assert!(engine.container("web").unwrap().started_at > before.started_at);
    assert!(!engine.container("job").unwrap().up());
}

#[test]
fn commands_in_containers_run_and_return_their_exit_code() {
    let engine = FakeEngine::start();
    engine.run(web().network("host"));
    engine.commands(CommandResult { code: 7, output: "it is ill\n".to_owned(), takes: NOW });
    let url = engine.tcp_url();
    let address = url.strip_prefix("tcp://").unwrap();
    let post = |path: &str, body| {
        request(address, "POST", &format!("/v1.44{path}"), Some(("application/json", body))).unwrap()
    };
    assert_eq!(post("/containers/web/exec", "{\"Cmd\":[]}").status, 400);
    let made = post("/containers/web/exec", "{\"Cmd\":[\"/bin/check\",\"-v\"]}");
    let id =
        serde_json::from_str::<serde_json::Value>(&made.body).unwrap()["Id"].as_str().unwrap().to_owned();
    assert_eq!(post(&format!("/exec/{id}/start"), "{}").body, "\u{1}\0\0\0\0\0\0\nit is ill\n");
    assert_eq!(get(engine.socket(), &format!("/exec/{id}/json")).unwrap()["ExitCode"], 7);
    assert_eq!(engine.commands_of("web"), [["/bin/check", "-v"]]);
    engine.pause("web");
    assert_eq!(post("/containers/web/exec", "{\"Cmd\":[\"true\"]}").status, 409);
}

/// Docker's client uses no other server than the fake engine.
#[test]
fn dockers_own_client_accepts_it_as_an_engine() {
    let there = Command::new("docker").arg("--version").output().is_ok();
    if !there {
        Permitted::NoDocker.skip();
        return;
    }
    let engine = FakeEngine::start();
    let docker = |words: &[&str]| {
        let done = Command::new("docker").args(["-H", &engine.url()]).args(words).output().unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    let id =
        engine.run(Container::new("web").image("nginx:1").publish("80/tcp", Some(8080)).expose("443/tcp"));
    let line =
        docker(&["ps", "--no-trunc", "--format", "{{.ID}} {{.Image}} {{.Names}} {{.State}} {{.Ports}}"]);
    assert_eq!(
        line.trim(),
        format!("{id} nginx:1 web running 443/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp")
    );
    let format =
        "{{.Name}} {{.State.Running}} {{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}";
    assert_eq!(docker(&["inspect", "--format", format, "web"]).trim(), "/web true 8080");
    assert_eq!(docker(&["info", "--format", "{{.Name}} {{.NCPU}}"]).trim(), "fake-host 4");
    assert_eq!(docker(&["stop", "--timeout", "1", "web"]).trim(), "web");
    let soon = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 1;
    let until = ["--until", &soon.to_string(), "--format", "{{.Action}}"];
    let events = docker(&[&["events", "--since", "1m"][..], &until].concat());
    assert_eq!(events.lines().collect::<Vec<_>>(), ["create", "start", "kill", "die", "stop"]);
    assert!(engine.invalid_requests().is_empty(), "{:?}", engine.invalid_requests());
}

#[test]
fn the_same_engine_responds_over_tcp() {
    let engine = FakeEngine::start();
    engine.run(web());
    let url = engine.tcp_url();
    let address = url.strip_prefix("tcp://").unwrap();
    let answer = request(address, "GET", "/v1.44/info", None).unwrap();
    assert!(answer.status == 200 && answer.body.contains("\"Containers\":1"), "{answer:?}");
    let path = "/v1.44/containers/web/stop?t=1";
    assert_eq!(request(address, "POST", path, None).unwrap().status, 204);
    assert!(!engine.container("web").unwrap().up());
}
