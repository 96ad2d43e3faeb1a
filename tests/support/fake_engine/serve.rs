//! Client connections, and the response to each request.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{BufReader, copy_bidirectional};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::container::ContainerState;
use super::faults::Failure;
use super::state::Exec;
use super::wire::{Answer, Connection, Request, read};
use super::{Dialect, Endpoint, Shared, shape, stream};

/// The newest supported version.
const DOCKER: (u32, u32) = (1, 47);
const PODMAN: (u32, u32) = (1, 44);
const OLDEST: (u32, u32) = (1, 24);

/// Serves until the era changes.
pub(super) async fn serve(shared: Arc<Shared>, listener: UnixListener, mut era: watch::Receiver<u64>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = era.changed() => return,
            Some(_) = connections.join_next() => {}
            Ok((stream, _)) = listener.accept() => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move { converse(&shared, BufReader::new(stream)).await });
            }
        }
    }
}

/// Forwards TCP connections to the socket, until the engine is dropped.
pub(super) async fn forward(listener: TcpListener, socket: PathBuf, mut era: watch::Receiver<u64>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = era.wait_for(|era| *era == u64::MAX) => return,
            Some(_) = connections.join_next() => {}
            Ok((mut near, _)) = listener.accept() => {
                let socket = socket.clone();
                connections.spawn(async move {
                    if let Ok(mut far) = UnixStream::connect(socket).await {
                        // Either side may close it at any moment.
                        copy_bidirectional(&mut near, &mut far).await.ok();
                    }
                });
            }
        }
    }
}

/// Serves one client, from its first request to its last.
async fn converse(shared: &Shared, mut connection: Connection) -> io::Result<()> {
    while let Some(request) = read(&mut connection).await? {
        let (endpoint, rest) = match route(shared, &request) {
            Ok(found) => found,
            Err(answer) => {
                answer.write(&mut connection, false, false).await?;
                if request.last {
                    return Ok(());
                }
                continue;
            }
        };
        let failure = failure(shared, endpoint);
        if endpoint == Endpoint::Events && failure.is_none() {
            return stream::events(shared, &mut connection, &request).await;
        }
        let answer = match failure {
            Some(Failure::Error) => Answer::message(500, "the engine is made to fail"),
            Some(Failure::Reset) => return Ok(()),
            _ => answer(shared, endpoint, &request, &rest).await,
        };
        match failure {
            Some(Failure::Slow(wait)) => tokio::time::sleep(wait).await,
            Some(Failure::Hang) => hang(shared, endpoint).await,
            _ => {}
        }
        let cut = failure == Some(Failure::Truncate);
        answer.write(&mut connection, cut, request.method == "HEAD").await?;
        if cut || request.last || answer.kind == RAW {
            return Ok(());
        }
    }
    Ok(())
}

fn failure(shared: &Shared, endpoint: Endpoint) -> Option<Failure> {
    let faults = shared.faults();
    let mut state = shared.state();
    *state.asked.entry(endpoint).or_default() += 1;
    let hit = |(of, _, share): &(Option<Endpoint>, Failure, u64)| {
        of.is_none_or(|of| of == endpoint) && state.rng.below(100) < *share
    };
    let at = faults.requests.iter().position(hit)?;
    Some(faults.requests[at].1)
}

/// Waits until the fault that holds such requests back ends.
async fn hang(shared: &Shared, endpoint: Endpoint) {
    let mut faults = shared.faults.subscribe();
    let free = |faults: &super::Faults| {
        !faults
            .requests
            .iter()
            .any(|(of, how, _)| *how == Failure::Hang && of.is_none_or(|of| of == endpoint))
    };
    // An error: the engine is gone, and so is this connection.
    faults.wait_for(free).await.ok();
}

type Routed = (Endpoint, Vec<String>);

