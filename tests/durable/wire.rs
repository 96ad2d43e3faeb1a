//! A keep-alive connection for the writers of a durability test.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// A response of the v2 API.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// `X-Etcd-Index`.
    pub index: Option<u64>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Returns the body as JSON; `Null` when it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns `errorCode` of an error, 0 for anything else.
    pub fn code(&self) -> u64 {
        self.json()["errorCode"].as_u64().unwrap_or(0)
    }
}

/// One connection, opened at the first request and again after an error.
#[derive(Debug)]
pub struct Wire {
    address: String,
    limit: Duration,
    stream: Option<BufReader<TcpStream>>,
}

impl Wire {
    /// Makes one to this `ip:port`.
    pub fn to(address: &str) -> Self {
        Self { address: address.to_owned(), limit: Duration::from_secs(10), stream: None }
    }

    /// Sets another timeout for a response.
    pub fn with_timeout(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sends a GET.
    pub fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.request("GET", path, None)
    }

    /// Sends one request. After an error it is unknown whether it was applied.
    pub fn request(&mut self, method: &str, path: &str, form: Option<&str>) -> io::Result<Answer> {
        let answer = self.try_request(method, path, form);
        if answer.is_err() {
            self.stream = None;
        }
        answer
    }

    fn try_request(&mut self, method: &str, path: &str, form: Option<&str>) -> io::Result<Answer> {
        let address = &self.address;
        let body = form.unwrap_or_default();
        let kind = if form.is_some() { "Content-Type: application/x-www-form-urlencoded\r\n" } else { "" };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{kind}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let address = address.parse().map_err(|_| broken("not an address"))?;
                let stream = TcpStream::connect_timeout(&address, self.limit)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(self.limit))?;
                stream.set_write_timeout(Some(self.limit))?;
                self.stream.insert(BufReader::new(stream))
            }
        };
        let mut request = head.into_bytes();
        request.extend_from_slice(body.as_bytes());
        stream.get_mut().write_all(&request)?;
        let (answer, close) = read_answer(stream, method == "HEAD")?;
        if close {
            self.stream = None;
        }
        Ok(answer)
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    stream.take(1 << 20).read_line(&mut line)?;
    if !line.ends_with('\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut off"));
    }
    Ok(line.trim_end().to_owned())
}

/// Reads a response, and whether the connection ends with it.
fn read_answer(stream: &mut impl BufRead, no_body: bool) -> io::Result<(Answer, bool)> {
    let first = line(stream)?;
    let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| broken(&format!("no HTTP answer: {first:?}")))?;
    let (mut length, mut chunked, mut close, mut index) = (None, false, false, None);
    loop {
        let header = line(stream)?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').ok_or_else(|| broken("a header without a colon"))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse::<u64>().ok(),
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => close = value.eq_ignore_ascii_case("close"),
            "x-etcd-index" => index = value.parse().ok(),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if no_body || status == 204 {
    } else if chunked {
        loop {
            let size = line(stream)?;
            let size = u64::from_str_radix(&size, 16).map_err(|_| broken("a chunk without a size"))?;
            exactly(stream, size, &mut body)?;
            line(stream)?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = length {
        exactly(stream, length, &mut body)?;
    } else {
        stream.read_to_end(&mut body)?;
        close = true;
    }
    Ok((Answer { status, index, body }, close))
}

fn exactly(stream: &mut impl Read, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    let got = stream.take(length).read_to_end(body)?;
    if got as u64 == length {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut off"))
    }
}
