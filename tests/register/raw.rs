//! A minimal client of a container engine for tests; it accepts only complete responses.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// Sends one request over its own connection; returns the status and the body. Adds a version to a path without `!`.
pub(super) fn ask(socket: &Path, method: &str, path: &str) -> io::Result<(u16, Vec<u8>)> {
    let mut reader = BufReader::new(send(socket, method, path)?);
    let (status, head) = head(&mut reader)?;
    let length = field(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((status, body))
}

/// Returns the JSON of a GET with status 200.
pub(super) fn get(socket: &Path, path: &str) -> Option<Value> {
    let (status, body) = ask(socket, "GET", path).ok()?;
    (status == 200).then(|| serde_json::from_slice(&body).ok())?
}

fn send(socket: &Path, method: &str, path: &str) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_millis(600)))?;
    let path = path.strip_prefix('!').map_or_else(|| format!("/v1.44{path}"), str::to_owned);
    stream.write_all(
        format!("{method} {path} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    Ok(stream)
}

fn head(reader: &mut BufReader<UnixStream>) -> io::Result<(u16, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok((status.ok_or_else(|| io::Error::other("no status"))?, head))
}

/// Returns a header's value.
pub(super) fn field(head: &str, name: &str) -> Option<String> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.clone().find(|(this, _)| this.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
}

/// Returns the head of a response, for its headers.
pub(super) fn head_of(socket: &Path, path: &str) -> io::Result<String> {
    Ok(head(&mut BufReader::new(send(socket, "GET", path)?))?.1)
}

/// An open event stream.
pub(super) struct Events {
    reader: BufReader<UnixStream>,
    text: Vec<u8>,
}

/// Why there is no next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// The last chunk came.
    InOrder,
    /// The connection broke in the middle.
    Cut,
    /// Nothing came for a while.
    Silent,
}

impl Events {
    /// Subscribes, with this query.
    pub(super) fn open(socket: &Path, query: &str) -> io::Result<Self> {
        let mut reader = BufReader::new(send(socket, "GET", &format!("/events{query}"))?);
        let (status, _) = head(&mut reader)?;
        if status != 200 {
            return Err(io::Error::other(format!("status {status}")));
        }
        Ok(Self { reader, text: Vec::new() })
    }

    /// Returns the next event.
    pub(super) fn next(&mut self) -> Result<Value, StreamEnd> {
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                return serde_json::from_slice(&line).map_err(|_| StreamEnd::Cut);
            }
            self.read_chunk()?;
        }
    }

    fn read_chunk(&mut self) -> Result<(), StreamEnd> {
        let over = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => StreamEnd::Silent,
            _ => StreamEnd::Cut,
        };
        let mut size = String::new();
        self.reader.read_line(&mut size).map_err(over)?;
        let size = usize::from_str_radix(size.trim(), 16).map_err(|_| StreamEnd::Cut)?;
        let mut bytes = vec![0; size + 2];
        self.reader.read_exact(&mut bytes).map_err(over)?;
        if size == 0 {
            return Err(if self.text.is_empty() { StreamEnd::InOrder } else { StreamEnd::Cut });
        }
        self.text.extend_from_slice(&bytes[..size]);
        Ok(())
    }

    /// Returns the actions of all events until the end, and how it ended.
    pub(super) fn actions(&mut self) -> (Vec<String>, StreamEnd) {
        let mut actions = Vec::new();
        loop {
            match self.next() {
                Ok(event) => actions.push(event["Action"].as_str().unwrap_or("?").to_owned()),
                Err(over) => return (actions, over),
            }
        }
    }
}
