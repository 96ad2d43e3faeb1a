//! Request bodies: taken in up to a bound, or read off and thrown away.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use super::shared::{Reserved, ServerContext};

/// How long a body may pause.
const BODY_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of an unwanted body is read off. An answer that is sent while the client still sends would be
/// lost with the connection; a client that sends more than this has it so.
const MAX_DISCARDED_BYTES: usize = 64 << 20;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It is longer than allowed.
    TooLarge,
    /// Too many bodies are in memory already.
    NoRoom,
    /// It broke off, stood still, or was not framed as HTTP says.
    Broken,
}

/// A body, with the memory that it takes up: to be kept while what was made of it is.
#[derive(Debug, Default)]
pub(super) struct BufferedBody<'s> {
    pub(super) bytes: Bytes,
    _room: Option<Reserved<'s>>,
}

/// Takes in a body of at most `limit` bytes.
pub(super) async fn take(
    mut body: Incoming,
    limit: usize,
    context: &ServerContext,
) -> Result<BufferedBody<'_>, BodyError> {
    if body.is_end_stream() {
        return Ok(BufferedBody::default());
    }
    if body.size_hint().lower() > limit as u64 {
        read_off(body).await?;
        return Err(BodyError::TooLarge);
    }
    let Some(first) = frame(&mut body).await? else { return Ok(BufferedBody::default()) };
    // The usual case: the body came along with the head and needs no buffer of its own.
    if body.is_end_stream() && first.len() <= limit {
        return Ok(BufferedBody { bytes: first, _room: None });
    }
    let mut room = context.reserve(first.len()).ok_or(BodyError::NoRoom)?;
    let mut all = BytesMut::from(first);
    while let Some(data) = frame(&mut body).await? {
        if all.len() + data.len() > limit {
            drop(all);
            read_off(body).await?;
            return Err(BodyError::TooLarge);
        }
        if !room.grow(data.len()) {
            return Err(BodyError::NoRoom);
        }
        all.extend_from_slice(&data);
    }
    Ok(BufferedBody { bytes: all.freeze(), _room: Some(room) })
}

/// Reads a body off without keeping it.
pub(super) async fn read_off(mut body: Incoming) -> Result<(), BodyError> {
    let mut seen = 0;
    while !body.is_end_stream() && seen < MAX_DISCARDED_BYTES {
        match frame(&mut body).await? {
            Some(data) => seen += data.len(),
            None => break,
        }
    }
    Ok(())
}

/// The next piece of data; trailers are passed over.
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
