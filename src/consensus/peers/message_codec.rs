//! The byte form of raft's messages, which is our own: fixed-size numbers, little endian, each text after its
//! length.
//!
//! The library's own decoder never reads bytes from the network. A membership change, which raft stores in the
//! library's encoding, is sent as its fields and encoded again by the receiver.

use protobuf::{Message as _, ProtobufEnum as _};
use raft::prelude::{ConfChange, ConfChangeType, Entry, EntryType, Message, MessageType};

use super::super::entry::{DecodeError, FieldReader};

/// The oldest and the newest version of the encoding that this program speaks.
pub(super) const OLDEST_VERSION: u32 = 1;
pub(super) const NEWEST_VERSION: u32 = 1;

/// The longest data of a membership change, and the longest extra of a snapshot announcement.
const MAX_SMALL_BYTES: usize = 64 << 10;
/// The size of a message without its variable parts, for the limits of queues.
const MESSAGE_OVERHEAD_BYTES: usize = 110;
/// The size of an entry without its variable parts.
const ENTRY_OVERHEAD_BYTES: usize = 25;

const REJECT_FLAG: u8 = 1;
const SNAPSHOT_FLAG: u8 = 2;

/// Returns an upper bound of a message's size in bytes.
pub(super) fn size(message: &Message) -> usize {
    let entries =
        message.entries.iter().map(|entry| ENTRY_OVERHEAD_BYTES + entry.data.len() + entry.context.len());
    let snapshot = if message.has_snapshot() { 20 + message.get_snapshot().data.len() } else { 0 };
    MESSAGE_OVERHEAD_BYTES + message.context.len() + snapshot + entries.sum::<usize>()
}

/// Appends a message to `out`.
///
/// # Errors
/// The message has no byte form. `out` is unchanged.
pub(super) fn encode(message: &Message, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let before = out.len();
    let put = put_message(message, out);
    if put.is_err() {
        out.truncate(before);
    }
    put
}

fn put_message(message: &Message, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let kind = u8::try_from(message.get_msg_type().value()).map_err(|_| DecodeError("a kind of message"))?;
    let snapshot = message.get_msg_type() == MessageType::MsgSnapshot;
    let flags = if message.reject { REJECT_FLAG } else { 0 } | if snapshot { SNAPSHOT_FLAG } else { 0 };
    out.extend([kind, flags]);
    let numbers = [
        message.to,
        message.from,
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.request_snapshot,
        message.reject_hint,
        message.priority.cast_unsigned(),
        message.deprecated_priority,
    ];
    for number in numbers {
        out.extend(number.to_le_bytes());
    }
    put_bytes(out, &message.context)?;
    if snapshot {
        let snapshot = message.get_snapshot();
        if snapshot.data.len() > MAX_SMALL_BYTES {
            return Err(DecodeError("a snapshot's announcement is too long"));
        }
        out.extend(snapshot.get_metadata().index.to_le_bytes());
        out.extend(snapshot.get_metadata().term.to_le_bytes());
        put_bytes(out, &snapshot.data)?;
    }
    put_count(out, message.entries.len())?;
    message.entries.iter().try_for_each(|entry| put_entry(entry, out))
}

fn put_entry(entry: &Entry, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    match entry.get_entry_type() {
        EntryType::EntryNormal => {
            out.push(0);
            out.extend(entry.term.to_le_bytes());
            out.extend(entry.index.to_le_bytes());
            put_bytes(out, &entry.data)?;
        }
        EntryType::EntryConfChange => {
            if entry.data.len() > MAX_SMALL_BYTES {
                return Err(DecodeError("a change of the membership is too long"));
            }
            // These bytes come from this member's log: this code encoded them.
            let change = ConfChange::parse_from_bytes(&entry.data)
                .map_err(|_| DecodeError("an invalid change of the membership in the log"))?;
            let kind = match change.get_change_type() {
                ConfChangeType::AddNode => 0,
                ConfChangeType::RemoveNode => 1,
                ConfChangeType::AddLearnerNode => 2,
            };
            out.push(1);
            out.extend(entry.term.to_le_bytes());
            out.extend(entry.index.to_le_bytes());
            out.push(kind);
            out.extend(change.id.to_le_bytes());
            out.extend(change.node_id.to_le_bytes());
            put_bytes(out, &change.context)?;
        }
        EntryType::EntryConfChangeV2 => return Err(DecodeError("a kind of entry that is not used")),
    }
    put_bytes(out, &entry.context)
}

