//! The HTTP check: which responses count, and what bad servers can do to a check.

use std::sync::Mutex;

use super::*;

async fn answered(bytes: &'static [u8]) -> Result<(), String> {
    run_against(check(get("/health")), async |stream| answer(stream, bytes).await).await
}

fn any_status() -> Check {
    fallback(&Checks { default: Health::Http, ..defaults() }).unwrap()
}

#[tokio::test]
async fn the_request_is_http_1_1_with_host_and_path() {
    let seen = Mutex::new(String::new());
    let serve = async |mut stream: TcpStream| {
        *seen.lock().unwrap() = head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    };
    assert_eq!(run_against(check(get("/health?deep=1")), &serve).await, Ok(()));
    let text = seen.lock().unwrap().clone();
    assert!(text.starts_with("GET /health?deep=1 HTTP/1.1\r\n"), "{text}");
    assert!(text.contains("\r\nHost: 127.0.0.1:") && text.contains("\r\nUser-Agent: retune/"), "{text}");
    assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
    for method in ["HEAD", "OPTIONS", "POST"] {
        let asked = of(&service(&[("check_http", "/h"), ("check_http_method", method)]), &defaults());
        assert_eq!(run_against(asked.unwrap().unwrap(), &serve).await, Ok(()));
        let text = seen.lock().unwrap().clone();
        assert!(text.starts_with(&format!("{method} /h HTTP/1.1\r\n")), "{text}");
        assert_eq!(text.contains("\r\nContent-Length: 0\r\n"), method == "POST", "{text}");
    }
    assert_eq!(run_against_at("::1", check(get("/")), &serve).await, Ok(()));
    assert!(seen.lock().unwrap().contains("\r\nHost: [::1]:"), "{}", seen.lock().unwrap());
}

