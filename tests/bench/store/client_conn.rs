//! One connection, and a request with its expected response.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::answer::Answer;

/// Enough for any small response at once.
const SMALL: usize = 4 * 1024;
/// For lists: few reads, and still within a processor's cache.
const LARGE: usize = 256 * 1024;

/// An exchange that takes longer counts as lost, and the measurement fails.
pub const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(20);

/// A request, and the beginning of the expected body.
#[derive(Debug)]
pub struct Exchange {
    pub request: Vec<u8>,
    pub starts: Vec<u8>,
}

impl Exchange {
    /// Returns a write of a key; key and value must not need escapes.
    pub fn put(key: &str, value: &str) -> Self {
        let length = "value=".len() + value.len();
        let request = format!(
            "PUT /v2/keys{key} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {length}\r\n\r\nvalue={value}"
        );
        Self { request: request.into_bytes(), starts: node("set", key, value) }
    }

    /// Returns a read of a key that has this value.
    pub fn get(key: &str, value: &str) -> Self {
        Self { request: get(&format!("/v2/keys{key}")), starts: node("get", key, value) }
    }

    /// Returns a listing of everything below a folder.
    pub fn list(folder: &str) -> Self {
        let starts = format!("{{\"action\":\"get\",\"node\":{{\"key\":\"{folder}\",\"dir\":true,\"nodes\":[");
        Self { request: get(&format!("/v2/keys{folder}?recursive=true")), starts: starts.into_bytes() }
    }

    /// Returns a watch for the next write of a key, which must have this value.
    pub fn watch(key: &str, value: &str) -> Self {
        Self { request: get(&format!("/v2/keys{key}?wait=true")), starts: node("set", key, value) }
    }

    /// Returns what is wrong with a response.
    pub fn error_of(&self, answer: &Answer) -> Option<String> {
        let right = matches!(answer.status, 200 | 201) && answer.body.starts_with(&self.starts);
        (!right).then(|| {
            let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)]).into_owned();
            let first = self.request.split(|byte| *byte == b'\r').next().unwrap_or_default();
            format!("{} was answered {} {body}", String::from_utf8_lossy(first), answer.status)
        })
    }
}

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: bench\r\n\r\n").into_bytes()
}

fn node(action: &str, key: &str, value: &str) -> Vec<u8> {
    format!("{{\"action\":\"{action}\",\"node\":{{\"key\":\"{key}\",\"value\":\"{value}\",\"modifiedIndex\":")
        .into_bytes()
}

/// A connection with one request at a time.
#[derive(Debug)]
pub struct ClientConn {
    /// The response to the last request, as far as it has arrived.
    pub answer: Answer,
    stream: TcpStream,
    buffer: Box<[u8]>,
}

impl ClientConn {
    /// Opens a connection for small responses.
    pub async fn open(address: &str) -> io::Result<Self> {
        Self::with_buffer(address, SMALL).await
    }

    /// Opens a connection for large ones.
    pub async fn open_large(address: &str) -> io::Result<Self> {
        Self::with_buffer(address, LARGE).await
    }

    async fn with_buffer(address: &str, size: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { answer: Answer::new(), stream, buffer: vec![0; size].into_boxed_slice() })
    }

    /// Sends a request.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.answer.clear();
        self.stream.write_all(request).await
    }

    /// Reads until the response is `enough`.
    pub async fn read_until(&mut self, enough: impl Fn(&Answer) -> bool) -> io::Result<()> {
        while !enough(&self.answer) {
            let length = self.stream.read(&mut self.buffer).await?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.answer.take(&self.buffer[..length])?;
        }
        Ok(())
    }

    /// Sends a request and reads the whole response.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<()> {
        self.send(request).await?;
        self.read_until(Answer::is_whole).await
    }

    /// Sends a request, reads the whole response in bounded time, and fails unless it is correct.
    pub async fn exchange(&mut self, exchange: &Exchange) {
        let asked = tokio::time::timeout(EXCHANGE_TIMEOUT, self.ask(&exchange.request)).await;
        asked.expect("an answer in time").expect("a whole answer");
        if let Some(objection) = exchange.error_of(&self.answer) {
            panic!("{objection}");
        }
    }
}