fn put_count(out: &mut Vec<u8>, count: usize) -> Result<(), DecodeError> {
    let count = u32::try_from(count).map_err(|_| DecodeError("an invalid length"))?;
    out.extend(count.to_le_bytes());
    Ok(())
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), DecodeError> {
    put_count(out, bytes.len())?;
    out.extend(bytes);
    Ok(())
}

/// Reads messages until the end of `bytes`.
///
/// # Errors
/// They are not what `encode` writes.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Message>, DecodeError> {
    let mut read = FieldReader::new(bytes);
    let mut messages = Vec::new();
    while read.left() > 0 {
        messages.push(message(&mut read)?);
    }
    Ok(messages)
}

fn small<'b>(read: &mut FieldReader<'b>) -> Result<&'b [u8], DecodeError> {
    let bytes = read.bytes()?;
    if bytes.len() > MAX_SMALL_BYTES { Err(DecodeError("a part is too long")) } else { Ok(bytes) }
}

fn message(read: &mut FieldReader<'_>) -> Result<Message, DecodeError> {
    let kind = MessageType::from_i32(i32::from(read.byte()?))
        .filter(|kind| !is_local(*kind))
        .ok_or(DecodeError("a kind of message that this version does not know"))?;
    let flags = read.byte()?;
    if flags & !(REJECT_FLAG | SNAPSHOT_FLAG) != 0
        || (flags & SNAPSHOT_FLAG != 0) != (kind == MessageType::MsgSnapshot)
    {
        return Err(DecodeError("a message with invalid flags"));
    }
    let mut message = Message::default();
    message.set_msg_type(kind);
    message.reject = flags & REJECT_FLAG != 0;
    message.to = read.number()?;
    message.from = read.number()?;
    message.term = read.number()?;
    message.log_term = read.number()?;
    message.index = read.number()?;
    message.commit = read.number()?;
    message.commit_term = read.number()?;
    message.request_snapshot = read.number()?;
    message.reject_hint = read.number()?;
    message.priority = read.number()?.cast_signed();
    message.deprecated_priority = read.number()?;
    message.context = read.bytes()?.to_vec().into();
    if flags & SNAPSHOT_FLAG != 0 {
        let (index, term) = (read.number()?, read.number()?);
        let snapshot = message.mut_snapshot();
        snapshot.mut_metadata().index = index;
        snapshot.mut_metadata().term = term;
        snapshot.data = small(read)?.to_vec().into();
    }
    let count = read.length()? as usize;
    // Never reserves memory for a false count.
    if count > read.left() / ENTRY_OVERHEAD_BYTES {
        return Err(DecodeError("more entries than there is room for"));
    }
    let entries = (0..count).map(|_| entry(read)).collect::<Result<Vec<_>, _>>()?;
    message.entries = entries.into();
    Ok(message)
}

fn entry(read: &mut FieldReader<'_>) -> Result<Entry, DecodeError> {
    let kind = read.byte()?;
    let mut entry = Entry { term: read.number()?, index: read.number()?, ..Entry::default() };
    match kind {
        0 => entry.data = read.bytes()?.to_vec().into(),
        1 => {
            let kind = match read.byte()? {
                0 => ConfChangeType::AddNode,
                1 => ConfChangeType::RemoveNode,
                2 => ConfChangeType::AddLearnerNode,
                _ => return Err(DecodeError("a change of the membership that this version does not know")),
            };
            let mut change = ConfChange { id: read.number()?, node_id: read.number()?, ..Default::default() };
            change.set_change_type(kind);
            change.context = small(read)?.to_vec().into();
            let bytes = change.write_to_bytes().map_err(|_| DecodeError("a change of the membership"))?;
            if bytes.len() > MAX_SMALL_BYTES {
                return Err(DecodeError("a change of the membership is too long"));
            }
            entry.set_entry_type(EntryType::EntryConfChange);
            entry.data = bytes.into();
        }
        _ => return Err(DecodeError("a kind of entry that this version does not know")),
    }
    entry.context = read.bytes()?.to_vec().into();
    Ok(entry)
}

/// Returns whether a message is one that a member only sends to itself.
fn is_local(kind: MessageType) -> bool {
    use MessageType::{MsgBeat, MsgCheckQuorum, MsgHup, MsgSnapStatus, MsgUnreachable};
    matches!(kind, MsgHup | MsgBeat | MsgUnreachable | MsgSnapStatus | MsgCheckQuorum)
}
