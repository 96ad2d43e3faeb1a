//! Requests and responses over a real socket.

mod scripted;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use self::scripted::{Scripted, Step, chunk, chunked, engine_at, json, ping, send, with};
use super::send::{EngineRequest, ResponseLimits};
use super::{Engine, EventSubject, ExecResult};
use crate::client::Trust;
use crate::client::fake_server::{FakeServer, Reply};
use crate::registrar::settings::EngineEndpoint;

const ID: &str = "0123456789ab";

#[tokio::test]
async fn the_first_request_negotiates_the_version_and_later_ones_keep_it() {
    let fake = Scripted::new(|line, _| if line == "GET /_ping" { vec![] } else { json(200, "[]") });
    assert!(fake.engine.list().await.unwrap().is_empty());
    assert!(fake.engine.images().await.unwrap().is_empty());
    assert_eq!(fake.seen(), ["GET /v1.41/containers/json?all=1", "GET /v1.41/images/json"]);
    assert_eq!(fake.pings(), 1);
}

#[tokio::test]
async fn info_negotiates_the_version_again() {
    let pings = AtomicUsize::new(0);
    let fake = Scripted::new(move |line, _| match line {
        "GET /_ping" => ping(["1.60", "1.40"][pings.fetch_add(1, Ordering::SeqCst)]),
        _ => json(
            200,
            r#"{"ID":"X","Name":"n1","Labels":["zone=a","odd"],"NCPU":2,"MemTotal":1024,"Extra":[]}"#,
        ),
    });
    let info = fake.engine.info().await.unwrap();
    assert_eq!((info.name.as_str(), info.cpus, info.memory), ("n1", 2, 1024));
    assert_eq!((info.labels["zone"].as_str(), info.labels["odd"].as_str()), ("a", ""));
    fake.engine.info().await.unwrap();
    assert_eq!(fake.seen(), ["GET /v1.47/info", "GET /v1.40/info"]);
}

#[tokio::test]
async fn an_engine_without_the_version_header_is_treated_as_an_old_one() {
    let fake =
        Scripted::new(|line, _| if line == "GET /_ping" { with(200, "", "OK") } else { json(200, "{}") });
    fake.engine.info().await.unwrap();
    assert_eq!(fake.seen(), ["GET /v1.24/info"]);
}

#[tokio::test]
async fn a_refused_version_is_reported_and_negotiated_again() {
    let asked = AtomicUsize::new(0);
    let fake = Scripted::new(move |line, _| match line {
        "GET /_ping" => vec![],
        _ if asked.fetch_add(1, Ordering::SeqCst) == 0 => json(
            400,
            r#"{"message":"client version 1.41 is too old. Minimum supported API version is 1.44"}"#,
        ),
        _ => json(200, "[]"),
    });
    let why = fake.engine.list().await.unwrap_err().why;
    assert!(why.contains("status 400") && why.contains("Minimum supported API version is 1.44"), "{why}");
    fake.engine.list().await.unwrap();
    assert_eq!(fake.pings(), 2);
}

#[tokio::test]
async fn a_refused_ping_is_not_an_engine() {
    let fake = Scripted::new(|_, _| with(403, "", "<html>Forbidden</html>"));
    let why = fake.engine.list().await.unwrap_err().why;
    assert!(why.contains("GET /_ping") && why.contains("status 403"), "{why}");
}

#[tokio::test]
async fn a_missing_or_dead_socket_is_reported_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.sock");
    let why = engine_at(&path).list().await.unwrap_err().why;
    assert!(why.contains("none.sock") && why.contains("mount the folder of the socket"), "{why}");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let why = engine_at(&path).list().await.unwrap_err().why;
    assert!(why.contains("none.sock") && why.contains("nothing listens"), "{why}");
}

#[tokio::test]
async fn an_engine_over_tcp_is_used_and_one_without_tls_is_reported() {
    let fake = FakeServer::new(|_, _| Reply::Complete(200, 0, "[]".into()));
    let at = |tls: bool| EngineEndpoint {
        url: fake.url.replace("http://", "tcp://"),
        trust: Trust { insecure: true, ..Trust::default() },
        tls,
    };
    assert!(Engine::new(&at(false)).unwrap().list().await.unwrap().is_empty());
    assert_eq!(fake.seen(), ["GET /_ping", "GET /v1.24/containers/json?all=1"]);

    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tcp://{}", plain.local_addr().unwrap());
    let answer = async {
        let (mut stream, _) = plain.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    };
    let engine = Engine::new(&EngineEndpoint { url, ..at(true) }).unwrap();
    let why =
        tokio::select! { listed = engine.list() => listed.unwrap_err().why, () = answer => unreachable!() };
    assert!(why.contains("GET /_ping") && why.contains("does not speak TLS"), "{why}");
}

