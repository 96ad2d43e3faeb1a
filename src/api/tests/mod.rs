//! The server on a socket, with a store in memory.

mod auth;
mod keys;
mod limits;
mod members;
mod memory;
mod rights;
mod routes;
mod stopping;
mod tls;
mod watches;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::{ApiError, Server, ServerInfo, Settings};
use crate::consensus::Handle;
use crate::stop::Stop;

/// A server on a free port; it stops when dropped.
struct Running {
    address: SocketAddr,
    handle: Handle,
    stop: Stop,
    thread: Option<thread::JoinHandle<Result<(), ApiError>>>,
}

impl Running {
    fn start() -> Self {
        Self::with(Settings::default(), |server| server)
    }

    /// Starts a server with other settings; its listen URL becomes a free port.
    fn with(settings: Settings, adapt: impl FnOnce(Server) -> Server + Send + 'static) -> Self {
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        let settings = Settings { listen_client_urls: vec![format!("{scheme}://127.0.0.1:0")], ..settings };
        let (handle, stop) = (Handle::in_memory(), Stop::new());
        let (told, tell) = mpsc::channel();
        let (serving, stopping) = (handle.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.unwrap().block_on(async {
                let server = adapt(Server::bind(&settings).unwrap());
                serving.ready().await;
                told.send(server.client_urls().remove(0)).unwrap();
                server.run(serving, ServerInfo::default(), stopping).await
            })
        });
        let url = tell.recv_timeout(Duration::from_secs(20)).expect("a server that starts");
        let address = url.split_once("://").unwrap().1.parse().unwrap();
        Self { address, handle, stop, thread: Some(thread) }
    }

    /// Returns the ids of the member and its group as in responses.
    fn ids(&self) -> (String, String) {
        let members = self.handle.members();
        (format!("{:x}", members.own_id), format!("{:x}", members.cluster_id))
    }

    /// Returns the index of the last change.
    fn index(&self) -> u64 {
        self.handle.view(|keyspace| keyspace.index())
    }

    fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).unwrap())
    }

    /// Sends one request on its own connection.
    fn ask(&self, method: &str, target: &str, body: &str) -> Reply {
        self.connect().ask(method, target, body)
    }

    /// Stops it and returns how it ended.
    fn end(mut self) -> Result<(), ApiError> {
        self.stop.request();
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.request();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// A client on one connection.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request, with a form as its body if it has one.
    fn ask(&mut self, method: &str, target: &str, body: &str) -> Reply {
        self.ask_as(method, target, "Content-Type: application/x-www-form-urlencoded\r\n", body)
    }

    fn ask_as(&mut self, method: &str, target: &str, headers: &str, body: &str) -> Reply {
        let length = body.len();
        self.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ));
        self.reply(method)
    }

    /// Returns the complete response to `method`.
    fn reply(&mut self, method: &str) -> Reply {
        let mut reply = self.head();
        if method == "HEAD" || reply.status == 204 {
            return reply;
        }
        if reply.header("Transfer-Encoding") == "chunked" {
            while let Some(chunk) = self.chunk() {
                reply.chunks.push(chunk);
            }
            reply.body = reply.chunks.concat();
        } else if let Ok(length) = reply.header("Content-Length").parse() {
            reply.body = vec![0; length];
            self.stream.read_exact(&mut reply.body).unwrap();
        } else {
            self.stream.read_to_end(&mut reply.body).unwrap();
        }
        reply
    }

    fn head(&mut self) -> Reply {
        let first = self.line().expect("an answer");
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut reply = Reply { status: status.expect("a status"), ..Reply::default() };
        while let Some(line) = self.line().filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").expect("a header");
            reply.headers.push((name.to_owned(), value.to_owned()));
        }
        reply
    }

    /// Returns the next chunk; `None` for the last.
    fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line().expect("a chunk"), 16).unwrap();
        let mut data = vec![0; size + 2];
        self.stream.read_exact(&mut data).unwrap();
        data.truncate(size);
        (size > 0).then_some(data)
    }

    /// Returns the next line; `None` when the connection has ended.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).unwrap_or(0);
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// Returns whether nothing arrives for a while.
    fn silent(&mut self) -> bool {
        self.stream.get_ref().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let nothing = self.stream.fill_buf().is_err();
        self.stream.get_ref().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        nothing
    }
}

/// A response.
#[derive(Debug, Default)]
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    chunks: Vec<Vec<u8>>,
    body: Vec<u8>,
}

impl Reply {
    /// Returns the header of exactly this spelling; empty without one.
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Waits until `holds` returns true, and fails when it never does.
fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what} did not come about");
        thread::park_timeout(Duration::from_millis(5));
    }
}
