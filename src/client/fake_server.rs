//! A small HTTP server for tests; a script returns the response to each request by its number.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A response of the script.
pub(crate) enum Reply {
    /// A complete response: status, `X-Etcd-Index`, body.
    Complete(u16, u64, String),
    /// The same with other headers, each with its line end.
    WithHeaders(u16, String, String),
    /// The same with status 200, from this cluster.
    FromCluster(u64, u64, String),
    /// Status 503 from this cluster.
    Unavailable(u64),
    /// The headers and these lines; then the connection stays open without data.
    Stream(u64, Vec<String>),
    /// The same from this cluster.
    StreamFromCluster(u64, u64, Vec<String>),
    /// The headers and these lines; then the connection breaks in the middle of the response.
    Truncated(u64, Vec<String>),
    /// No response; the connection stays open.
    Silent,
}

/// One request as received.
#[derive(Clone)]
pub(crate) struct Request {
    /// Method and path.
    pub(crate) line: String,
    pub(crate) authorization: String,
    pub(crate) body: String,
}

/// A running server; closes its connections when dropped.
pub(crate) struct FakeServer {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Request>>>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    refusing: Arc<AtomicBool>,
}

impl FakeServer {
    pub(crate) fn new(script: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, connections) =
            (Arc::<Mutex<Vec<Request>>>::default(), Arc::<Mutex<Vec<TcpStream>>>::default());
        let script = Arc::new(script);
        let shared = (Arc::clone(&seen), Arc::clone(&connections));
        let refusing = Arc::<AtomicBool>::default();
        let refused = Arc::clone(&refusing);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), script, shared) = (stream, Arc::clone(&script), shared.clone()) else {
                    return;
                };
                if refused.load(Ordering::Relaxed) {
                    continue;
                }
                thread::spawn(move || serve(stream, &*script, &shared.0, &shared.1));
            }
        });
        Self { url, seen, connections, refusing }
    }

    /// Returns all request lines so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.line).collect()
    }

    /// Returns all requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// Closes every connection before a response from now on.
    pub(crate) fn refuse(&self) {
        self.refusing.store(true, Ordering::Relaxed);
        self.disconnect();
    }

    /// Undoes `refuse`.
    pub(crate) fn accept(&self) {
        self.refusing.store(false, Ordering::Relaxed);
    }

    /// Closes every connection that is held open.
    pub(crate) fn disconnect(&self) {
        for stream in self.connections.lock().unwrap().drain(..) {
            stream.shutdown(std::net::Shutdown::Both).ok();
        }
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.disconnect();
    }
}

fn serve(
    mut stream: TcpStream,
    script: &dyn Fn(usize, &Request) -> Reply,
    seen: &Mutex<Vec<Request>>,
    connections: &Mutex<Vec<TcpStream>>,
) {
    let Some(request) = read(&stream) else { return };
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.len() - 1
    };
    let at = |index: u64| format!("X-Etcd-Index: {index}\r\n");
    let of = |cluster: u64, index| format!("{}X-Etcd-Cluster-Id: {cluster:x}\r\n", at(index));
    match script(number, &request) {
        Reply::Complete(status, index, body) => respond(&mut stream, status, &at(index), &body),
        Reply::WithHeaders(status, headers, body) => respond(&mut stream, status, &headers, &body),
        Reply::FromCluster(cluster, index, body) => respond(&mut stream, 200, &of(cluster, index), &body),
        Reply::Unavailable(cluster) => respond(&mut stream, 503, &of(cluster, 0), ""),
        Reply::Stream(index, lines) => {
            chunks(&mut stream, &at(index), &lines);
            connections.lock().unwrap().push(stream);
        }
        Reply::StreamFromCluster(cluster, index, lines) => {
            chunks(&mut stream, &of(cluster, index), &lines);
            connections.lock().unwrap().push(stream);
        }
        Reply::Silent => connections.lock().unwrap().push(stream),
        Reply::Truncated(index, lines) => chunks(&mut stream, &at(index), &lines),
    }
}

fn respond(stream: &mut TcpStream, status: u16, headers: &str, body: &str) {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status} X\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).ok();
}

fn chunks(stream: &mut TcpStream, headers: &str, lines: &[String]) {
    write!(stream, "HTTP/1.1 200 X\r\n{headers}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n").ok();
    // In one write: pieces would come with delays on a busy machine.
    let text: String = lines.iter().map(|line| format!("{:x}\r\n{line}\n\r\n", line.len() + 1)).collect();
    stream.write_all(text.as_bytes()).ok();
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let (mut length, mut authorization) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim_end();
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => authorization = value.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { line, authorization, body: String::from_utf8(body).ok()? })
}