#[tokio::test]
async fn an_incomplete_list_is_an_error_and_never_a_shorter_list() {
    let line = r#"{"Id":"a","State":"running"}"#;
    let answers = [
        with(200, "", &format!("[{line},")),
        with(200, "", &format!("[{line},{{\"State\":\"running\"}}]")),
        with(200, "", &format!("[{line},{{\"Id\":\"\"}}]")),
        with(200, "", &format!("[{line},null]")),
        with(200, "", &format!("[{line}]<html>")),
        with(200, "", ""),
        with(200, "", "null"),
        with(204, "", ""),
        with(500, "", "[]"),
        vec![send(format!("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n[{line}]"))],
        vec![chunked(), chunk(&format!("[{line}]"))],
        vec![],
    ];
    let count = answers.len();
    let answers = std::sync::Mutex::new(answers.into_iter());
    let fake = Scripted::new(move |line, _| match line {
        "GET /_ping" => vec![],
        _ => answers.lock().unwrap().next().unwrap(),
    });
    for number in 0..count {
        let listed = fake.engine.list().await;
        assert!(listed.is_err(), "{number}: {listed:?}");
    }
}

#[tokio::test]
async fn a_container_is_gone_only_when_the_engine_says_so() {
    let answers = [
        (json(404, r#"{"message":"No such container: x"}"#), true),
        (
            json(
                404,
                r#"{"cause":"no such container","message":"no container with name or ID \"x\" found"}"#,
            ),
            true,
        ),
        (json(404, r#"{"message":"page not found"}"#), false),
        (with(404, "", "<html>No such container</html>"), false),
        (with(404, "", ""), false),
        (json(500, r#"{"message":"No such container: x"}"#), false),
        (json(200, r#"{"Id":"x"}"#), false),
        (json(200, "{}"), false),
    ];
    let expected: Vec<bool> = answers.iter().map(|(_, gone)| *gone).collect();
    let answers = std::sync::Mutex::new(answers.into_iter());
    let fake = Scripted::new(move |line, _| match line {
        "GET /_ping" => vec![],
        _ => answers.lock().unwrap().next().unwrap().0,
    });
    for (number, gone) in expected.into_iter().enumerate() {
        let inspected = fake.engine.inspect("x").await;
        assert_eq!(matches!(inspected, Ok(None)), gone, "{number}");
        assert!(gone || inspected.is_err(), "{number}");
    }
}

#[tokio::test]
async fn a_container_name_cannot_change_the_request_path() {
    let fake = Scripted::new(|line, _| match line {
        "GET /_ping" => vec![],
        _ => json(404, r#"{"message":"No such container"}"#),
    });
    assert!(fake.engine.inspect("../info?a=b#c%2f").await.unwrap().is_none());
    assert_eq!(fake.seen(), ["GET /v1.41/containers/..%2Finfo%3Fa=b%23c%252f/json"]);
    for name in ["", ".", ".."] {
        assert!(fake.engine.inspect(name).await.is_err(), "{name}");
    }
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn no_error_contains_an_environment_variable() {
    let body = r#"{"Id":"x","State":{"Status":"running"},"Config":{"Env":["PASSWORD=hunter2"]}}"#;
    let cut = body[..body.len() - 3].to_owned();
    let fake = Scripted::new(move |line, _| match line {
        "GET /_ping" => vec![],
        line if line.contains("/images/") => json(200, r#""hunter2""#),
        _ => json(200, &cut),
    });
    let why = fake.engine.inspect("x").await.err().unwrap().why;
    assert!(why.contains("cut off") && !why.contains("hunter2"), "{why}");
    let why = fake.engine.images().await.unwrap_err().why;
    assert!(why.contains("/images/json") && !why.contains("hunter2"), "{why}");
}

#[tokio::test]
async fn a_reply_is_bounded_in_time_and_in_bytes() {
    let fake = Scripted::new(|line, _| match line {
        "GET /_ping" => vec![],
        "GET /v1.41/slow" => vec![chunked(), chunk("["), Step::Hang],
        _ => json(200, &format!("[{}]", " ".repeat(2 << 20))),
    });
    let bound = ResponseLimits { bytes: 1 << 20, within: Duration::from_millis(200) };
    let why = fake.engine.send(&EngineRequest::get(&["slow"], &[]), bound).await.err().unwrap().why;
    assert!(why.contains("GET /v1.41/slow") && why.contains("no response within 200ms"), "{why}");
    let bound = ResponseLimits { within: Duration::from_secs(10), ..bound };
    let why = fake.engine.send(&EngineRequest::get(&["large"], &[]), bound).await.err().unwrap().why;
    assert!(why.contains("larger than 1 MiB"), "{why}");
}

#[tokio::test]
async fn images_are_listed_without_placeholder_names() {
    let fake = Scripted::new(|line, _| match line {
        "GET /_ping" => vec![],
        _ => json(
            200,
            r#"[{"Id":"sha256:1","RepoTags":["a:1","b/c:2"]},{"Id":"sha256:2","RepoTags":null},
                {"Id":"sha256:3","RepoTags":["<none>:<none>"]}]"#,
        ),
    });
    let images = fake.engine.images().await.unwrap();
    let tags: Vec<_> = images.iter().map(|image| image.tags.join(" ")).collect();
    assert_eq!(tags, ["a:1 b/c:2", "", ""]);
    assert_eq!(images[2].id, "sha256:3");
}

#[tokio::test]
async fn a_stop_sends_the_grace_period_in_whole_seconds_and_accepts_a_stopped_container() {
    let fake = Scripted::new(|line, _| match line {
        "GET /_ping" => vec![],
        "POST /v1.41/containers/a/stop" => {
            vec![send("HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n")]
        }
        "POST /v1.41/containers/b/stop?t=2" => vec![send("HTTP/1.1 204 X\r\nConnection: close\r\n\r\n")],
        _ => json(404, r#"{"message":"No such container: c"}"#),
    });
    fake.engine.stop("a", None).await.unwrap();
    fake.engine.stop("b", Some(Duration::from_millis(1500))).await.unwrap();
    let why = fake.engine.stop("c", Some(Duration::ZERO)).await.unwrap_err().why;
    assert!(why.contains("No such container: c"), "{why}");
    assert_eq!(fake.seen()[2], "POST /v1.41/containers/c/stop?t=0");
}

#[tokio::test]
async fn a_command_returns_its_output_and_its_exit_code() {
    let inspections = AtomicUsize::new(0);
    let fake = Scripted::new(move |line, body| match line {
        "GET /_ping" => vec![],
        "POST /v1.41/containers/0123456789ab/exec" => {
            assert_eq!(body, r#"{"AttachStderr":true,"AttachStdout":true,"Cmd":["sh","-c","x"]}"#);
            json(201, r#"{"Id":"e1"}"#)
        }
        "POST /v1.41/exec/e1/start" => {
            assert_eq!(body, r#"{"Detach":false,"Tty":false}"#);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";
            vec![
                send(head),
                send(b"\x01\0\0\0\0\0\0\x03out\x02\0\0".to_vec()),
                send(b"\0\0\0\0\x03err".to_vec()),
            ]
        }
        "GET /v1.41/exec/e1/json" if inspections.fetch_add(1, Ordering::SeqCst) < 2 => {
            json(200, r#"{"Running":true,"ExitCode":null}"#)
        }
        _ => json(200, r#"{"Running":false,"ExitCode":3}"#),
    });
    let argv = ["sh", "-c", "x"].map(str::to_owned);
    let ran = fake.engine.exec(ID, &argv, Duration::from_secs(20)).await.unwrap();
    assert_eq!(ran, ExecResult { code: 3, output: "outerr".into() });
}

#[tokio::test]
async fn a_command_that_does_not_end_times_out() {
    let fake = Scripted::new(move |line, _| match line {
        "GET /_ping" => vec![],
        line if line.ends_with("/start") => vec![send("HTTP/1.1 200 OK\r\n\r\n"), Step::Hang],
        _ => json(201, r#"{"Id":"e1"}"#),
    });
    let why = fake.engine.exec(ID, &[], Duration::from_millis(300)).await.unwrap_err().why;
    assert!(why.contains(ID) && why.contains("did not end within 300ms"), "{why}");
}

#[tokio::test]
async fn a_refused_command_is_reported_with_the_engines_message() {
    let fake = Scripted::new(move |line, _| match line {
        "GET /_ping" => vec![],
        _ => json(409, r#"{"message":"Container x is paused, unpause the container before exec"}"#),
    });
    let why = fake.engine.exec("x", &[], Duration::from_secs(20)).await.unwrap_err().why;
    assert!(why.contains("status 409") && why.contains("is paused"), "{why}");
}

#[tokio::test]
async fn events_are_parsed_across_chunks_and_the_end_is_none() {
    let fake = Scripted::new(|line, _| match line {
        "GET /_ping" => vec![],
        _ => vec![
            chunked(),
            chunk(r#"{"Type":"container","Action":"sta"#),
            chunk("rt\",\"Actor\":{\"ID\":\"a\"},\"timeNano\":1500000000000000001}\n{\"Type\":\"network\","),
            chunk(
                r#""Action":"create","Actor":{"ID":"n"}}{"Type":"image","Action":"pull","Actor":{"ID":"i"}}"#,
            ),
            send("0\r\n\r\n"),
        ],
    });
    let mut events = fake.engine.events(Some(1_500_000_000_000_000_001)).await.unwrap();
    let first = events.next().await.unwrap().unwrap();
    assert_eq!((first.of, first.action.as_str(), first.id.as_str()), (EventSubject::Container, "start", "a"));
    assert_eq!(first.at, Some(1_500_000_000_000_000_001));
    let second = events.next().await.unwrap().unwrap();
    assert_eq!((second.of, second.action.as_str(), second.id.as_str()), (EventSubject::Image, "pull", "i"));
    assert_eq!(events.next().await.unwrap(), None);
    assert_eq!(
        fake.seen(),
        [
            "GET /v1.41/events?filters=%7B%22type%22%3A%5B%22container%22%2C%22image%22%2C%22network%22%2C%22daemon%22%5D%7D\
          &since=1500000000.000000001"
        ]
    );
}

#[tokio::test]
async fn a_truncated_stream_is_an_error() {
    let whole = r#"{"Type":"container","Action":"die","Actor":{"ID":"a"}}"#;
    let answers = [
        // The last chunk is missing.
        vec![chunked(), chunk(whole)],
        // The stream ends within an event.
        vec![send("HTTP/1.1 200 OK\r\n\r\n"), send(whole), send(&whole[..20])],
        // Another server's page follows.
        vec![send("HTTP/1.1 200 OK\r\n\r\n"), send(whole), send("<html>")],
    ];
    let count = answers.len();
    let answers = std::sync::Mutex::new(answers.into_iter());
    let fake = Scripted::new(move |line, _| match line {
        "GET /_ping" => vec![],
        _ => answers.lock().unwrap().next().unwrap(),
    });
    for number in 0..count {
        let mut events = fake.engine.events(None).await.unwrap();
        assert_eq!(events.next().await.unwrap().unwrap().action, "die", "{number}");
        assert!(events.next().await.is_err(), "{number}");
    }
}

#[tokio::test]
async fn refused_events_are_an_error_at_once() {
    let fake = Scripted::new(|line, _| match line {
        "GET /_ping" => vec![],
        _ => json(400, r#"{"message":"since is later than until"}"#),
    });
    let why = fake.engine.events(Some(-1)).await.unwrap_err().why;
    assert!(why.contains("GET /v1.41/events") && why.contains("since is later"), "{why}");
}

#[tokio::test]
async fn an_engine_that_is_silent_before_its_first_event_is_waited_for_in_the_stream() {
    let told = Arc::new(Notify::new());
    let tell = Arc::clone(&told);
    let fake = Scripted::new(move |line, _| match line {
        "GET /_ping" => vec![],
        _ => vec![
            Step::Wait(Arc::clone(&told)),
            chunked(),
            chunk(r#"{"Type":"container","Action":"died","Actor":{"ID":"a"}}"#),
            Step::Hang,
        ],
    });
    let mut events = fake.engine.events(None).await.unwrap();
    for _ in 0..3 {
        let early = tokio::time::timeout(Duration::from_millis(20), events.next()).await;
        assert!(early.is_err(), "{early:?}");
    }
    tell.notify_one();
    assert_eq!(events.next().await.unwrap().unwrap().action, "die");
}

#[tokio::test]
async fn waiting_for_an_event_can_be_cancelled_without_loss() {
    let told = Arc::new(Notify::new());
    let tell = Arc::clone(&told);
    let fake = Scripted::new(move |line, _| match line {
        "GET /_ping" => vec![],
        _ => vec![
            chunked(),
            chunk(r#"{"Type":"container","Action":"#),
            Step::Wait(Arc::clone(&told)),
            chunk(r#""start","Actor":{"ID":"a"}}"#),
            Step::Hang,
        ],
    });
    let mut events = fake.engine.events(None).await.unwrap();
    for _ in 0..3 {
        let early = tokio::time::timeout(Duration::from_millis(20), events.next()).await;
        assert!(early.is_err(), "{early:?}");
    }
    tell.notify_one();
    assert_eq!(events.next().await.unwrap().unwrap().action, "start");
}
