//! The HTTP check: whether a request gets a response, and with which status.

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, HOST, USER_AGENT};

use super::CheckTarget;
use super::net::{CHECK_USER_AGENT, CheckStage, innermost, open, uri};
use crate::http::client;
use crate::registrar::service::address;

/// The longest accepted response head.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How much of the body is read.
const MAX_BODY_BYTES: usize = 64 << 10;

/// The request to send.
#[derive(Debug)]
pub(super) struct HttpProbe<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Accept any status, and do not read the body.
    pub(super) any_status: bool,
}

/// `tls`: whether to use TLS, and whether to verify the certificate.
pub(super) async fn probe(
    probe: &HttpProbe<'_>,
    target: &CheckTarget,
    tls: Option<bool>,
    stage: &CheckStage,
) -> Result<(), String> {
    let request = request(probe, target)?;
    let stream = open(target, tls, b"http/1.1", stage).await?;
    stage.now("HTTP response");
    let answer = client::exchange(stream, MAX_HEAD_BYTES, request, async |response| {
        let status = response.status();
        if probe.any_status {
            return Ok(());
        }
        if !(200..400).contains(&status.as_u16()) {
            return Err(format!("returned {status}"));
        }
        stage.now("end of the response");
        let read = client::read_prefix(response.into_body(), MAX_BODY_BYTES).await;
        read.map(drop).map_err(|error| format!("its response broke off: {}", innermost(&error)))
    });
    answer.await.map_err(|error| describe_error(&error))?
}

fn request(probe: &HttpProbe<'_>, target: &CheckTarget) -> Result<Request<Empty<Bytes>>, String> {
    let whole = uri(target, probe.path)?;
    let path = whole.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder()
        .method(probe.method)
        .uri(path)
        .header(HOST, address(&target.host, target.port))
        .header(USER_AGENT, CHECK_USER_AGENT)
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close");
    if probe.method == "POST" {
        request = request.header(CONTENT_LENGTH, 0);
    }
    request.body(Empty::new()).map_err(|error| format!("cannot build the request: {error}"))
}

fn describe_error(error: &hyper::Error) -> String {
    if error.is_parse_too_large() {
        return "no HTTP response: its head is too long".to_owned();
    }
    if error.is_parse() {
        return "no HTTP response: it speaks another protocol".to_owned();
    }
    if error.is_incomplete_message() {
        return "no HTTP response: the connection was accepted and closed".to_owned();
    }
    format!("no HTTP response: {}", innermost(error))
}
