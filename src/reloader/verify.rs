//! Verifies that a service runs the new file: exit status 0 of a reload does not prove it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::probe::{Probe, Verify};
use super::reload::run_command;

/// The most of a response that is read.
const MAX_RESPONSE_BYTES: u64 = 1 << 20;

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
            let (got, body) = get(url, headers).await?;
            let wanted = status.map_or((200..400).contains(&got), |status| status == got);
            if !wanted {
                return Err(format!("status {got}"));
            }
            match contains {
                Some(text) if !body.contains(text.as_str()) => {
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
    let mut stream = stream.take(MAX_RESPONSE_BYTES);
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

/// Sends one GET over a connection of its own: a worker of the old file might still hold a pooled one.
async fn get(url: &str, headers: &[String]) -> Result<(u16, String), String> {
    let rest = url.strip_prefix("http://").ok_or("only http:// is supported")?;
    let (host, path) =
        rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, path.to_owned()));
    let address = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let mut stream = TcpStream::connect(&address).await.map_err(|error| error.to_string())?;
    let mut request = format!("GET /{path} HTTP/1.1\r\nUser-Agent: retune\r\nConnection: close\r\n");
    let is_host = |header: &&String| header.to_ascii_lowercase().starts_with("host:");
    let host =
        if headers.iter().any(|header| is_host(&header)) { None } else { Some(format!("Host: {host}")) };
    for header in host.iter().chain(headers) {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    let mut stream = stream.take(MAX_RESPONSE_BYTES);
    let mut chunk = [0; 8192];
    while !is_whole(&answer) {
        match stream.read(&mut chunk).await.map_err(|error| error.to_string())? {
            0 => break,
            count => answer.extend_from_slice(&chunk[..count]),
        }
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status =
        text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
    Ok((status.ok_or("no HTTP response")?, text))
}

/// Returns whether a response that declares its length is complete: not every server closes when asked to.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let (body, status) = (&answer[end + 4..], head.split_whitespace().nth(1));
    if matches!(status, Some("204" | "304")) {
        return true;
    }
    if head.lines().any(|line| line.starts_with("transfer-encoding:") && line.contains("chunked")) {
        return has_last_chunk(body);
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name == "content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_some_and(|length| body.len() >= length)
}

/// Returns whether a chunked body contains the empty chunk that ends it.
fn has_last_chunk(mut rest: &[u8]) -> bool {
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else { return false };
        let size = String::from_utf8_lossy(&rest[..end]);
        let size = size.split(';').next().unwrap_or_default().trim();
        match usize::from_str_radix(size, 16) {
            // Trailers may follow; they are not needed.
            Ok(0) | Err(_) => return true,
            Ok(size) => match size.checked_add(end + 4).and_then(|next| rest.get(next..)) {
                Some(next) => rest = next,
                None => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
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
}
