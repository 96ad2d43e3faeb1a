//! Containers behind nginx: registered when they respond, drained before they stop, and how long each takes.
//!
//! Prints the figures; `RETUNE_TEST_PROGRAM` names a release build to measure.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use super::common::register;
use crate::support::docker::{Container, Docker, Image, host, write_program};
use crate::support::front::Front;
use crate::support::load::{Record, RequestLog};
use crate::support::nginx::Nginx;
use crate::support::{Daemon, Dir, Load, RequestKind, ResponseClass, Retune, Store, WAIT_TIMEOUT, http};

/// A server that returns its name and the id of the request.
const SERVER_SCRIPT: &str = "#!/bin/sh
[ \"$REQUEST_METHOD\" = POST ] && cat > /dev/null
body=\"$NAME $QUERY_STRING\"
echo \"Content-Type: text/plain\"
echo \"Content-Length: $((${#body} + 1))\"
echo
echo \"$body\"
";

fn fill(root: &Path) {
    std::fs::create_dir_all(root.join("www/cgi-bin")).unwrap();
    write_program(&root.join("www/cgi-bin/app"), SERVER_SCRIPT);
}

/// Store, registrar, reloader and nginx, and an image to run behind them.
struct TestSite<'d> {
    dir: &'d Dir,
    docker: &'d Docker,
    image: Image<'d>,
    nginx: Nginx,
    front: Front,
    daemons: Vec<Daemon<'d>>,
    _store: Store,
}

impl<'d> TestSite<'d> {
    fn start(dir: &'d Dir, docker: &'d Docker) -> Option<Self> {
        let image = docker.image_with(&[80], &["/bin/app"], fill)?;
        let nginx = Nginx::start(dir)?;
        let store = Store::start();
        let names = "{% for server in backends(\"/web\") %}{{ server.id }} {% endfor %}";
        let servers = "{% for server in backends(\"/web\") %}server {{ server.address }};\
                       {% else %}server 127.0.0.1:1 down;{% endfor %}";
        let front = nginx.front_with(names, servers, "http://app/cgi-bin/app?$http_x_request_id");
        front.resource_of(dir, &["/web", "/_retune/nodes"]);
        let daemons = vec![
            register(dir, &store).args(&["--ip", &host()]).spawn(),
            Retune::watch(dir).node("store", &store.url()).spawn(),
        ];
        Some(Self { dir, docker, image, nginx, front, daemons, _store: store })
    }

    fn run(&self, name: &str) -> Container<'_> {
        let (named, id) = (format!("NAME={name}"), format!("SERVICE_ID={name}"));
        let check = "SERVICE_CHECK_HTTP=/index.html";
        let words = ["-p", "80", "-e", "SERVICE_NAME=web", "-e", &id, "-e", &named, "-e", check];
        self.docker.run(&self.image, &words)
    }

    /// Runs `retune register stop`.
    fn drain(&self, container: &Container<'_>) {
        let listen = format!("unix://{}", self.dir.text_path("register.sock"));
        let words = ["register", "stop", &container.name, "--drain", "2s", "--listen", &listen];
        Retune::new(self.dir, &words).run().exits(0).prints("stopped");
    }

    fn finish(self) {
        self.daemons.into_iter().for_each(Daemon::terminate);
    }
}

/// Returns when the engine started it.
fn started(container: &Container<'_>) -> SystemTime {
    let text = container.docker_command(&["inspect", "-f", "{{.State.StartedAt}}"]);
    text.trim().parse::<jiff::Timestamp>().unwrap().into()
}

/// Returns the time of the last request that a server handled, relative to `since`.
fn last_of(request_log: &RequestLog, name: &str, since: Instant) -> Duration {
    let by = |record: &&Record| record.by == name && record.from > since;
    request_log.records.iter().filter(by).map(|record| record.from - since).max().unwrap_or_default()
}

