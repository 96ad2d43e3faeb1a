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
pub(crate) struct Request {
    /// Method and path.
    pub(crate) line: String,
    pub(crate) authorization: String,
    pub(crate) body: String,
}

/// A running server; closes its connections when dropped.
pub(crate) struct Fake {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<String>>>,
    held: Arc<Mutex<Vec<TcpStream>>>,
    refuses: Arc<AtomicBool>,
}

impl Fake {
    pub(crate) fn new(script: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, held) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Vec<TcpStream>>>::default());
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
    seen: &Mutex<Vec<String>>,
    held: &Mutex<Vec<TcpStream>>,
) {
    let Some(request) = read(&stream) else { return };
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.line.clone());
        seen.len() - 1
    };
    let head = |status: u16, index: u64| {
        format!("HTTP/1.1 {status} X\r\nX-Etcd-Index: {index}\r\nConnection: close\r\n")
    };
    match script(number, &request) {
        Reply::Whole(status, index, body) => {
            let text = format!("{}Content-Length: {}\r\n\r\n{body}", head(status, index), body.len());
            stream.write_all(text.as_bytes()).ok();
        }
        Reply::Ill(cluster) => {
            write!(stream, "{}X-Etcd-Cluster-Id: {cluster:x}\r\nContent-Length: 0\r\n\r\n", head(503, 0))
                .ok();
        }
        Reply::Of(cluster, index, body) => {
            let head = format!("{}X-Etcd-Cluster-Id: {cluster:x}\r\n", head(200, index));
            write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).ok();
        }
        Reply::Open(index, lines) => {
            write!(stream, "{}Transfer-Encoding: chunked\r\n\r\n", head(200, index)).ok();
            chunks(&mut stream, &lines);
            held.lock().unwrap().push(stream);
        }
        Reply::OpenOf(cluster, index, lines) => {
            let head = format!("{}X-Etcd-Cluster-Id: {cluster:x}\r\n", head(200, index));
            write!(stream, "{head}Transfer-Encoding: chunked\r\n\r\n").ok();
            chunks(&mut stream, &lines);
            held.lock().unwrap().push(stream);
        }
        Reply::Silent => held.lock().unwrap().push(stream),
        Reply::Cut(index, lines) => {
            write!(stream, "{}Transfer-Encoding: chunked\r\n\r\n", head(200, index)).ok();
            chunks(&mut stream, &lines);
        }
    }
}

fn chunks(stream: &mut TcpStream, lines: &[String]) {
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
