//! The gRPC health protocol: one call of `grpc.health.v1.Health/Check`.
//!
//! Its two messages have one field each, so this file encodes and decodes them by hand.

use bytes::{BufMut, Bytes, BytesMut};
use h2::{Reason, RecvStream};
use hyper::header::{CONTENT_TYPE, HeaderMap, TE, USER_AGENT};
use hyper::{Method, Request, StatusCode, Version};

use super::CheckTarget;
use super::net::{CHECK_USER_AGENT, CheckStage, innermost, open, uri};
use crate::http::client::drive;

const PATH: &str = "/grpc.health.v1.Health/Check";
const MAX_HEAD_BYTES: u32 = 16 << 10;
/// The longest accepted response; a normal one takes seven bytes.
const MAX_RESPONSE_BYTES: usize = 4096;
/// The names of gRPC's status codes; the index is the code.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
const SERVING: u64 = 1;

/// `tls`: whether to use TLS, and whether to verify the certificate.
pub(super) async fn probe(
    service: &str,
    target: &CheckTarget,
    tls: Option<bool>,
    stage: &CheckStage,
) -> Result<(), String> {
    let stream = open(target, tls, b"h2", stage).await?;
    stage.now("gRPC response");
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(uri(target, PATH)?)
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(USER_AGENT, CHECK_USER_AGENT)
        .body(())
        .map_err(|error| format!("cannot build the request: {error}"))?;
    let (sender, connection) = h2::client::Builder::new()
        .enable_push(false)
        .max_header_list_size(MAX_HEAD_BYTES)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(|error| describe_error(&error))?;
    let answer = async {
        let mut sender = sender.ready().await.map_err(|error| describe_error(&error))?;
        let (response, mut stream) =
            sender.send_request(request, false).map_err(|error| describe_error(&error))?;
        stream.send_data(encode_request(service), true).map_err(|error| describe_error(&error))?;
        let response = response.await.map_err(|error| describe_error(&error))?;
        if response.status() != StatusCode::OK {
            return Err(format!("returned {}, which is not gRPC", response.status()));
        }
        // An error may come without a message, in the response headers alone.
        if let Some(code) = code(response.headers()) {
            check_status(code, service)?;
        }
        let (message, trailers) = rest(response.into_body()).await?;
        match trailers.as_ref().and_then(code) {
            Some(code) => check_status(code, service)?,
            None => return Err("its response has no grpc-status".to_owned()),
        }
        status(&message)
    };
    drive(answer, Box::pin(connection)).await
}

/// Returns the framed request: an uncompressed flag, the length, and the service name in field 1.
pub(super) fn encode_request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put(message);
    framed.freeze()
}

async fn rest(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), String> {
    let mut message = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|error| describe_error(&error))?;
        if message.len() + piece.len() > MAX_RESPONSE_BYTES {
            return Err("its response is too long for the health protocol".to_owned());
        }
        message.extend_from_slice(&piece);
    }
    let trailers = body.trailers().await.map_err(|error| describe_error(&error))?;
    Ok((message, trailers))
}

fn code(headers: &HeaderMap) -> Option<&str> {
    headers.get("grpc-status").map(|value| value.to_str().unwrap_or("?"))
}

fn check_status(code: &str, service: &str) -> Result<(), String> {
    let number = code.parse::<usize>().ok();
    let name = number.and_then(|number| CODES.get(number)).copied();
    match name {
        Some("OK") => Ok(()),
        Some("NOT_FOUND") => Err(format!("returned NOT_FOUND: it has no service {service:?}")),
        Some("UNIMPLEMENTED") => Err("returned UNIMPLEMENTED: it has no grpc.health.v1.Health".to_owned()),
        Some(name) => Err(format!("returned {name}")),
        None => Err("returned an unknown grpc-status".to_owned()),
    }
}

/// Reads the serving status from a framed `HealthCheckResponse`.
pub(super) fn status(framed: &[u8]) -> Result<(), String> {
    let read = match framed.split_first_chunk::<5>() {
        Some((&[0, a, b, c, d], message)) if u32::from_be_bytes([a, b, c, d]) as usize == message.len() => {
            first_field(message)
        }
        _ => None,
    };
    match read {
        Some(SERVING) => Ok(()),
        Some(0) => Err("returned UNKNOWN".to_owned()),
        Some(2) => Err("returned NOT_SERVING".to_owned()),
        Some(3) => Err("returned SERVICE_UNKNOWN".to_owned()),
        Some(other) => Err(format!("returned the unknown status {other}")),
        None => Err("its response is not of the health protocol".to_owned()),
    }
}

/// Returns field 1 as a number, or 0 when it is missing; skips other fields. `None`: this is not a message.
fn first_field(mut message: &[u8]) -> Option<u64> {
    let mut found = 0;
    while !message.is_empty() {
        let tag = number(&mut message)?;
        match (tag >> 3, tag & 7) {
            (1, 0) => found = number(&mut message)?,
            (_, 0) => drop(number(&mut message)?),
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(number(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(found)
}

/// Reads a protobuf varint: seven bits per byte.
fn number(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn describe_error(error: &h2::Error) -> String {
    if error.is_library() && matches!(error.reason(), Some(Reason::FRAME_SIZE_ERROR | Reason::PROTOCOL_ERROR))
    {
        return "no gRPC response: it does not speak HTTP/2".to_owned();
    }
    format!("no gRPC response: {}", innermost(error))
}