#[test]
fn a_container_is_served_once_it_responds_and_a_stopped_one_gets_no_request() {
    let (dir, Some(docker)) = (Dir::new(), Docker::acquire()) else { return };
    let Some(site) = TestSite::start(&dir, &docker) else { return };
    let always = site.run("always");
    site.front.eventually_serves(&["always"]);
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for round in 0..5 {
        let name = format!("c{round}");
        let container = site.run(&name);
        let begun = Instant::now();
        let first = loop {
            let body = http::get(&site.front.address, "/").unwrap_or_default();
            if body.starts_with(&format!("{name} ")) {
                break SystemTime::now();
            }
            assert!(begun.elapsed() < 3 * WAIT_TIMEOUT, "never served; the last answer is {body:?}");
        };
        starts.push(first.duration_since(started(&container)).unwrap());
        site.front.eventually_serves(&["always", &name]);
        site.nginx.until_old_workers_are_gone();
        let load = Load::start(site.front.port, 1);
        sleep(Duration::from_millis(300));
        let stop = Instant::now();
        container.docker_command(&["stop", "-t", "5"]);
        site.front.eventually_serves(&["always"]);
        site.nginx.until_old_workers_are_gone();
        let quiet = Instant::now();
        sleep(Duration::from_millis(300));
        let request_log = load.finish();
        let late = |record: &&Record| record.from > quiet && record.class != ResponseClass::Ok;
        assert_eq!(request_log.records.iter().filter(late).count(), 0, "still sent there: {request_log}");
        let lost = |record: &&Record| record.from > stop && record.class == ResponseClass::Non200;
        let lost = request_log.records.iter().filter(lost).map(|record| record.from - stop).max();
        stops.push(last_of(&request_log, &name, stop).max(lost.unwrap_or_default()));
    }
    starts.sort_unstable();
    stops.sort_unstable();
    eprintln!("FIGURE container start to its first served request: {starts:.1?}");
    eprintln!("FIGURE docker stop to the last request sent to it: {stops:.1?}");
    drop(always);
    site.finish();
}

#[test]
fn a_container_that_is_drained_before_its_stop_loses_no_request() {
    let (dir, Some(docker)) = (Dir::new(), Docker::acquire()) else { return };
    let Some(site) = TestSite::start(&dir, &docker) else { return };
    let always = site.run("always");
    let containers: Vec<Container<'_>> = ["a", "b", "c"].map(|name| site.run(name)).into();
    site.front.eventually_serves(&["a", "always", "b", "c"]);
    site.nginx.until_old_workers_are_gone();
    let load = Load::start(site.front.port, 2);
    sleep(Duration::from_millis(300));
    let begun = Instant::now();
    for container in &containers {
        site.drain(container);
    }
    sleep(Duration::from_millis(300));
    let request_log = load.finish();
    eprintln!("FIGURE three containers drained and stopped: {request_log}");
    assert!(
        request_log.count(RequestKind::Fresh, ResponseClass::Ok) > 300,
        "too little load to prove anything: {request_log}"
    );
    let answered =
        |name: &str| request_log.records.iter().any(|record| record.by == name && record.from < begun);
    assert!(["a", "b", "c"].iter().all(|name| answered(name)), "not all of them were in use: {request_log}");
    assert_eq!(request_log.failures(RequestKind::Fresh), 0, "{request_log}");
    for kind in [RequestKind::KeepAliveGet, RequestKind::KeepAlivePost] {
        let race = request_log.count(kind, ResponseClass::ClosedReusedNoBytes);
        assert_eq!(request_log.failures(kind), race, "only the idle-close race may show: {request_log}");
    }
    drop((always, containers));
    site.finish();
}

/// Shows that the test above would fail if draining did nothing.
#[test]
fn a_container_that_is_stopped_at_once_loses_requests() {
    let (dir, Some(docker)) = (Dir::new(), Docker::acquire()) else { return };
    let Some(site) = TestSite::start(&dir, &docker) else { return };
    let always = site.run("always");
    site.front.eventually_serves(&["always"]);
    // It is random whether a request is in progress at that moment.
    let lost = (0..10).any(|round| {
        let name = format!("c{round}");
        let container = site.run(&name);
        site.front.eventually_serves(&["always", &name]);
        let load = Load::start(site.front.port, 4);
        sleep(Duration::from_millis(200));
        container.docker_command(&["kill"]);
        site.front.eventually_serves(&["always"]);
        let request_log = load.finish();
        eprintln!("FIGURE killed at once: {request_log}");
        request_log.failures(RequestKind::Fresh) > 0
    });
    assert!(lost, "ten containers were killed under load and no request was lost: is the load real?");
    drop(always);
    site.finish();
}
