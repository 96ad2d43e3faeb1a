//! HTTP/1.1 over a plain socket: requests are sent unchanged, and responses are recorded as they arrive.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{WAIT_TIMEOUT, scaled};

/// A request; nothing in it is checked or corrected.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: &'static str,
    pub target: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<String>,
    pub chunked: bool,
}

impl Request {
    fn bytes(&self, address: &str) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {address}\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        match &self.body {
            Some(body) if self.chunked => {
                text.push_str("Transfer-Encoding: chunked\r\n\r\n");
                let middle = (body.len() / 2..=body.len()).find(|at| body.is_char_boundary(*at)).unwrap();
                for part in [&body[..middle], &body[middle..]].iter().filter(|part| !part.is_empty()) {
                    text.push_str(&format!("{:x}\r\n{part}\r\n", part.len()));
                }
                text.push_str("0\r\n\r\n");
            }
            Some(body) => text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len())),
            None => text.push_str("\r\n"),
        }
        text.into_bytes()
    }
}

/// Formats the request as a user would type it.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)?;
        for (name, value) in &self.headers {
            write!(f, " [{name}: {value}]")?;
        }
        let chunked = if self.chunked { " (chunked)" } else { "" };
        let body = self.body.as_deref().unwrap_or("(no body)");
        let cut: String = body.chars().take(200).collect();
        write!(f, " <- {cut}{}{chunked}", if cut.len() < body.len() { "…" } else { "" })
    }
}

/// A response as far as it has arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether it is complete.
    pub complete: bool,
}

impl Reply {
    /// Returns a header's value; the name's case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}{}", self.status, if self.complete { "" } else { " (not complete)" })?;
        for (name, value) in &self.headers {
            writeln!(f, "    {name}: {value}")?;
        }
        let body = String::from_utf8_lossy(&self.body);
        let cut: String = body.chars().take(1500).collect();
        write!(f, "    {}{}", cut.trim_end(), if cut.len() < body.len() { "…" } else { "" })
    }
}

/// One request and the response so far.
pub struct Exchange {
    stream: TcpStream,
    bytes: Vec<u8>,
    head_only: bool,
    ended: bool,
}

impl Exchange {
    /// Connects and sends the request.
    pub fn start(address: &str, request: &Request) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Self::on(stream, address, request)
    }

    fn on(mut stream: TcpStream, address: &str, request: &Request) -> io::Result<Self> {
        stream.write_all(&request.bytes(address))?;
        Ok(Self { stream, bytes: Vec::new(), head_only: request.method == "HEAD", ended: false })
    }

    /// Reads what arrives within this time; returns whether anything did.
    pub fn listen(&mut self, wait: Duration) -> bool {
        let mut part = [0; 64 * 1024];
        self.stream.set_read_timeout(Some(wait.max(Duration::from_millis(1)))).unwrap();
        match self.stream.read(&mut part) {
            Ok(0) => self.ended = true,
            Ok(length) => {
                self.bytes.extend_from_slice(&part[..length]);
                return true;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.ended = true,
        }
        false
    }

    /// Returns the response so far, once its head has arrived.
    pub fn reply(&self) -> Option<Reply> {
        parse(&self.bytes, self.head_only, self.ended)
    }

    /// Reads until the response satisfies `enough`; returns the response at the timeout otherwise.
    pub fn until(&mut self, enough: impl Fn(&Reply) -> bool) -> Option<Reply> {
        let (start, limit) = (Instant::now(), scaled(WAIT_TIMEOUT));
        loop {
            // A long response is not parsed again after each of its many pieces.
            let enough_for_now = self.bytes.len() + self.bytes.len() / 4;
            while self.bytes.len() > 64 * 1024
                && self.bytes.len() < enough_for_now
                && self.listen(Duration::from_millis(5))
            {}
            let reply = self.reply();
            if reply.as_ref().is_some_and(&enough) || self.ended || start.elapsed() > limit {
                return reply;
            }
            self.listen(Duration::from_millis(100));
        }
    }
}

/// Sends requests one after the other, over one connection as long as it lasts.
pub struct ClientConn {
    address: String,
    idle: Option<TcpStream>,
}

impl ClientConn {
    pub fn to(address: &str) -> Self {
        Self { address: address.to_owned(), idle: None }
    }

    /// Sends a request and waits for the complete response; `None` when none arrived.
    pub fn ask(&mut self, request: &Request) -> Option<Reply> {
        if let Some(stream) = self.idle.take()
            && let Ok(talk) = Exchange::on(stream, &self.address, request)
            // A server may have closed it while it was idle; then nothing comes back.
            && let Some(reply) = self.finish(talk)
        {
            return Some(reply);
        }
        let talk = Exchange::start(&self.address, request).ok()?;
        self.finish(talk)
    }

    fn finish(&mut self, mut talk: Exchange) -> Option<Reply> {
        let reply = talk.until(|reply| reply.complete)?;
        let closes = reply.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if reply.complete && !closes && !talk.ended {
            self.idle = Some(talk.stream);
        }
        Some(reply)
    }
}

fn parse(bytes: &[u8], head_only: bool, ended: bool) -> Option<Reply> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut reply = Reply { status, headers, body: Vec::new(), complete: false };
    let rest = &bytes[end + 4..];
    if head_only || matches!(status, 204 | 304) {
        reply.complete = true;
    } else if reply.header("Transfer-Encoding") == Some("chunked") {
        (reply.body, reply.complete) = unchunk(rest);
    } else if let Some(length) = reply.header("Content-Length").and_then(|text| text.parse().ok()) {
        reply.complete = rest.len() >= length;
        reply.body = rest[..length.min(rest.len())].to_vec();
    } else {
        reply.body = rest.to_vec();
        reply.complete = ended;
    }
    Some(reply)
}

/// Returns the data of the received chunks, and whether the last one has arrived.
fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = str::from_utf8(&rest[..end]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let Some(chunk) = size.and_then(|size| rest.get(end + 2..end + 2 + size)) else { break };
        if chunk.is_empty() {
            return (out, rest[end..].starts_with(b"\r\n\r\n"));
        }
        out.extend_from_slice(chunk);
        rest = rest.get(end + 4 + chunk.len()..).unwrap_or_default();
    }
    (out, false)
}
