//! A fake member: it records requests, and its responses depend on the path.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// How often each path was requested, over how many connections.
#[derive(Default)]
struct Seen {
    asked: Mutex<BTreeMap<String, usize>>,
    closes: AtomicBool,
}

impl Seen {
    fn count(&self, what: String) {
        *self.asked.lock().unwrap().entry(what).or_default() += 1;
    }
}

/// A listening member; peers and clients share one port.
pub struct FakeMember {
    address: String,
    seen: Arc<Seen>,
}

impl FakeMember {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Seen::default());
        let (own, shared) = (address.clone(), Arc::clone(&seen));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (own, shared) = (own.clone(), Arc::clone(&shared));
                thread::spawn(move || serve(stream, &own, &shared));
            }
        });
        Self { address, seen }
    }

    pub fn list(&self) -> String {
        format!("x=http://{}", self.address)
    }

    /// Returns how often this path was requested; `closed after PATH` are connections that ended after it.
    pub fn asked(&self, path: &str) -> usize {
        self.seen.asked.lock().unwrap().get(path).copied().unwrap_or(0)
    }

    /// From now on it reads a request on a used connection and closes that without a response.
    pub fn close_used(&self) {
        self.seen.closes.store(true, Ordering::SeqCst);
    }
}

fn serve(stream: TcpStream, own: &str, seen: &Seen) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    let (mut used, mut last) = (false, String::new());
    while let Some((line, mut headers, body)) = request(&mut reader) {
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        seen.count(target.clone());
        last.clone_from(&target);
        if (used && seen.closes.load(Ordering::SeqCst)) || target.starts_with("/drop") {
            return;
        }
        used = true;
        headers.sort();
        let echo = format!("{line}\n{}\n\n{body}", headers.join("\n")).replace(own, "MEMBER");
        let head = line.starts_with("HEAD");
        let answer = match target.as_str() {
            "/members" => whole(
                200,
                "X-Etcd-Cluster-Id: 1\r\n",
                &format!(
                    r#"[{{"id":1,"peerURLs":["http://{own}"],"name":"x","clientURLs":["http://{own}"]}}]"#
                ),
            ),
            "/chunked" => {
                "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
                    .to_owned()
            }
            "/close" => "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end".to_owned(),
            "/hops" => whole(
                200,
                "Content-Type: a/b\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nTE: x\r\nTrailers: y\r\n\
                 Upgrade: h2c\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX-Odd:  blanks  \r\nAccess-Control-Allow-Origin: me\r\n",
                "x",
            ),
            "/304" => "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n".to_owned(),
            "/204" => "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n".to_owned(),
            "/half" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_owned(),
            "/half-chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n".to_owned(),
            "/stop?wait=true" | "/hang?wait=true" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            path => match path.strip_prefix("/status/").and_then(|code| code.parse().ok()) {
                Some(code) => whole(code, "Content-Type: a/b\r\nX-Etcd-Index: 7\r\n", "said"),
                None => whole(200, "Content-Type: text/plain\r\n", &echo),
            },
        };
        let answer = if head {
            answer.split_once("\r\n\r\n").map(|(head, _)| format!("{head}\r\n\r\n")).unwrap()
        } else {
            answer
        };
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
        if ["/close", "/half", "/stop"].iter().any(|path| target.starts_with(path)) {
            return;
        }
    }
    seen.count(format!("closed after {last}"));
}

fn whole(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} Said\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Returns the next request: its line, its headers, its body.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<String>, String)> {
    let line = line(reader)?;
    let mut headers = Vec::new();
    while let Some(header) = self::line(reader).filter(|line| !line.is_empty()) {
        headers.push(header);
    }
    let value = |name: &str| {
        let header = headers.iter().find(|header| header.to_lowercase().starts_with(name));
        header.map(|header| header[name.len()..].trim().to_owned())
    };
    let mut body = Vec::new();
    if let Some(length) = value("content-length:") {
        body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).ok()?;
    } else if value("transfer-encoding:").is_some() {
        loop {
            let size = usize::from_str_radix(&self::line(reader)?, 16).unwrap();
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
    Some((line, headers, String::from_utf8_lossy(&body).into_owned()))
}

fn line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let read = reader.read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}
