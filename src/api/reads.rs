//! Reads of keys, and the memory that their responses take.
//!
//! A large response stays in memory until its client has taken it. So clients that ask for the same at the same index
//! share one copy, and a response for which there is no room waits until others are sent.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use tokio::time::{Instant, timeout_at};

use super::large_reads::LargeRead;
use super::render::{self, Depth, Rendered};
use super::respond::{self, ApiResponse, Rejection, refused, with_indexes};
use super::shared::ConnState;
use crate::http::server::{Body, ClientShare, HeldResponse};
use crate::keyspace::{Keyspace, NodeKind, NodeView, Time};
use crate::protocol::Params;

/// A response of at most this size needs no room: it costs about as much as its connection.
pub(super) const SMALL_RESPONSE_BYTES: usize = 64 << 10;
/// How long a response may wait for room.
const ROOM_TIMEOUT: Duration = Duration::from_secs(30);
/// What a directory is assumed to take before it was listed. Too low costs the memory of one listing more; too high would
/// refuse small listings to a client whose address holds large ones.
const UNKNOWN_LISTING_BYTES: usize = 1 << 20;
/// The largest buffer reserved on an estimate.
const MAX_INITIAL_CAPACITY: usize = 32 << 20;

/// The result of an attempt to read a key.
enum ReadAttempt {
    Small(Vec<u8>),
    Large(HeldResponse),
    /// There is no room for a response of about this size.
    NoRoom(usize),
}

/// Reads a key, or lists a directory.
pub(super) async fn read(conn: &ConnState, key: &[u8], params: &Params) -> Result<ApiResponse, Rejection> {
    let handle = &conn.shared.handle;
    let depth = if params.recursive { Depth::All } else { Depth::Children };
    conn.shared.counters.read(params.recursive);
    let mut deadline = None;
    loop {
        let now = handle.now();
        let found = handle.view(|keyspace| {
            // Counted once, however often it is tried.
            let view = if deadline.is_none() { keyspace.get(key)? } else { keyspace.peek(key)? };
            Ok((attempt(conn, keyspace, key, view, (depth, now)), keyspace.index()))
        });
        let (body, index) = match found.map_err(refused)? {
            (ReadAttempt::Small(text), index) => (Bytes::from(text), index),
            (ReadAttempt::Large(text), index) => (text.into(), index),
            (ReadAttempt::NoRoom(bytes), _) => {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + ROOM_TIMEOUT);
                timeout_at(deadline, conn.responses().room(bytes)).await.map_err(|_| no_room())?;
                continue;
            }
        };
        return Ok(with_indexes(respond::json(StatusCode::OK, body), index, handle.position()));
    }
}

/// Renders the response, or finds a copy of it.
fn attempt(
    conn: &ConnState,
    keyspace: &Keyspace,
    key: &[u8],
    view: NodeView<'_>,
    (depth, now): (Depth, Time),
) -> ReadAttempt {
    let reads = &conn.shared.large_reads;
    let is_file = view.kind() == NodeKind::File;
    if is_file && view.value().is_none_or(|value| value.len() <= SMALL_RESPONSE_BYTES) {
        return ReadAttempt::Small(render::node(key, view, depth, now, 0, usize::MAX).text);
    }
    let index = keyspace.index();
    let (same, length) = reads.find(key, depth, index, now);
    if let Some(same) = same {
        return ReadAttempt::Large(same);
    }
    let expected = length.unwrap_or_else(|| view.value().map_or(UNKNOWN_LISTING_BYTES, |value| value.len()));
    let share: ClientShare = conn.responses();
    let limit = if share.has_room(expected) { usize::MAX } else { SMALL_RESPONSE_BYTES };
    // The next large listing is probably of the same tree, and growing a buffer to its size would copy it
    // repeatedly.
    let capacity = if depth == Depth::All { reads.listed.load(Relaxed).min(limit) } else { 0 };
    let Rendered { text, valid_until, whole } = render::node(key, view, depth, now, capacity, limit);
    if !whole {
        return ReadAttempt::NoRoom(expected);
    }
    if depth == Depth::All && !is_file {
        reads.listed.store((text.len() + text.len() / 16).min(MAX_INITIAL_CAPACITY), Relaxed);
    }
    if text.len() <= SMALL_RESPONSE_BYTES {
        return ReadAttempt::Small(trimmed(text));
    }
    let held = share.hold(text);
    let length = held.as_ref().len();
    reads.remember(LargeRead { key: key.into(), depth, index, valid_until, length, text: held.downgrade() });
    ReadAttempt::Large(held)
}

/// Returns a small text without the large buffer that was reserved for it.
fn trimmed(mut text: Vec<u8>) -> Vec<u8> {
    if text.capacity() > SMALL_RESPONSE_BYTES {
        text.shrink_to_fit();
    }
    text
}

/// Waits before a write whose response may be large: it contains the `given` values and the present one, also when the
/// write is refused.
pub(super) async fn write_room(conn: &ConnState, key: &[u8], given: usize) -> Result<(), Rejection> {
    if !conn.shared.context.is_response_memory_scarce() {
        return Ok(());
    }
    let present = conn.shared.handle.view(|keyspace| {
        keyspace.peek(key).ok().and_then(|view| view.value().map(|value| value.len())).unwrap_or_default()
    });
    let bytes = given + present;
    if bytes <= SMALL_RESPONSE_BYTES {
        return Ok(());
    }
    let deadline = Instant::now() + ROOM_TIMEOUT;
    timeout_at(deadline, conn.responses().room(bytes)).await.map_err(|_| no_room())
}

/// Counts the memory of a response, unless it is small.
pub(super) fn counted(conn: &ConnState, text: Vec<u8>) -> Bytes {
    if text.len() <= SMALL_RESPONSE_BYTES { Bytes::from(text) } else { conn.responses().hold(text).into() }
}

/// Counts the memory of an error. Its cause may be a whole value or key.
pub(super) fn counted_error(conn: &ConnState, mut response: ApiResponse) -> ApiResponse {
    let Body::Full(text) = response.body_mut() else { return response };
    if text.len() <= SMALL_RESPONSE_BYTES {
        return response;
    }
    if !conn.responses().has_room(text.len()) {
        return no_room().to_response();
    }
    *text = counted(conn, Vec::from(std::mem::take(text)));
    response
}

fn no_room() -> Rejection {
    let says = "too many large responses are being sent; try again later";
    Rejection::Message(StatusCode::SERVICE_UNAVAILABLE, says.into())
}
