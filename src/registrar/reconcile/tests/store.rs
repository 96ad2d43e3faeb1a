//! A store in this process behind a proxy that can be told to misbehave.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use crate::api;
use crate::client::Trust;
use crate::client::cluster::{Cluster, Delete, Event, Get, Keys, Options, Set};
use crate::consensus::Handle;
use crate::keyspace::{NodeKind, NodeView};
use crate::stop::Stop;

/// What the proxy does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RequestFate {
    Open,
    /// The store applies it; the response is lost.
    LoseAnswer,
    /// The request is lost.
    LoseRequest,
    /// The request is lost, and the connection hangs for a while.
    Hang(Duration),
    /// The store applies it later.
    Slow(Duration),
    /// The proxy responds itself.
    Say(u16, String),
}

type Guard = Box<dyn FnMut(&str) -> RequestFate + Send>;

pub(super) struct Store {
    url: String,
    direct: Arc<Cluster>,
    handle: Handle,
    guard: Arc<Mutex<Guard>>,
    seen: Arc<Mutex<Vec<String>>>,
    stop: Stop,
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop.request();
    }
}

fn cluster(url: &str) -> Arc<Cluster> {
    let seconds = Duration::from_secs(5);
    let options = Options {
        endpoints: vec![url.to_owned()],
        trust: Trust::default(),
        login: None,
        timeout: seconds,
        dial: seconds,
        trace: None,
        sync: false,
    };
    Arc::new(Cluster::new(options).unwrap())
}

impl Store {
    pub(super) fn new() -> Self {
        let (handle, stop) = (Handle::in_memory(), Stop::new());
        let (told, tell) = mpsc::channel();
        let (serving, stopping) = (handle.clone(), stop.clone());
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            runtime.unwrap().block_on(async {
                let settings = api::Settings {
                    listen_client_urls: vec!["http://127.0.0.1:0".into()],
                    ..api::Settings::default()
                };
                let server = api::Server::bind(&settings).unwrap();
                serving.ready().await;
                told.send(server.client_urls().remove(0)).unwrap();
                server.run(serving, api::ServerInfo::default(), stopping).await.unwrap();
            });
        });
        let inner = tell.recv_timeout(Duration::from_secs(60)).expect("a store that starts");
        let guard: Arc<Mutex<Guard>> = Arc::new(Mutex::new(Box::new(|_| RequestFate::Open)));
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let url = start_relay(inner.strip_prefix("http://").unwrap().parse().unwrap(), &guard, &seen);
        Self { url, direct: cluster(&inner), handle, guard, seen, stop }
    }

    /// Returns a client that uses the proxy.
    pub(super) fn cluster(&self) -> Arc<Cluster> {
        cluster(&self.url)
    }

    /// Sets what the proxy does with requests such as `PUT /v2/keys/a?prevExist=false value=1`.
    pub(super) fn guard(&self, guard: impl FnMut(&str) -> RequestFate + Send + 'static) {
        *self.guard.lock().unwrap() = Box::new(guard);
    }

    pub(super) fn open(&self) {
        self.guard(|_| RequestFate::Open);
    }

    /// Returns all requests so far.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn keys(&self) -> Keys<'_> {
        Keys::new(&self.direct, None)
    }

    pub(super) async fn set(&self, key: &str, value: &str) {
        self.keys().set(key.as_bytes(), value.as_bytes(), &Set::default()).await.unwrap();
    }

    pub(super) async fn delete(&self, key: &str) {
        let how = Delete { recursive: true, ..Delete::default() };
        self.keys().delete(key.as_bytes(), &how).await.unwrap();
    }

    pub(super) async fn get(&self, key: &str) -> Event {
        self.keys().get(key.as_bytes(), Get::default()).await.unwrap()
    }

    pub(super) fn value(&self, key: &str) -> Option<String> {
        self.handle.view(|space| {
            let value = space.get(key.as_bytes()).ok()?.value()?.to_vec();
            Some(String::from_utf8(value).unwrap())
        })
    }

    /// Returns whether a key or a directory exists.
    pub(super) fn has(&self, key: &str) -> bool {
        self.handle.view(|space| space.get(key.as_bytes()).is_ok())
    }

    pub(super) fn index(&self) -> u64 {
        self.handle.view(|space| space.index())
    }

    /// Returns the changes of keys that are not hidden, after this index; a value of `None`: deleted.
    pub(super) fn events_since(&self, index: u64) -> Vec<(String, Option<String>)> {
        self.handle.view(|space| {
            let seen = space.events_since(index).filter_map(|(_, entry)| entry.event());
            let seen = seen.map(|event| {
                let value =
                    event.node.value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned());
                (String::from_utf8_lossy(&event.key).into_owned(), value)
            });
            seen.filter(|(key, _)| !key.starts_with("/_")).collect()
        })
    }

    /// Returns all keys that are not hidden.
    pub(super) fn all(&self) -> BTreeMap<String, String> {
        fn gather(view: NodeView<'_>, at: &str, found: &mut BTreeMap<String, String>) {
            for (name, child) in view.children() {
                let name = String::from_utf8_lossy(name);
                if name.starts_with('_') {
                    continue;
                }
                let key = format!("{at}/{name}");
                match child.kind() {
                    NodeKind::Dir => gather(child, &key, found),
                    NodeKind::File => {
                        let value = child.value().map(|value| String::from_utf8_lossy(value).into_owned());
                        found.insert(key, value.unwrap_or_default());
                    }
                }
            }
        }
        self.handle.view(|space| {
            let mut found = BTreeMap::new();
            gather(space.get(b"/").unwrap(), "", &mut found);
            found
        })
    }

    /// Returns all directories that are neither hidden nor the root.
    pub(super) async fn directories(&self) -> Vec<String> {
        let root = self.keys().get(b"/", Get { recursive: true, ..Get::default() }).await.unwrap();
        root.node.walk().skip(1).filter(|(_, node)| node.dir).map(|(_, node)| node.key.clone()).collect()
    }
}

