//! Sends a snapshot file to a member that lags behind.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use futures_util::stream;
use hyper::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_RANGE, RANGE,
};
use hyper::{Response, StatusCode};
use tokio::task::spawn_blocking;

use super::directory::{Handshake, HandshakeError};
use super::hub::PeerHub;
use super::pins::PinGuard;
use super::proof::{Call, MAC_BYTES, SnapshotKey};
use crate::http::server::Body;

/// Bytes read and sent at a time; between members with a secret each chunk is followed by its HMAC.
pub(super) const CHUNK_BYTES: u64 = 256 << 10;
/// The header with the length of a complete file whose chunks have HMACs.
pub(super) const LENGTH: &str = "Retune-Length";

/// A file being sent.
struct FileTransfer {
    file: File,
    left: u64,
    hub: Arc<PeerHub>,
    key: Option<SnapshotKey>,
    _held: PinGuard,
}

/// Returns the snapshot of `index`, or the rest that the other side is missing.
pub(super) async fn snapshot(
    hub: &Arc<PeerHub>,
    (handshake, call): (&Handshake, Option<&Call>),
    index: &str,
    headers: &HeaderMap<HeaderValue>,
) -> Result<Response<Body>, HandshakeError> {
    let index = u64::from_str_radix(index, 16).map_err(|_| {
        HandshakeError::new(StatusCode::BAD_REQUEST, "a snapshot is requested by its log index in hex")
    })?;
    // Pinned before the lookup, so that a snapshot that is found stays.
    let mut held = hub.pins.hold(index);
    let path = hub.snapshots.join(format!("{index:016x}.snapshot"));
    let opened = spawn_blocking(move || open(&path)).await;
    let (file, length, tag) = opened.map_err(io::Error::other).flatten().map_err(|error| {
        HandshakeError::new(
            StatusCode::NOT_FOUND,
            format!("the snapshot at log index {index} is missing here: {error}"),
        )
    })?;
    held.served();
    let same = headers.get(IF_RANGE).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let from = headers.get(RANGE).and_then(|value| value.to_str().ok()).and_then(begin);
    let from = from.filter(|from| same && *from < length).unwrap_or(0);
    tracing::info!(
        "sending member {:x} the snapshot at log index {index}: bytes {from} to {length}",
        handshake.from
    );
    let key = call.map(|call| call.snapshot_key(&tag, length));
    let macs = if key.is_some() { (length - from).div_ceil(CHUNK_BYTES) * MAC_BYTES as u64 } else { 0 };
    let size = length - from + macs;
    let sending = FileTransfer { file, left: length - from, hub: Arc::clone(hub), key, _held: held };
    let chunks = stream::try_unfold((sending, from), |(sending, at)| async move { next(sending, at).await });
    let mut response = Response::new(Body::sized_stream(size, chunks));
    if call.is_some() {
        response.headers_mut().insert(LENGTH, HeaderValue::from(length));
    }
    if from > 0 {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {from}-{}/{length}", length - 1);
        response.headers_mut().insert(CONTENT_RANGE, range.parse().expect("digits"));
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ETAG, tag.parse().expect("hex digits in quotes"));
    Ok(response)
}

/// Opens the file; returns it with its length and its checksum, which distinguishes it from another of the same log
/// index.
fn open(path: &std::path::Path) -> io::Result<(File, u64, String)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut sum = [0; 4];
    file.seek(SeekFrom::Start(length.saturating_sub(4)))?;
    file.read_exact(&mut sum)?;
    Ok((file, length, format!("\"{:08x}-{length:x}\"", u32::from_le_bytes(sum))))
}

/// Returns where `bytes=N-` begins.
fn begin(range: &str) -> Option<u64> {
    range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

/// Sends one chunk at the allowed pace.
async fn next(mut sending: FileTransfer, at: u64) -> io::Result<Option<(Bytes, (FileTransfer, u64))>> {
    if sending.left == 0 {
        return Ok(None);
    }
    let length = usize::try_from(sending.left.min(CHUNK_BYTES)).expect("a chunk fits memory");
    sending.hub.rate_limiter.wait(length).await;
    let read = spawn_blocking(move || {
        let mut bytes = vec![0; length];
        sending.file.seek(SeekFrom::Start(at))?;
        sending.file.read_exact(&mut bytes)?;
        if let Some(key) = &sending.key {
            bytes.extend(key.of(at, &bytes));
        }
        Ok::<_, io::Error>((bytes, sending))
    });
    let (bytes, mut sending) = read.await.map_err(io::Error::other)??;
    sending.left -= length as u64;
    sending.hub.served.fetch_add(length as u64, Relaxed);
    Ok(Some((Bytes::from(bytes), (sending, at + length as u64))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_open_ranges_are_accepted() {
        assert_eq!(begin("bytes=17-"), Some(17));
        for odd in ["bytes=-5", "bytes=1-2", "bytes=a-", "17"] {
            assert_eq!(begin(odd), None, "{odd}");
        }
    }
}
