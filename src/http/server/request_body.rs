//! Reads request bodies up to a limit, or discards them.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use super::context::{BodyReservation, ServerContext};

/// The longest pause within a body.
const BODY_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of an unwanted body is read and discarded. If the connection closed while the client still sends, the
/// response would be lost; that only happens to clients that send more than this.
const MAX_DISCARDED_BYTES: usize = 64 << 20;

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It is longer than allowed.
    TooLarge,
    /// Too many bodies are in memory already.
    MemoryLimit,
    /// It was cut off, stalled, or violates HTTP's framing.
    Broken,
}

/// A body, with the reservation of its memory: keep it as long as anything made from it.
#[derive(Debug, Default)]
pub(crate) struct BufferedBody<'s> {
    pub(crate) bytes: Bytes,
    _reservation: Option<BodyReservation<'s>>,
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn take(
    mut body: Incoming,
    limit: usize,
    context: &ServerContext,
) -> Result<BufferedBody<'_>, BodyError> {
    if body.is_end_stream() {
        return Ok(BufferedBody::default());
    }
    if body.size_hint().lower() > limit as u64 {
        read_to_end(body).await?;
        return Err(BodyError::TooLarge);
    }
    let Some(first) = frame(&mut body).await? else { return Ok(BufferedBody::default()) };
    // The usual case: the body arrived together with the head and needs no own buffer.
    if body.is_end_stream() && first.len() <= limit {
        return Ok(BufferedBody { bytes: first, _reservation: None });
    }
    let mut reservation = context.reserve(first.len()).ok_or(BodyError::MemoryLimit)?;
    let mut all = BytesMut::from(first);
    while let Some(data) = frame(&mut body).await? {
        if all.len() + data.len() > limit {
            drop(all);
            read_to_end(body).await?;
            return Err(BodyError::TooLarge);
        }
        if !reservation.grow(data.len()) {
            return Err(BodyError::MemoryLimit);
        }
        all.extend_from_slice(&data);
    }
    Ok(BufferedBody { bytes: all.freeze(), _reservation: Some(reservation) })
}

/// Discards an unneeded body, so that the connection can be used again. If that fails, the connection closes after
/// the response.
pub(crate) async fn discard(body: Incoming) {
    read_to_end(body).await.ok();
}

/// Reads a body and discards it.
pub(crate) async fn read_to_end(mut body: Incoming) -> Result<(), BodyError> {
    let mut seen = 0;
    while !body.is_end_stream() && seen < MAX_DISCARDED_BYTES {
        match frame(&mut body).await? {
            Some(data) => seen += data.len(),
            None => break,
        }
    }
    Ok(())
}

/// Returns the next piece of data; trailers are skipped.
async fn frame(body: &mut Incoming) -> Result<Option<Bytes>, BodyError> {
    loop {
        match timeout(BODY_STALL_TIMEOUT, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) | Err(_) => return Err(BodyError::Broken),
        }
    }
}