fn start_relay(inner: SocketAddr, guard: &Arc<Mutex<Guard>>, seen: &Arc<Mutex<Vec<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (guard, seen) = (Arc::clone(guard), Arc::clone(seen));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (guard, seen) = (Arc::clone(&guard), Arc::clone(&seen));
            thread::spawn(move || pass(stream, inner, &guard, &seen));
        }
    });
    url
}

/// Passes one request on one connection.
fn pass(
    mut stream: TcpStream,
    inner: SocketAddr,
    guard: &Mutex<Guard>,
    seen: &Mutex<Vec<String>>,
) -> Option<()> {
    let (line, request) = read(&stream)?;
    let verdict = guard.lock().unwrap()(&line);
    seen.lock().unwrap().push(line);
    if let RequestFate::Say(status, body) = verdict {
        let head =
            format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        return stream.write_all((head + &body).as_bytes()).ok();
    }
    match verdict {
        RequestFate::LoseRequest => return None,
        #[expect(clippy::disallowed_methods, reason = "a thread of the test's own")]
        RequestFate::Hang(time) => {
            thread::sleep(time);
            return None;
        }
        #[expect(clippy::disallowed_methods, reason = "a thread of the test's own")]
        RequestFate::Slow(time) => thread::sleep(time),
        _ => {}
    }
    let mut behind = TcpStream::connect(inner).ok()?;
    behind.write_all(&request).ok()?;
    let mut answer = Vec::new();
    behind.read_to_end(&mut answer).ok()?;
    if matches!(verdict, RequestFate::Open | RequestFate::Slow(_)) {
        stream.write_all(&answer).ok()
    } else {
        None
    }
}

/// Reads method, target and body as text, and the whole request as bytes; its response ends the connection.
fn read(stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length, mut first) = (String::new(), 0, String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if first.is_empty() {
            first = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut request = format!("{head}Connection: close\r\n\r\n").into_bytes();
    request.extend_from_slice(&body);
    Some((format!("{first} {}", String::from_utf8_lossy(&body)), request))
}
