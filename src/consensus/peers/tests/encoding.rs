//! The byte form of messages and frames: encoded bytes are decoded again, and anything else is refused without
//! harm.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use protobuf::{Message as _, ProtobufEnum as _};
use raft::prelude::{ConfChange, ConfChangeType, Entry, EntryType, Message, MessageType};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncRead, ReadBuf};

use super::super::frame::{self, Frame};
use super::super::message_codec::{decode, encode, size};
use super::{append, message};

fn bytes(random: &mut StdRng) -> Vec<u8> {
    let length = random.random_range(0..20);
    (0..length).map(|_| random.random()).collect()
}

fn entry(random: &mut StdRng) -> Entry {
    let mut entry = Entry { term: random.random(), index: random.random(), ..Entry::default() };
    entry.context = bytes(random).into();
    entry.data = bytes(random).into();
    if random.random_range(0..4) == 0 {
        let mut change =
            ConfChange { id: random.random(), node_id: random.random(), ..ConfChange::default() };
        let kinds = [ConfChangeType::AddNode, ConfChangeType::RemoveNode, ConfChangeType::AddLearnerNode];
        change.set_change_type(kinds[random.random_range(0..3)]);
        change.context = bytes(random).into();
        entry.set_entry_type(EntryType::EntryConfChange);
        entry.data = change.write_to_bytes().unwrap().into();
    }
    entry
}

fn any(random: &mut StdRng) -> Message {
    let sent = [2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17, 18];
    let kind = MessageType::from_i32(sent[random.random_range(0..sent.len())]).unwrap();
    let mut message = message(kind, random.random(), random.random());
    message.term = random.random();
    message.log_term = random.random();
    message.index = random.random();
    message.commit = random.random();
    message.commit_term = random.random();
    message.request_snapshot = random.random();
    message.reject = random.random();
    message.reject_hint = random.random();
    message.priority = random.random();
    message.deprecated_priority = random.random();
    message.context = bytes(random).into();
    let count = random.random_range(0..4);
    message.entries = (0..count).map(|_| entry(random)).collect::<Vec<_>>().into();
    if kind == MessageType::MsgSnapshot {
        let snapshot = message.mut_snapshot();
        snapshot.data = bytes(random).into();
        snapshot.mut_metadata().index = random.random();
        snapshot.mut_metadata().term = random.random();
    }
    message
}

fn some(random: &mut StdRng) -> (Vec<Message>, Vec<u8>) {
    let mut out = Vec::new();
    let count = random.random_range(0..4);
    let messages: Vec<_> = (0..count).map(|_| any(random)).collect();
    for message in &messages {
        let before = out.len();
        encode(message, &mut out).unwrap();
        assert!(out.len() - before <= size(message), "{message:?} is longer than its size says");
    }
    (messages, out)
}

#[test]
fn messages_round_trip() {
    for seed in 0..2000 {
        let mut random = StdRng::seed_from_u64(seed);
        let (messages, out) = some(&mut random);
        assert_eq!(decode(&out).unwrap(), messages, "seed {seed}");
    }
}

#[test]
fn a_truncated_message_is_refused() {
    let mut random = StdRng::seed_from_u64(1);
    let mut out = Vec::new();
    encode(&any(&mut random), &mut out).unwrap();
    for length in 1..out.len() {
        assert!(decode(&out[..length]).is_err(), "{length} of {}", out.len());
    }
}

/// `RETUNE_TEST_SEEDS` makes it longer.
#[test]
fn corrupted_messages_are_refused_or_decode_without_harm() {
    let rounds = std::env::var("RETUNE_TEST_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(40_u64);
    for seed in 0..rounds * 500 {
        let mut random = StdRng::seed_from_u64(seed);
        let (_, mut out) = some(&mut random);
        for _ in 0..random.random_range(1..4) {
            match random.random_range(0..4) {
                0 if !out.is_empty() => {
                    let at = random.random_range(0..out.len());
                    out[at] ^= 1 << random.random_range(0..8);
                }
                1 => out.truncate(random.random_range(0..=out.len())),
                2 => out.extend((0..random.random_range(0..300)).map(|_| random.random::<u8>())),
                _ if !out.is_empty() => {
                    let at = random.random_range(0..out.len());
                    out[at] = 0xff;
                }
                _ => {}
            }
        }
        // What can be decoded must also be encodable.
        if let Ok(messages) = decode(&out) {
            let mut again = Vec::new();
            messages.iter().for_each(|message| encode(message, &mut again).unwrap());
            assert_eq!(again, out, "seed {seed}");
        }
        frame::parse(&out).ok();
    }
}

#[test]
fn local_messages_are_refused_from_other_members() {
    for kind in [0, 1, 10, 11, 12] {
        let mut out = Vec::new();
        encode(&message(MessageType::from_i32(kind).unwrap(), 1, 2), &mut out).unwrap();
        assert!(decode(&out).is_err(), "{kind}");
    }
}

#[test]
fn announced_entries_take_no_memory_before_they_arrive() {
    let mut out = Vec::new();
    encode(&message(MessageType::MsgAppend, 1, 2), &mut out).unwrap();
    let end = out.len();
    out[end - 4..].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(decode(&out).unwrap_err().0, "more entries than there is room for");
}

#[test]
fn a_membership_change_of_the_other_version_is_not_sent() {
    let mut message = append(1, 2, 1, 10);
    message.entries[0].set_entry_type(EntryType::EntryConfChangeV2);
    let mut out = vec![1];
    assert!(encode(&message, &mut out).is_err());
    assert_eq!(out, [1]);
}

#[tokio::test]
async fn frames_round_trip_and_a_changed_byte_is_detected() {
    let mut out = Vec::new();
    frame::put_messages(&mut out, -5, &[append(1, 2, 9, 100)]);
    frame::put_ping(&mut out, 7);
    frame::put_pong(&mut out, 8);
    frame::put_snapshot_failed(&mut out, 9);
    frame::put_close(&mut out);
    let mut from = out.as_slice();
    let messages = vec![append(1, 2, 9, 100)];
    let expected = [
        Frame::Messages { time: -5, messages },
        Frame::Ping(7),
        Frame::Pong(8),
        Frame::SnapshotFailed(9),
        Frame::Close,
    ];
    for expected in expected {
        assert_eq!(frame::read(&mut from, None).await.unwrap().unwrap().0, expected);
    }
    assert!(frame::read(&mut from, None).await.unwrap().is_none());
    let length = u32::from_le_bytes(out[..4].try_into().unwrap()) as usize + 8;
    for at in 0..length {
        let mut changed = out[..length].to_vec();
        changed[at] ^= 0x10;
        assert!(frame::read(&mut changed.as_slice(), None).await.is_err(), "byte {at}");
    }
}

/// A TLS stream whose other side ended, after these bytes.
struct Ended(&'static [u8]);

impl AsyncRead for Ended {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            let library = "peer closed connection without sending TLS close_notify: https://docs.rs/rustls";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, library)));
        }
        out.put_slice(std::mem::take(&mut self.0));
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_tls_stream_without_close_notify_is_a_closed_connection() {
    assert!(frame::read(&mut Ended(b""), None).await.unwrap().is_none());
    let error = frame::read(&mut Ended(b"\x09"), None).await.unwrap_err();
    assert_eq!(error.to_string(), "the connection was closed within a frame");
}