#[tokio::test]
async fn statuses_200_to_399_pass_and_others_are_reported() {
    for line in ["200 OK", "204 No Content", "302 Found", "304 Not Modified", "399 Odd"] {
        let text = format!("HTTP/1.1 {line}\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
        let serve = async |stream| answer(stream, text.as_bytes()).await;
        assert_eq!(run_against(check(get("/")), serve).await, Ok(()), "{line}");
    }
    for line in ["404 Not Found", "500 Internal Server Error", "503 Service Unavailable"] {
        let text = format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n");
        let serve = async |stream| answer(stream, text.as_bytes()).await;
        assert_eq!(run_against(check(get("/")), &serve).await, Err(format!("returned {line}")));
        assert_eq!(run_against(any_status(), &serve).await, Ok(()), "{line}");
    }
    assert!(answered(b"HTTP/1.1 400 Bad\r\n\r\n").await.is_err());
}

#[tokio::test]
async fn each_check_uses_its_own_connection_and_follows_no_redirect() {
    let count = Mutex::new(0);
    let serve = async |stream| {
        *count.lock().unwrap() += 1;
        answer(stream, b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n").await;
    };
    for so_far in 1..=3 {
        assert_eq!(run_against(check(get("/")), &serve).await, Ok(()));
        assert_eq!(*count.lock().unwrap(), so_far);
    }
}

#[tokio::test]
async fn a_connection_closed_at_once_is_not_a_reply() {
    for check in [check(get("/")), any_status()] {
        let error_text = run_against(check, async |stream| drop(stream)).await.unwrap_err();
        assert!(error_text.starts_with("no HTTP response: "), "{error_text}");
    }
    let after_the_request = answered(b"").await;
    assert_eq!(after_the_request.unwrap_err(), "no HTTP response: the connection was accepted and closed");
}

#[tokio::test]
async fn a_silent_server_fails_at_the_deadline() {
    for kind in [get("/"), any_status().kind] {
        let begun = Instant::now();
        assert_eq!(
            run_against(quick_check(kind), hold).await,
            Err("no HTTP response within 150ms".to_owned())
        );
        assert!(begun.elapsed() >= millis(150) && begun.elapsed() < millis(1500), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_server_that_does_not_speak_http_fails() {
    for bytes in
        [&b"hello, this is a page of 1991\n"[..], b"SSH-2.0-OpenSSH_9\r\n\r\n", b"\0\0\0\0\0\0\0\0\0\0"]
    {
        let error_text =
            run_against(check(get("/")), async |stream| answer(stream, bytes).await).await.unwrap_err();
        assert_eq!(error_text, "no HTTP response: it speaks another protocol");
    }
}

#[tokio::test]
async fn an_endless_body_passes_after_64_kib_and_its_connection_is_dropped() {
    let sent = Mutex::new(0);
    let serve = async |mut stream: TcpStream| {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {
            *sent.lock().unwrap() += 4096;
        }
    };
    assert_eq!(run_against(check(get("/")), serve).await, Ok(()));
    let sent = sent.into_inner().unwrap();
    assert!((64 << 10..32 << 20).contains(&sent), "{sent}");
}

#[tokio::test]
async fn endless_headers_are_refused_long_before_the_deadline() {
    for line in ["X-Some: thing\r\n", "X"] {
        let serve = async |mut stream: TcpStream| {
            head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nX-A: b\r\n").await.unwrap();
            while stream.write_all(line.repeat(1000).as_bytes()).await.is_ok() {}
        };
        let slow = Check { timeout: millis(30_000), ..check(get("/")) };
        let error_text = run_against(slow, serve).await.unwrap_err();
        assert_eq!(error_text, "no HTTP response: its head is too long");
    }
}

#[tokio::test]
async fn a_slowly_dripping_reply_does_not_extend_the_deadline() {
    for head_of_answer in ["", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"] {
        let serve = async |mut stream: TcpStream| {
            head(&mut stream).await;
            stream.write_all(head_of_answer.as_bytes()).await.unwrap();
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".iter().cycle() {
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(millis(20)).await;
            }
        };
        let begun = Instant::now();
        let error_text = run_against(quick_check(get("/")), serve).await.unwrap_err();
        let missing = if head_of_answer.is_empty() { "HTTP response" } else { "end of the response" };
        assert_eq!(error_text, format!("no {missing} within 150ms"));
        assert!(begun.elapsed() < millis(1500), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_truncated_body_fails_and_with_any_status_the_head_is_enough() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of";
    let error_text = answered(cut).await.unwrap_err();
    assert!(error_text.starts_with("its response broke off"), "{error_text}");
    assert_eq!(run_against(any_status(), async |stream| answer(stream, cut).await).await, Ok(()));
    assert_eq!(
        answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await,
        Ok(())
    );
    assert_eq!(answered(b"HTTP/1.0 200 OK\r\n\r\nold, and ended by its connection").await, Ok(()));
}

#[tokio::test]
async fn an_informational_response_is_not_the_response() {
    assert!(answered(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 500 No\r\n\r\n").await.is_err());
    assert_eq!(answered(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n").await, Ok(()));
}

fn https(verify: bool) -> CheckKind {
    let (method, path) = ("GET".to_owned(), "/".to_owned());
    CheckKind::Http { https: true, method, path, verify, any_status: false }
}

#[tokio::test]
async fn https_to_a_plain_http_server_is_reported() {
    for verify in [true, false] {
        let serve = async |mut stream: TcpStream| {
            stream.read_u8().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok();
            hold(stream).await;
        };
        assert_eq!(run_against(check(https(verify)), serve).await, Err("it does not speak TLS".to_owned()));
    }
    let error_text = run_against(quick_check(https(false)), hold).await.unwrap_err();
    assert_eq!(error_text, "no TLS handshake within 150ms");
}

#[tokio::test]
async fn an_unknown_certificate_fails_unless_verification_is_off() {
    let Some(acceptor) = acceptor(&[b"http/1.1"]) else { return };
    let serve = async |stream: TcpStream| {
        let Ok(mut stream) = acceptor.accept(stream).await else { return };
        stream.read_u8().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        stream.shutdown().await.ok();
    };
    assert_eq!(run_against(check(https(false)), &serve).await, Ok(()));
    let error_text = run_against(check(https(true)), &serve).await.unwrap_err();
    assert!(
        error_text.contains("is not trusted") && error_text.contains("SERVICE_CHECK_TLS_SKIP_VERIFY=true"),
        "{error_text}"
    );
}

/// Returns TLS with an untrusted certificate; `None` where openssl is not installed.
pub(super) fn acceptor(alpn: &[&[u8]]) -> Option<tokio_rustls::TlsAcceptor> {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let made = std::process::Command::new("openssl")
        .args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=t"
                .split(' '),
        )
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(path("key"))
        .arg("-out")
        .arg(path("cert"))
        .output();
    let made = match made {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        made => made.unwrap(),
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |name| crate::tls::pem::contents(&path(name)).unwrap();
    let chain = crate::tls::pem::certificates(&read("cert")).unwrap();
    let key = crate::tls::pem::private_key(&read("key")).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Some(std::sync::Arc::new(config).into())
}
