//! The frames of a stream: length, checksum, kind and content; between members with a secret also an HMAC.

use std::io;
use std::time::Duration;

use raft::prelude::Message;
use tokio::io::{AsyncRead, AsyncReadExt as _, BufReader};
use tokio::time::timeout;

use super::message_codec;
use super::proof::{FrameKey, MAC_BYTES};
use crate::keyspace::Time;

/// The longest frame that is accepted.
pub(super) const MAX_FRAME_BYTES: usize = 32 << 20;
/// The usual size at which messages are split into frames, so that none waits long for the previous one.
pub(super) const TARGET_FRAME_BYTES: usize = 1 << 20;
/// Length and checksum.
pub(super) const HEADER_BYTES: usize = 8;
/// The read size: most frames are shorter and take one system call.
const READ_BUFFER_BYTES: usize = 16 << 10;
/// The rest of a frame must arrive within this time.
const FRAME_TIMEOUT: Duration = Duration::from_secs(30);

const MESSAGES: u8 = 1;
const PING: u8 = 2;
const PONG: u8 = 3;
const SNAPSHOT_FAILED: u8 = 4;
const CLOSE: u8 = 5;

/// One frame.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    /// Messages, with the sender's clock.
    Messages { time: Time, messages: Vec<Message> },
    /// Requests a pong.
    Ping(u64),
    /// The reply to a ping; the only frame sent against the stream's direction.
    Pong(u64),
    /// The sender gave up on the snapshot of this log index.
    SnapshotFailed(u64),
    /// The sender is stopping.
    Close,
}

/// A frame that is being appended to a buffer.
struct FrameWriter<'b> {
    out: &'b mut Vec<u8>,
    start: usize,
}

impl<'b> FrameWriter<'b> {
    fn begin(out: &'b mut Vec<u8>, kind: u8) -> Self {
        let start = out.len();
        out.extend([0; HEADER_BYTES]);
        out.push(kind);
        Self { out, start }
    }

    fn end(self) {
        let body = self.start + HEADER_BYTES;
        let length = (self.out.len() - body) as u32;
        let sum = crc32fast::hash(&self.out[body..]);
        self.out[self.start..self.start + 4].copy_from_slice(&length.to_le_bytes());
        self.out[self.start + 4..body].copy_from_slice(&sum.to_le_bytes());
    }
}

fn put_number(out: &mut Vec<u8>, kind: u8, number: u64) {
    let frame = FrameWriter::begin(out, kind);
    frame.out.extend(number.to_le_bytes());
    frame.end();
}

pub(super) fn put_ping(out: &mut Vec<u8>, nonce: u64) {
    put_number(out, PING, nonce);
}

pub(super) fn put_pong(out: &mut Vec<u8>, nonce: u64) {
    put_number(out, PONG, nonce);
}

pub(super) fn put_snapshot_failed(out: &mut Vec<u8>, index: u64) {
    put_number(out, SNAPSHOT_FAILED, index);
}

pub(super) fn put_close(out: &mut Vec<u8>) {
    FrameWriter::begin(out, CLOSE).end();
}

/// Writes messages as one frame. Those without a byte form are skipped and logged.
pub(super) fn put_messages(out: &mut Vec<u8>, time: Time, messages: &[Message]) {
    let frame = FrameWriter::begin(out, MESSAGES);
    frame.out.extend(time.to_le_bytes());
    for message in messages {
        if let Err(error) = message_codec::encode(message, frame.out) {
            tracing::error!("a message of kind {:?} could not be sent: {error}", message.get_msg_type());
        }
    }
    frame.end();
}

/// Writes one frame by `put`, and its HMAC if the stream has a key.
pub(super) fn put_sealed(out: &mut Vec<u8>, key: Option<&mut FrameKey>, put: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put(out);
    if let Some(key) = key {
        key.seal(out, start);
    }
}

/// Wraps a stream in a buffer of that size.
pub(super) fn ahead<R: AsyncRead>(from: R) -> BufReader<R> {
    BufReader::with_capacity(READ_BUFFER_BYTES, from)
}

/// Reads one frame. Returns `None` when the stream ended between two frames. The caller sets the deadline for its
/// start. With a key, nothing of a frame is used before its HMAC was verified.
///
/// # Errors
/// The stream broke, the bytes are not a frame, or its HMAC does not match.
pub(super) async fn read(
    from: &mut (impl AsyncRead + Unpin),
    key: Option<&mut FrameKey>,
) -> io::Result<Option<(Frame, usize)>> {
    let mut head = [0; HEADER_BYTES];
    match from.read(&mut head[..1]).await {
        Ok(0) => Ok(None),
        // A process that exits sends no close_notify.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
        Ok(_) => match timeout(FRAME_TIMEOUT, read_rest(from, head, key)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(io::Error::new(error.kind(), "the connection was closed within a frame"))
            }
            Ok(read) => read,
            Err(_) => Err(bad("a frame was not completed in time")),
        },
    }
}

async fn read_rest(
    from: &mut (impl AsyncRead + Unpin),
    mut head: [u8; HEADER_BYTES],
    key: Option<&mut FrameKey>,
) -> io::Result<Option<(Frame, usize)>> {
    from.read_exact(&mut head[1..]).await?;
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
    let (length, sum) = (number(&head[..4]) as usize, number(&head[4..]));
    if length == 0 || length > MAX_FRAME_BYTES {
        return Err(bad("a frame is too long"));
    }
    // Beyond that it grows with the received bytes, not with the announced length.
    let mut body = Vec::with_capacity(length.min(READ_BUFFER_BYTES));
    (&mut *from).take(length as u64).read_to_end(&mut body).await?;
    if body.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut size = HEADER_BYTES + length;
    if let Some(key) = key {
        let mut mac = [0; MAC_BYTES];
        from.read_exact(&mut mac).await?;
        size += MAC_BYTES;
        if !key.verifies(&head, &body, &mac) {
            return Err(bad(
                "a frame is not from the other member: somebody on the way changes or inserts data",
            ));
        }
    }
    if crc32fast::hash(&body) != sum {
        return Err(bad("a frame's checksum does not match: bytes were changed in transit"));
    }
    Ok(Some((parse(&body)?, size)))
}

/// Decodes a frame's kind and content.
pub(super) fn parse(body: &[u8]) -> io::Result<Frame> {
    let (kind, rest) = body.split_first().ok_or_else(|| bad("an empty frame"))?;
    let number = || {
        let bytes = rest.try_into().map_err(|_| bad("a frame has a wrong length"))?;
        Ok::<_, io::Error>(u64::from_le_bytes(bytes))
    };
    match *kind {
        MESSAGES => {
            let (time, rest) = rest.split_first_chunk().ok_or_else(|| bad("a frame has a wrong length"))?;
            let messages = message_codec::decode(rest).map_err(|error| bad(error.0))?;
            Ok(Frame::Messages { time: Time::from_le_bytes(*time), messages })
        }
        PING => Ok(Frame::Ping(number()?)),
        PONG => Ok(Frame::Pong(number()?)),
        SNAPSHOT_FAILED => Ok(Frame::SnapshotFailed(number()?)),
        CLOSE if rest.is_empty() => Ok(Frame::Close),
        _ => Err(bad("a kind of frame that this version does not know")),
    }
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
