//! Verifies that a service runs the new file: exit status 0 of a reload does not prove it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::probe::{Probe, Verify};
use super::reload::run_command;
use crate::command::Program;
use crate::http::Endpoint;
use crate::http::client::{exchange, read_prefix};
use crate::http::error::innermost;

/// How much of a response is read.
const MAX_RESPONSE_BYTES: usize = 1 << 20;
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Asks until the service responds as expected. The error is its last response.
pub(super) async fn verify(verify: &Verify) -> Result<(), String> {
    let deadline = Instant::now() + verify.timeout;
    let mut last = "no response".to_owned();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match timeout(left, probe_once(&verify.probe, left)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(text)) => last = text,
            // The last attempt may have had too little time; the error of an earlier one says more.
            Err(_) => {}
        }
        if Instant::now() + verify.interval >= deadline {
            return Err(format!("{} within {:?}: {last}", describe(&verify.probe), verify.timeout));
        }
        sleep(verify.interval).await;
    }
}

fn describe(probe: &Probe) -> String {
    match probe {
        Probe::Http { url, .. } => format!("{url} did not return the expected response"),
        Probe::Tcp { address, contains: None } => format!("{address} did not accept a connection"),
        Probe::Tcp { address, .. } => format!("{address} did not send the expected text"),
        Probe::Command { program: Program::Shell(text), .. } => format!("{text:?} did not succeed"),
        Probe::Command { program, .. } => format!("{program} did not succeed"),
    }
}

async fn probe_once(probe: &Probe, left: Duration) -> Result<(), String> {
    match probe {
        Probe::Tcp { address, contains } => listen(address, contains.as_deref()).await,
        Probe::Command { program, env } => {
            run_command(program, env, left.max(Duration::from_millis(1))).await
        }
        Probe::Http { url, headers, status, contains } => {
            let is_wanted = |got| status.map_or((200..400).contains(&got), |status| status == got);
            get(url, headers, is_wanted, contains.as_deref()).await
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

/// Sends one GET over a connection of its own, since a worker of the old file might still hold a pooled one, and checks
/// the response. A body that ends early is a failure.
async fn get(
    url: &str,
    headers: &[String],
    is_wanted: impl Fn(u16) -> bool,
    contains: Option<&str>,
) -> Result<(), String> {
    let endpoint = Endpoint::parse(url).map_err(|error| error.to_string())?;
    let request = request(&endpoint, url, headers)?;
    let connecting = TcpStream::connect((endpoint.host.as_str(), endpoint.port));
    let stream = connecting.await.map_err(|error| error.to_string())?;
    let asked = exchange(stream, MAX_HEAD_BYTES, request, async |response| {
        let (parts, body) = response.into_parts();
        let status = parts.status.as_u16();
        if !is_wanted(status) {
            return Err(format!("status {status}"));
        }
        let body = read_prefix(body, MAX_RESPONSE_BYTES).await;
        let body = body.map_err(|error| format!("its response broke off: {}", innermost(&error)))?;
        match contains {
            Some(wanted)
                if !String::from_utf8_lossy(&body).contains(wanted)
                    && !has_header(&parts.headers, wanted) =>
            {
                Err(format!("status {status}, without {wanted:?} in it"))
            }
            _ => Ok(()),
        }
    });
    asked.await.map_err(|error| format!("no HTTP response: {}", innermost(&error)))?
}

/// Returns whether a line of the head contains the text. The case of a header's name does not matter. The status line
/// is left out: its `OK` proves nothing.
fn has_header(headers: &HeaderMap, wanted: &str) -> bool {
    let any_case =
        wanted.split_once(':').map(|(name, value)| format!("{}:{value}", name.to_ascii_lowercase()));
    headers.iter().any(|(name, value)| {
        let line = format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
        line.contains(wanted) || any_case.as_ref().is_some_and(|wanted| line.contains(wanted))
    })
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
    async fn an_outdated_response_is_probed_again_until_it_changes() {
        let url =
            serve(&["HTTP/1.1 502 x\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nold", "HTTP/1.1 200 OK\r\n\r\nnew"])
                .await;
        assert_eq!(verify(&http(url, Some("new"))).await, Ok(()));
    }

    #[tokio::test]
    async fn a_service_that_never_passes_fails_within_the_timeout() {
        let url = serve(&["HTTP/1.1 502 x\r\n\r\n"; 100]).await;
        let started = Instant::now();
        let error = verify(&http(url, None)).await.unwrap_err();
        assert!(error.contains("status 502"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test]
    async fn a_text_across_two_chunks_and_a_header_are_found() {
        let chunked = "HTTP/1.1 200 OK\r\nX-Version: 7\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nver\r\n5\r\nsion7\r\n0\r\n\r\n";
        let url = serve(Box::leak(vec![chunked; 2].into_boxed_slice())).await;
        assert_eq!(verify(&http(url.clone(), Some("version7"))).await, Ok(()));
        assert_eq!(verify(&http(url, Some("X-Version: 7"))).await, Ok(()));
    }

    #[tokio::test]
    async fn the_status_line_and_a_value_in_another_case_do_not_match() {
        let old = "HTTP/1.1 200 OK\r\nX-State: Old\r\nContent-Length: 8\r\n\r\nthe file";
        for wanted in ["ok", "OK", "200", "X-State: old", "The file"] {
            let url = serve(Box::leak(vec![old; 100].into_boxed_slice())).await;
            let error = verify(&http(url, Some(wanted))).await.unwrap_err();
            assert!(error.contains("status 200, without"), "{wanted}: {error}");
        }
    }

    #[tokio::test]
    async fn a_truncated_body_fails_and_does_not_hide_the_status() {
        for (answer, says) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nthe", "broke off"),
            ("HTTP/1.1 503 Gone\r\nContent-Length: 10\r\n\r\nthe", "status 503"),
        ] {
            let url = serve(Box::leak(vec![answer; 100].into_boxed_slice())).await;
            let error = verify(&http(url, None)).await.unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
