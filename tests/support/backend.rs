//! An HTTP server behind a proxy: returns its name and the request's id, and records every request.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::port::Port;

/// One server.
pub struct Backend {
    port: Port,
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    delay: Duration,
    dead: AtomicBool,
    held: AtomicBool,
    next: AtomicU64,
    open: Mutex<HashMap<u64, TcpStream>>,
    seen: Mutex<HashMap<String, u32>>,
}

impl Backend {
    /// Starts a server that takes some time for each response, so that requests are always in flight.
    pub fn start(name: &str) -> Self {
        let port = Port::claim();
        let listener = TcpListener::bind(port.address()).unwrap();
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            delay: Duration::from_millis(3),
            dead: AtomicBool::new(false),
            held: AtomicBool::new(false),
            next: AtomicU64::new(0),
            open: Mutex::default(),
            seen: Mutex::default(),
        });
        let kept = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.dead.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.connection(stream));
            }
        });
        Self { port, shared: kept }
    }

    /// Returns `127.0.0.1:port`.
    pub fn address(&self) -> String {
        self.port.address()
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns how often each request id arrived here.
    pub fn seen(&self) -> HashMap<String, u32> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Holds every response back, or releases them.
    pub fn hold(&self, held: bool) {
        self.shared.held.store(held, Ordering::SeqCst);
    }

    /// Dies as with `kill -9`: the port is closed and every connection cut.
    pub fn kill(&self) {
        if self.shared.dead.swap(true, Ordering::SeqCst) {
            return;
        }
        // Wakes the accept, which then drops the listener.
        TcpStream::connect(self.port.address()).ok();
        for (_, stream) in self.shared.open.lock().unwrap().drain() {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Shared {
    fn connection(&self, mut stream: TcpStream) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let Ok(copy) = stream.try_clone() else { return };
        self.open.lock().unwrap().insert(number, copy);
        // The peer closed the connection: proxies do that, and the client's log records the request's outcome.
        self.serve(&mut stream).ok();
        self.open.lock().unwrap().remove(&number);
    }

    fn serve(&self, stream: &mut TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = Vec::new();
        loop {
            let Some(head) = read_request(stream, &mut buffer)? else { return Ok(()) };
            let id = header(&head, "x-request-id").unwrap_or_default().to_owned();
            if !id.is_empty() {
                *self.seen.lock().unwrap().entry(id.clone()).or_default() += 1;
            }
            thread::sleep(self.delay);
            while self.held.load(Ordering::SeqCst) && !self.dead.load(Ordering::SeqCst) {
                thread::sleep(self.delay);
            }
            if self.dead.load(Ordering::SeqCst) {
                return stream.shutdown(Shutdown::Both);
            }
            let body = format!("{} {id}\n", self.name);
            let close = header(&head, "connection") == Some("close");
            let end = if close { "close" } else { "keep-alive" };
            let size = body.len();
            let answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: {end}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes())?;
            if close {
                return stream.shutdown(Shutdown::Write);
            }
        }
    }
}

/// Reads the next request's head and drops its body; returns `None` when the peer has closed.
fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<String>> {
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let size: usize = header(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
            if buffer.len() >= end + 4 + size {
                buffer.drain(..end + 4 + size);
                return Ok(Some(head));
            }
        }
        match stream.read(&mut chunk)? {
            0 => return Ok(None),
            size => buffer.extend_from_slice(&chunk[..size]),
        }
    }
}

/// Returns a header's value, by its lower-case name.
pub fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
