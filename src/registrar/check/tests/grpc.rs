//! The gRPC health check, against a test server.

use bytes::Bytes;
use h2::server::SendResponse;
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::grpc::{encode_request, status};
use super::*;

fn health(name: &str) -> CheckKind {
    CheckKind::Grpc { tls: false, verify: true, service: name.to_owned() }
}

/// What a server does with a call.
#[derive(Clone, Copy)]
enum Reply {
    /// A message, and a status in the trailers.
    Message(&'static [u8], &'static str),
    /// A message and no trailers.
    Bare(&'static [u8]),
    /// A status in the response headers alone.
    Head(u16, &'static str),
    /// Endless messages.
    Endless,
    Silence,
}

const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];

/// Serves one connection; the requested service must be `name`.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, name: &str, reply: Reply) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let Some(Ok((request, respond))) = connection.accept().await else { return };
    let (name, replied) = (name.to_owned(), reply_to(request, respond, reply));
    tokio::join!(async { assert_eq!(replied.await, encode_request(&name)) }, async {
        while connection.accept().await.is_some() {}
    });
}

async fn reply_to(request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>, reply: Reply) -> Bytes {
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(request.headers()["content-type"], "application/grpc");
    assert_eq!(request.headers()["te"], "trailers");
    let asked = request.into_body().data().await.unwrap().unwrap();
    let head = || Response::builder().header("content-type", "application/grpc");
    match reply {
        Reply::Message(message, code) => {
            let mut stream = respond.send_response(head().body(()).unwrap(), false).unwrap();
            stream.send_data(Bytes::from_static(message), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", code.parse().unwrap());
            stream.send_trailers(trailers).unwrap();
        }
        Reply::Bare(message) => {
            let mut stream = respond.send_response(head().body(()).unwrap(), false).unwrap();
            stream.send_data(Bytes::from_static(message), true).unwrap();
        }
        Reply::Head(status, code) => {
            let head = head().status(status).header("grpc-status", code).body(()).unwrap();
            respond.send_response(head, true).unwrap();
        }
        Reply::Endless => {
            let mut stream = respond.send_response(head().body(()).unwrap(), false).unwrap();
            while stream.send_data(Bytes::from_static(&[0; 1024]), false).is_ok() {
                tokio::task::yield_now().await;
            }
        }
        Reply::Silence => std::future::pending().await,
    }
    asked
}

async fn replied(reply: Reply) -> Result<(), String> {
    run_against(check(health("")), async |stream| serve(stream, "", reply).await).await
}

fn failed(words: &str) -> Result<(), String> {
    Err(words.to_owned())
}

#[tokio::test]
async fn serving_passes_and_other_states_are_named() {
    assert_eq!(replied(Reply::Message(SERVING, "0")).await, Ok(()));
    let error_text = |status: &'static [u8]| replied(Reply::Message(status, "0"));
    assert_eq!(error_text(&[0, 0, 0, 0, 2, 8, 2]).await, failed("returned NOT_SERVING"));
    assert_eq!(error_text(&[0, 0, 0, 0, 2, 8, 3]).await, failed("returned SERVICE_UNKNOWN"));
    assert_eq!(error_text(&[0, 0, 0, 0, 0]).await, failed("returned UNKNOWN"));
}

#[tokio::test]
async fn the_service_name_is_sent() {
    let long = "x".repeat(300);
    for name in ["shop.v1.Carts", &long] {
        let serve = async |stream| serve(stream, name, Reply::Message(SERVING, "0")).await;
        assert_eq!(run_against(check(health(name)), serve).await, Ok(()));
    }
}

#[tokio::test]
async fn a_grpc_status_other_than_ok_fails_in_headers_and_trailers() {
    let message = |code| replied(Reply::Message(SERVING, code));
    assert_eq!(message("14").await, failed("returned UNAVAILABLE"));
    assert_eq!(message("99").await, failed("returned an unknown grpc-status"));
    let head = |status, code| replied(Reply::Head(status, code));
    assert_eq!(head(200, "5").await, failed("returned NOT_FOUND: it has no service \"\""));
    assert_eq!(head(200, "12").await, failed("returned UNIMPLEMENTED: it has no grpc.health.v1.Health"));
    assert_eq!(head(404, "0").await, failed("returned 404 Not Found, which is not gRPC"));
    assert!(head(200, "0").await.is_err(), "there was no message");
    assert_eq!(replied(Reply::Bare(SERVING)).await, failed("its response has no grpc-status"));
}

#[tokio::test]
async fn silence_and_endless_replies_end_at_the_deadline() {
    let silent = async |stream| serve(stream, "", Reply::Silence).await;
    assert_eq!(run_against(quick_check(health("")), silent).await, failed("no gRPC response within 150ms"));
    assert_eq!(run_against(quick_check(health("")), hold).await, failed("no gRPC response within 150ms"));
    let endless = replied(Reply::Endless).await;
    assert_eq!(endless, failed("its response is too long for the health protocol"));
}

#[tokio::test]
async fn a_server_that_does_not_speak_grpc_fails_at_once() {
    let http1 = async |stream| answer(stream, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    let error_text = run_against(check(health("")), http1).await;
    assert_eq!(error_text, failed("no gRPC response: it does not speak HTTP/2"));
    for error_text in [
        run_against(check(health("")), async |stream| drop(stream)).await,
        run_against(check(health("")), reset_later).await,
    ] {
        let error_text = error_text.unwrap_err();
        assert!(error_text.starts_with("no gRPC response: "), "{error_text}");
    }
}

#[tokio::test]
async fn over_tls_http2_is_negotiated_by_alpn() {
    let kind = |verify| check(CheckKind::Grpc { tls: true, verify, service: String::new() });
    let Some(acceptor) = http::acceptor(&[b"h2"]) else { return };
    let tls = async |stream: TcpStream| {
        let Ok(stream) = acceptor.accept(stream).await else { return };
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        serve(stream, "", Reply::Message(SERVING, "0")).await;
    };
    assert_eq!(run_against(kind(false), &tls).await, Ok(()));
    let error_text = run_against(kind(true), &tls).await.unwrap_err();
    assert!(error_text.contains("is not trusted"), "{error_text}");
    let Some(other) = http::acceptor(&[b"http/1.1"]) else { return };
    let serve_other = async |stream: TcpStream| drop(other.accept(stream).await);
    assert!(run_against(kind(false), serve_other).await.unwrap_err().starts_with("no TLS: "));
}

#[test]
fn the_request_is_encoded_byte_for_byte() {
    assert_eq!(encode_request(""), [0, 0, 0, 0, 0][..]);
    assert_eq!(encode_request("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b'][..]);
    let long = encode_request(&"x".repeat(300));
    assert_eq!((&long[..9], long.len()), (&[0, 0, 0, 1, 0x2f, 0x0a, 0xac, 2, b'x'][..], 308));
}

#[test]
fn replies_are_decoded_byte_for_byte_and_invalid_ones_are_rejected() {
    for framed in [
        SERVING,
        &[0, 0, 0, 0, 4, 8, 2, 8, 1],             // the last one counts
        &[0, 0, 0, 0, 6, 0x12, 2, 8, 2, 8, 1],    // another field before it
        &[0, 0, 0, 0, 7, 8, 1, 0x1d, 1, 2, 3, 4], // four bytes after it
        &[0, 0, 0, 0, 3, 8, 0x81, 0],             // longer than it needs to be
    ] {
        assert_eq!(status(framed), Ok(()), "{framed:?}");
    }
    for framed in [
        &[][..],
        &[0, 0, 0, 0],
        &[1, 0, 0, 0, 2, 8, 1], // compressed
        &[0, 0, 0, 0, 3, 8, 1], // cut
        &[0, 0, 0, 0, 1, 8, 1], // longer than its stated length
        &[0, 0, 0, 0, 1, 8],
        &[0, 0, 0, 0, 2, 8, 0x81],
        &[0, 0, 0, 0, 2, 0x12, 9],
        &[0, 0, 0, 0, 2, 0x0b, 1],
        &[0, 0, 0, 0, 12, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255],
        &[0, 255, 255, 255, 255, 8, 1],
    ] {
        assert_eq!(status(framed), failed("its response is not of the health protocol"), "{framed:?}");
    }
    assert_eq!(status(&[0, 0, 0, 0, 2, 8, 9]), failed("returned the unknown status 9"));
}
