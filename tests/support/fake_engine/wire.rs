//! As much of HTTP/1.1 as the fake engine needs, with the ways in which a response can fail.

use std::collections::BTreeMap;
use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// The largest request of a test.
const MAX_REQUEST: usize = 1 << 20;

/// A connection of a client.
pub(super) type Connection = BufReader<UnixStream>;

/// One request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// Decoded.
    pub(super) path: String,
    /// Decoded.
    pub(super) query: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
    /// Whether the client wants the connection to end with the response.
    pub(super) last: bool,
}

/// Reads the next request; `None`: the client has closed the connection.
pub(super) async fn read(connection: &mut Connection) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match connection.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) if head.is_empty() => return Ok(None),
            Err(error) => return Err(error),
        }
        if head.len() > MAX_REQUEST {
            return Err(io::Error::other("the head of a request does not end"));
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let fields: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
    let field = |wanted: &str| {
        fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    let length = field("content-length").and_then(|value| value.parse().ok()).unwrap_or(0_usize);
    let last = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let mut body = vec![0; length.min(MAX_REQUEST)];
    connection.read_exact(&mut body).await?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    });
    Ok(Some(Request { method: method.to_owned(), path: decoded(path), query: query.collect(), body, last }))
}

fn decoded(text: &str) -> String {
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                let digits = String::from_utf8_lossy(&digits).into_owned();
                out.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A response with a length.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(status: u16, value: &serde_json::Value) -> Self {
        let body = format!("{value}\n").into_bytes();
        Self { status, kind: "application/json", headers: Vec::new(), body }
    }

    pub(super) fn message(status: u16, text: &str) -> Self {
        Self::json(status, &serde_json::json!({ "message": text }))
    }

    pub(super) const fn empty(status: u16) -> Self {
        Self { status, kind: "text/plain", headers: Vec::new(), body: Vec::new() }
    }

    /// Writes it; only half of the body when it is to be cut, and none for a HEAD request.
    pub(super) async fn write(
        &self,
        connection: &mut Connection,
        cut: bool,
        head_only: bool,
    ) -> io::Result<()> {
        let reason = if self.status < 300 { "OK" } else { "Error" };
        let mut head = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
            self.status,
            self.kind,
            self.body.len()
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        let end = if cut { self.body.len() / 2 } else { self.body.len() };
        if !head_only && self.status != 204 && self.status != 304 {
            bytes.extend_from_slice(&self.body[..end]);
        }
        connection.write_all(&bytes).await?;
        connection.flush().await
    }
}

/// Writes the head of a chunked response.
pub(super) async fn begin_pieces(connection: &mut Connection) -> io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    connection.write_all(head.as_bytes()).await?;
    connection.flush().await
}

/// Writes one chunk.
pub(super) async fn piece(connection: &mut Connection, bytes: &[u8]) -> io::Result<()> {
    let mut all = format!("{:x}\r\n", bytes.len()).into_bytes();
    all.extend_from_slice(bytes);
    all.extend_from_slice(b"\r\n");
    connection.write_all(&all).await?;
    connection.flush().await
}

/// Writes the last chunk.
pub(super) async fn end_pieces(connection: &mut Connection) -> io::Result<()> {
    connection.write_all(b"0\r\n\r\n").await?;
    connection.flush().await
}