/// Returns the endpoint and its arguments, or why the request is invalid.
fn route(shared: &Shared, request: &Request) -> Result<Routed, Answer> {
    let words: Vec<&str> = request.path.split('/').filter(|word| !word.is_empty()).collect();
    if words == ["_ping"] {
        return Ok((Endpoint::Ping, Vec::new()));
    }
    let wrong = |text: &str, status: u16| {
        shared.state().wrongly_asked.push(format!("{} {}: {text}", request.method, request.path));
        Err(Answer::message(status, text))
    };
    let Some(version) = words.first().and_then(|word| word.strip_prefix('v')).and_then(version) else {
        return wrong("a URL must name a version", 400);
    };
    let newest = if shared.dialect == Dialect::Podman { PODMAN } else { DOCKER };
    if version > newest {
        return wrong(
            &format!("client version is too new. Maximum supported API version is 1.{}", newest.1),
            400,
        );
    }
    if version < OLDEST {
        return wrong(
            &format!("client version is too old. Minimum supported API version is 1.{}", OLDEST.1),
            400,
        );
    }
    let rest = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match (request.method.as_str(), &words[1..]) {
        (_, ["_ping"]) => Ok((Endpoint::Ping, Vec::new())),
        ("GET", ["info"]) => Ok((Endpoint::Info, Vec::new())),
        ("GET", ["containers", "json"]) => Ok((Endpoint::List, Vec::new())),
        ("GET", ["containers", id, "json"]) => Ok((Endpoint::Inspect, rest(&[id]))),
        ("GET", ["events"]) => Ok((Endpoint::Events, Vec::new())),
        ("GET", ["images", "json"]) => Ok((Endpoint::Images, Vec::new())),
        ("POST", ["containers", id, "exec"]) => Ok((Endpoint::Exec, rest(&["make", id]))),
        ("POST", ["exec", id, "start"]) => Ok((Endpoint::Exec, rest(&["start", id]))),
        ("GET", ["exec", id, "json"]) => Ok((Endpoint::Exec, rest(&["look", id]))),
        ("POST", ["containers", id, "stop"]) => Ok((Endpoint::Stop, rest(&[id]))),
        _ => wrong("page not found", 404),
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

const RAW: &str = "application/vnd.docker.raw-stream";

async fn answer(shared: &Shared, endpoint: Endpoint, request: &Request, rest: &[String]) -> Answer {
    let dialect = shared.dialect;
    match endpoint {
        Endpoint::Ping => ping(dialect),
        Endpoint::Info => Answer::json(200, &{
            let state = shared.state();
            shape::info(state.containers.len(), &state.labels)
        }),
        Endpoint::Images => Answer::json(200, &shape::images(&shared.state().containers)),
        Endpoint::List => Answer::json(200, &list(shared, request)),
        Endpoint::Inspect => {
            let state = shared.state();
            match state.find(&rest[0]) {
                Some(found) => Answer::json(200, &shape::inspect(found, dialect)),
                None => no_such(&rest[0]),
            }
        }
        Endpoint::Exec => exec(shared, &rest[0], &rest[1], &request.body).await,
        Endpoint::Stop => stop(shared, &rest[0], request).await,
        Endpoint::Events => Answer::message(500, "events come as a stream"),
    }
}

fn no_such(id: &str) -> Answer {
    Answer::message(404, &format!("No such container: {id}"))
}

fn ping(dialect: Dialect) -> Answer {
    let newest = if dialect == Dialect::Podman { PODMAN } else { DOCKER };
    let mut headers =
        vec![("Api-Version", format!("{}.{}", newest.0, newest.1)), ("Ostype", "linux".to_owned())];
    if dialect == Dialect::Podman {
        headers.push(("Libpod-Api-Version", "5.4.0".to_owned()));
    }
    Answer { status: 200, kind: "text/plain", headers, body: b"OK".to_vec() }
}

fn list(shared: &Shared, request: &Request) -> Value {
    let state = shared.state();
    let all = request.query.get("all").is_some_and(|all| !["", "0", "false"].contains(&all.as_str()));
    let shown = |doing: ContainerState| match doing {
        ContainerState::Running => true,
        ContainerState::Paused | ContainerState::Restarting => shared.dialect == Dialect::Docker,
        ContainerState::Created | ContainerState::Exited => false,
    };
    let now = state.now();
    let lines = state.containers.values().filter(|one| all || shown(one.doing));
    lines.map(|one| shape::line(one, now, shared.dialect)).collect()
}

async fn exec(shared: &Shared, what: &str, id: &str, body: &[u8]) -> Answer {
    match what {
        "make" => {
            let mut state = shared.state();
            let Some(found) = state.find(id) else { return no_such(id) };
            if found.doing != ContainerState::Running {
                return Answer::message(409, &format!("container {id} is not running"));
            }
            let Ok(asked) = serde_json::from_slice::<Value>(body) else {
                return Answer::message(400, "the body is not JSON");
            };
            let words = asked["Cmd"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let command: Vec<String> = words.map(str::to_owned).collect();
            if command.is_empty() {
                return Answer::message(400, "No exec command specified");
            }
            let (container, id) = (found.id.clone(), state.new_id());
            state.execs.insert(id.clone(), Exec { container, command, done: false });
            Answer::json(201, &json!({ "Id": id }))
        }
        "start" => {
            let told = shared.state().told.clone();
            if !shared.state().execs.contains_key(id) {
                return Answer::message(404, &format!("No such exec instance: {id}"));
            }
            tokio::time::sleep(told.takes).await;
            if let Some(exec) = shared.state().execs.get_mut(id) {
                exec.done = true;
            }
            let text = told.output.into_bytes();
            let mut body = vec![1, 0, 0, 0];
            body.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
            body.extend(text);
            Answer { status: 200, kind: RAW, headers: vec![("Connection", "close".to_owned())], body }
        }
        _ => {
            let state = shared.state();
            match state.execs.get(id) {
                Some(exec) => {
                    let code = if exec.done { Value::from(state.told.code) } else { Value::Null };
                    let (running, container) = (!exec.done, &exec.container);
                    Answer::json(
                        200,
                        &json!({"ID": id, "Running": running, "ExitCode": code, "ContainerID": container}),
                    )
                }
                None => Answer::message(404, &format!("No such exec instance: {id}")),
            }
        }
    }
}

/// Containers here obey their stop signal after a tenth of a second, unless their grace is shorter.
async fn stop(shared: &Shared, id: &str, request: &Request) -> Answer {
    let asked = {
        let mut state = shared.state();
        let Some(found) = state.find(id) else { return no_such(id) };
        if !found.up() {
            return Answer::empty(304);
        }
        state.ask_to_stop(id)
    };
    let grace = request.query.get("t").and_then(|text| text.parse().ok()).unwrap_or(10);
    tokio::time::sleep(Duration::from_millis(100).min(Duration::from_secs(grace))).await;
    if let Some((id, life)) = asked {
        shared.state().stopped(&id, life);
    }
    Answer::empty(204)
}
