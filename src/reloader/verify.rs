//! Verifies that a service runs the new file: exit status 0 of a reload does not prove it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, USER_AGENT};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::probe::{Probe, Verify};
use super::reload::run_command;
use crate::http::Endpoint;
use crate::http::client::{beginning, exchange};
use crate::http::error::innermost;

/// The most of a response that is read.
const MAX_RESPONSE_BYTES: usize = 1 << 20;
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Asks until the service responds as expected. The error is its last response.
pub(super) async fn verify(verify: &Verify) -> Result<(), String> {
    let deadline = Instant::now() + verify.timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = match timeout(left, probe_once(&verify.probe, left)).await {
            Ok(answer) => answer,
            Err(_) => Err("no response".to_owned()),
        };
        match answer {
            Ok(()) => return Ok(()),
            Err(text) if Instant::now() + verify.interval >= deadline => {
                return Err(format!("{} within {:?}: {text}", describe(&verify.probe), verify.timeout));
            }
            Err(_) => sleep(verify.interval).await,
        }
    }
}

fn describe(probe: &Probe) -> String {
    match probe {
        Probe::Http { url, .. } => format!("{url} did not return the expected response"),
        Probe::Tcp { address, contains: None } => format!("{address} did not accept a connection"),
        Probe::Tcp { address, .. } => format!("{address} did not send the expected text"),
        Probe::Command { line, .. } => format!("{line:?} did not succeed"),
    }
}

async fn probe_once(probe: &Probe, left: Duration) -> Result<(), String> {
    match probe {
        Probe::Tcp { address, contains } => listen(address, contains.as_deref()).await,
        Probe::Command { line, env } => run_command(line, env, left.max(Duration::from_millis(1))).await,
        Probe::Http { url, headers, status, contains } => {
            let Response { status: got, head, body } = get(url, headers).await?;
            let wanted = status.map_or((200..400).contains(&got), |status| status == got);
            if !wanted {
                return Err(format!("status {got}"));
            }
            match contains {
                Some(text) if !body.contains(text.as_str()) && !head.contains(&text.to_ascii_lowercase()) => {
                    Err(format!("status {got}, without {text:?} in it"))
                }
                _ => Ok(()),
            }
        }
    }
}

/// Connects, and reads until the service has sent the expected text, if there is one.
async fn listen(address: &str, wanted: Option<&str>) -> Result<(), String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let Some(wanted) = wanted else { return Ok(()) };
    let mut stream = stream.take(MAX_RESPONSE_BYTES as u64);
    let (mut said, mut chunk) = (Vec::new(), [0; 8192]);
    loop {
        let count = stream.read(&mut chunk).await.map_err(|error| error.to_string())?;
        said.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&said);
        if text.contains(wanted) {
            return Ok(());
        }
        if count == 0 {
            let excerpt: String = text.chars().take(200).collect();
            return Err(format!("it sent {excerpt:?}, without {wanted:?} in it"));
        }
    }
}

/// A response.
struct Response {
    status: u16,
    /// In lower case: the client does not keep how the names of headers were written.
    head: String,
    /// Decoded.
    body: String,
}

/// Sends one GET over a connection of its own: a worker of the old file might still hold a pooled one.
async fn get(url: &str, headers: &[String]) -> Result<Response, String> {
    let endpoint = Endpoint::parse(url).map_err(|error| error.to_string())?;
    let request = request(&endpoint, url, headers)?;
    let connecting = TcpStream::connect((endpoint.host.as_str(), endpoint.port));
    let stream = connecting.await.map_err(|error| error.to_string())?;
    let asked = exchange(stream, MAX_HEAD_BYTES, request, async |response| {
        let (parts, body) = response.into_parts();
        let mut head = format!("{:?} {}\n", parts.version, parts.status);
        for (name, value) in &parts.headers {
            head += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
        }
        head.make_ascii_lowercase();
        let body = beginning(body, MAX_RESPONSE_BYTES).await;
        let body = body.map_err(|error| format!("its response broke off: {}", innermost(&error)))?;
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Response { status: parts.status.as_u16(), head, body })
    });
    asked.await.map_err(|error| format!("no HTTP response: {}", innermost(&error)))?
}

fn request(endpoint: &Endpoint, url: &str, headers: &[String]) -> Result<Request<Empty<Bytes>>, String> {
    let path = url.get(endpoint.url.len()..).unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut request = Request::get(format!("{slash}{path}"))
        .header(USER_AGENT, "retune")
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| format!("cannot build the request: {error}"))?;
    for header in headers {
        let (name, value) = header.split_once(':').unwrap_or((header, ""));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|error| error.to_string())?;
        request.headers_mut().append(name, value);
    }
    let host = HeaderValue::from_str(endpoint.authority()).map_err(|error| error.to_string())?;
    request.headers_mut().entry(HOST).or_insert(host);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    async fn serve(answers: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "a test's own server")]
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        url
    }

    fn http(url: String, contains: Option<&str>) -> Verify {
        let contains = contains.map(str::to_owned);
        let probe = Probe::Http { url, headers: Vec::new(), status: None, contains };
        Verify { probe, timeout: Duration::from_millis(400), interval: Duration::from_millis(10) }
    }

    #[tokio::test]
    async fn an_old_answer_is_asked_again_until_the_new_one_comes() {
        let url =
            serve(&["HTTP/1.1 502 x\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nold", "HTTP/1.1 200 OK\r\n\r\nnew"])
                .await;
        assert_eq!(verify(&http(url, Some("new"))).await, Ok(()));
    }

    #[tokio::test]
    async fn a_service_that_never_answers_right_fails_within_the_limit() {
        let url = serve(&["HTTP/1.1 502 x\r\n\r\n"; 100]).await;
        let started = Instant::now();
        let error = verify(&http(url, None)).await.unwrap_err();
        assert!(error.contains("status 502"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test]
    async fn a_text_that_two_chunks_share_is_found_and_so_is_a_header() {
        let chunked = "HTTP/1.1 200 OK\r\nX-Version: 7\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nver\r\n5\r\nsion7\r\n0\r\n\r\n";
        let url = serve(Box::leak(vec![chunked; 2].into_boxed_slice())).await;
        assert_eq!(verify(&http(url.clone(), Some("version7"))).await, Ok(()));
        assert_eq!(verify(&http(url, Some("X-Version: 7"))).await, Ok(()));
    }
}
