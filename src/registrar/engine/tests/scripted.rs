//! A scripted engine on its own socket that sends exact bytes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::super::Engine;
use crate::client::Trust;
use crate::registrar::settings::EngineEndpoint;

/// The parts of a response, in order; after the last the connection is closed.
pub(super) enum Step {
    Send(Vec<u8>),
    /// Waits for the notification.
    Wait(Arc<Notify>),
    /// Sends nothing and stays open.
    Hang,
}

type Script = dyn Fn(&str, &str) -> Vec<Step> + Send + Sync;

pub(super) struct Scripted {
    pub(super) engine: Engine,
    seen: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
    _serving: JoinSet<()>,
}

impl Scripted {
    /// `script` gets `GET /path?query` and the body; a ping reports version 1.41 unless the script responds to it.
    pub(super) fn new(script: impl Fn(&str, &str) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&seen);
        let script: Arc<Script> = Arc::new(script);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&script), Arc::clone(&log)));
            }
        });
        Self { engine: engine_at(&path), seen, _folder: folder, _serving: serving }
    }

    /// Returns all requests so far, without pings.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().filter(|line| *line != "GET /_ping").cloned().collect()
    }

    pub(super) fn pings(&self) -> usize {
        self.seen.lock().unwrap().iter().filter(|line| *line == "GET /_ping").count()
    }
}

pub(super) fn engine_at(path: &std::path::Path) -> Engine {
    let url = format!("unix://{}", PathBuf::from(path).display());
    Engine::new(&EngineEndpoint { url, trust: Trust::default(), tls: false }).unwrap()
}

/// Returns a complete JSON response.
pub(super) fn json(status: u16, body: &str) -> Vec<Step> {
    with(status, "Content-Type: application/json\r\n", body)
}

pub(super) fn ping(version: &str) -> Vec<Step> {
    with(200, &format!("Api-Version: {version}\r\n"), "OK")
}

pub(super) fn with(status: u16, headers: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    vec![send(format!(
        "HTTP/1.1 {status} X\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    ))]
}

/// Returns the head of a chunked response.
pub(super) fn chunked() -> Step {
    send("HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
}

pub(super) fn chunk(text: &str) -> Step {
    send(format!("{:x}\r\n{text}\r\n", text.len()))
}

pub(super) fn send(bytes: impl Into<Vec<u8>>) -> Step {
    Step::Send(bytes.into())
}

async fn serve(mut stream: UnixStream, script: Arc<Script>, seen: Arc<Mutex<Vec<String>>>) {
    let Some((line, body)) = request(&mut stream).await else { return };
    seen.lock().unwrap().push(line.clone());
    let mut steps = script(&line, &body);
    if steps.is_empty() && line == "GET /_ping" {
        steps = ping("1.41");
    }
    for step in steps {
        match step {
            Step::Send(bytes) => stream.write_all(&bytes).await.unwrap_or(()),
            Step::Wait(told) => told.notified().await,
            Step::Hang => std::future::pending().await,
        }
    }
}

async fn request(stream: &mut UnixStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() < length.map_or(0, |length| length.parse().unwrap()) {
            continue;
        }
        let line = head.lines().next()?.trim_end_matches(" HTTP/1.1");
        return Some((line.to_owned(), body.to_owned()));
    }
}
