//! Closed-loop clients with a log: every request has its own id and ends in exactly one class.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::backend::header;

/// How a client uses its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestKind {
    /// A new connection for each request.
    Fresh,
    /// One connection for many GETs.
    KeepAliveGet,
    /// One connection for many POSTs.
    KeepAlivePost,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResponseClass {
    /// 200 with the id in the body.
    Ok,
    /// Another status.
    Non200,
    /// 200 with another body.
    WrongBody,
    /// The head came whole, the body did not.
    Truncated,
    /// No response in time.
    Timeout,
    /// No connection.
    Refused,
    /// Closed on a new connection before any byte of a response.
    ClosedFresh,
    /// Closed on a used connection before any byte of a response: HTTP's own race, safe to retry.
    ClosedReusedNoBytes,
    /// Closed in the middle of the head.
    ClosedPartial,
}

/// One request in the log.
#[derive(Clone, Debug)]
pub struct Record {
    /// The id it carried.
    pub id: String,
    /// Which kind of client sent it.
    pub kind: RequestKind,
    /// How it ended.
    pub class: ResponseClass,
    /// The server that responded, when it is `Ok`.
    pub by: String,
    /// When it started.
    pub from: Instant,
    /// When it ended.
    pub to: Instant,
}

/// The running clients.
pub struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<Record>>>,
}

impl Load {
    /// Starts `each` clients of every kind against a port of this machine.
    pub fn start(port: u16, each: usize) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let kinds = [RequestKind::Fresh, RequestKind::KeepAliveGet, RequestKind::KeepAlivePost];
        let clients = kinds.into_iter().flat_map(|kind| (0..each).map(move |number| (kind, number)));
        let clients = clients
            .map(|(kind, number)| {
                let client = Client { port, kind, name: format!("{kind:?}-{number}"), open: None };
                let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
                thread::spawn(move || client.work(&stop, &sent))
            })
            .collect();
        Self { stop, sent, clients }
    }

    /// Lets every request in flight end and closes the log.
    pub fn finish(self) -> RequestLog {
        self.stop.store(true, Ordering::SeqCst);
        let records = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        let request_log = RequestLog { records, sent: self.sent.load(Ordering::SeqCst) };
        assert_eq!(
            u64::try_from(request_log.records.len()).unwrap(),
            request_log.sent,
            "every request has one end"
        );
        request_log
    }
}

/// The outcome of all requests.
pub struct RequestLog {
    /// One for each request.
    pub records: Vec<Record>,
    /// Counted when they were sent.
    pub sent: u64,
}

impl RequestLog {
    /// Returns how many requests of a kind ended in a class.
    pub fn count(&self, kind: RequestKind, class: ResponseClass) -> usize {
        self.records.iter().filter(|record| record.kind == kind && record.class == class).count()
    }

    /// Returns how many requests of a kind failed.
    pub fn failures(&self, kind: RequestKind) -> usize {
        self.records.iter().filter(|record| record.kind == kind && record.class != ResponseClass::Ok).count()
    }

    /// Returns how many requests were in flight over the whole of an instant.
    pub fn in_flight(&self, at: Instant) -> usize {
        self.records.iter().filter(|record| record.from < at && at < record.to).count()
    }
}

impl fmt::Display for RequestLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts = BTreeMap::new();
        for record in &self.records {
            *counts.entry((record.kind, record.class)).or_insert(0) += 1;
        }
        write!(f, "{} requests:", self.sent)?;
        counts.iter().try_for_each(|((kind, class), count)| write!(f, " {kind:?}/{class:?} {count};"))
    }
}

struct Client {
    port: u16,
    kind: RequestKind,
    name: String,
    open: Option<TcpStream>,
}

impl Client {
    fn work(mut self, stop: &AtomicBool, sent: &AtomicU64) -> Vec<Record> {
        let mut records = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            let id = format!("{}-{}", self.name, records.len());
            sent.fetch_add(1, Ordering::SeqCst);
            let from = Instant::now();
            let (class, by) = match self.exchange(&id) {
                Ok(by) => (ResponseClass::Ok, by),
                Err(class) => {
                    self.open = None;
                    (class, String::new())
                }
            };
            records.push(Record { id, kind: self.kind, class, by, from, to: Instant::now() });
            // A real client pauses too, and a refusing port must not get a million requests.
            thread::sleep(Duration::from_millis(if class == ResponseClass::Ok { 1 } else { 5 }));
        }
        records
    }

    fn exchange(&mut self, id: &str) -> Result<String, ResponseClass> {
        let (mut stream, reused) = match self.open.take() {
            Some(stream) => (stream, true),
            None => (self.connect()?, false),
        };
        let closed = if reused { ResponseClass::ClosedReusedNoBytes } else { ResponseClass::ClosedFresh };
        let (verb, body) = if self.kind == RequestKind::KeepAlivePost { ("POST", id) } else { ("GET", "") };
        let end = if self.kind == RequestKind::Fresh { "close" } else { "keep-alive" };
        let size = body.len();
        let request = format!(
            "{verb} /app HTTP/1.1\r\nHost: test\r\nX-Request-Id: {id}\r\nConnection: {end}\r\n\
             Content-Length: {size}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).map_err(|_| closed)?;
        let reply = Reply::read(&mut stream, closed)?;
        if reply.status != 200 {
            return Err(ResponseClass::Non200);
        }
        let (name, echoed) = reply.body.split_once(' ').ok_or(ResponseClass::WrongBody)?;
        if echoed.trim_end() != id {
            return Err(ResponseClass::WrongBody);
        }
        if self.kind != RequestKind::Fresh && !reply.close {
            self.open = Some(stream);
        }
        Ok(name.to_owned())
    }

    fn connect(&self) -> Result<TcpStream, ResponseClass> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(|_| ResponseClass::Refused)?;
        stream.set_nodelay(true).map_err(|_| ResponseClass::ClosedFresh)?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(|_| ResponseClass::ClosedFresh)?;
        Ok(stream)
    }
}

struct Reply {
    status: u16,
    body: String,
    close: bool,
}

impl Reply {
    fn read(stream: &mut TcpStream, closed: ResponseClass) -> Result<Self, ResponseClass> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            let before = if bytes.is_empty() { closed } else { ResponseClass::ClosedPartial };
            more(stream, &mut bytes, before)?;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
        let size: usize = header(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        while bytes.len() < end + 4 + size {
            more(stream, &mut bytes, ResponseClass::Truncated)?;
        }
        let body = String::from_utf8_lossy(&bytes[end + 4..end + 4 + size]).into_owned();
        let close = header(&head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        Ok(Self { status, body, close })
    }
}

fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>, closed: ResponseClass) -> Result<(), ResponseClass> {
    let mut chunk = [0; 4096];
    match stream.read(&mut chunk) {
        Ok(0) => Err(closed),
        Ok(size) => {
            bytes.extend_from_slice(&chunk[..size]);
            Ok(())
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Err(ResponseClass::Timeout)
        }
        Err(_) => Err(closed),
    }
}
