//! A small HTTP server for tests; a script returns the response to each request by its number.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A response of the script.
pub(crate) enum Reply {
    /// A complete response: status, `X-Etcd-Index`, body.
    Whole(u16, u64, String),
    /// The same with other headers, each with its line end.
    With(u16, String, String),
    /// The same with status 200, from this cluster.
    Of(u64, u64, String),
    /// Status 503 from this cluster.
    Ill(u64),
    /// The headers and these lines; then the connection stays open without data.
    Open(u64, Vec<String>),
    /// The same from this cluster.
    OpenOf(u64, u64, Vec<String>),
    /// The headers and these lines; then the connection breaks in the middle of the response.
    Cut(u64, Vec<String>),
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
pub(crate) struct Fake {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Request>>>,
    held: Arc<Mutex<Vec<TcpStream>>>,
    refuses: Arc<AtomicBool>,
}

impl Fake {
    pub(crate) fn new(script: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, held) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::<Mutex<Vec<TcpStream>>>::default());
        let script = Arc::new(script);
        let shared = (Arc::clone(&seen), Arc::clone(&held));
        let refuses = Arc::<AtomicBool>::default();
        let refused = Arc::clone(&refuses);
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
        Self { url, seen, held, refuses }
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
        self.refuses.store(true, Ordering::Relaxed);
        self.cut();
    }

    /// Undoes `refuse`.
    pub(crate) fn accept(&self) {
        self.refuses.store(false, Ordering::Relaxed);
    }

    /// Closes every connection that is held open.
    pub(crate) fn cut(&self) {
        for stream in self.held.lock().unwrap().drain(..) {
            stream.shutdown(std::net::Shutdown::Both).ok();
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.cut();
    }
}

fn serve(
    mut stream: TcpStream,
    script: &dyn Fn(usize, &Request) -> Reply,
    seen: &Mutex<Vec<Request>>,
    held: &Mutex<Vec<TcpStream>>,
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
        Reply::Whole(status, index, body) => whole(&mut stream, status, &at(index), &body),
        Reply::With(status, headers, body) => whole(&mut stream, status, &headers, &body),
        Reply::Of(cluster, index, body) => whole(&mut stream, 200, &of(cluster, index), &body),
        Reply::Ill(cluster) => whole(&mut stream, 503, &of(cluster, 0), ""),
        Reply::Open(index, lines) => {
            chunks(&mut stream, &at(index), &lines);
            held.lock().unwrap().push(stream);
        }
        Reply::OpenOf(cluster, index, lines) => {
            chunks(&mut stream, &of(cluster, index), &lines);
            held.lock().unwrap().push(stream);
        }
        Reply::Silent => held.lock().unwrap().push(stream),
        Reply::Cut(index, lines) => chunks(&mut stream, &at(index), &lines),
    }
}

fn whole(stream: &mut TcpStream, status: u16, headers: &str, body: &str) {
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
