//! The byte forms of commands, nodes and events in logs, mirrors and snapshots.
//!
//! A form begins with its version. It is exact: one value has one encoding, and nothing may follow it.

use std::sync::Arc;

use super::bytes::{ByteReader, bit, put_bytes, put_signed, put_time, put_varint};
use super::{
    Action, ClearedEvent, Command, DecodeError, Event, EventNode, HistoryEntry, Key, NodeRecord, Operation,
    Time, Value, is_key,
};

const FORMAT_VERSION: u8 = 1;

/// The flags of a command.
mod flag {
    pub(super) const DIR: u8 = 1;
    pub(super) const REFRESH: u8 = 1 << 1;
    pub(super) const IN_ORDER: u8 = 1 << 2;
    pub(super) const RECURSIVE: u8 = 1 << 3;
    pub(super) const EXPIRES: u8 = 1 << 4;
    pub(super) const PREV_VALUE: u8 = 1 << 5;
    pub(super) const PREV_INDEX: u8 = 1 << 6;
    // Of nodes in events and records.
    pub(super) const VALUE: u8 = 1 << 1;
    // Of events.
    pub(super) const PREV: u8 = 1;
    // Of cleared events, whose only other flag is `CLEARED_DIR`.
    pub(super) const CLEARED: u8 = 1 << 2;
    pub(super) const CLEARED_DIR: u8 = 1 << 3;
}

/// The fields after the head of a command: each operation has its tag and its own selection of them.
#[derive(Default)]
struct CommandParts<'c> {
    tag: u8,
    flags: u8,
    key: Option<&'c Key>,
    value: Option<&'c Value>,
    expires: Option<Time>,
    prev_value: Option<&'c Value>,
    prev_index: Option<u64>,
}

impl<'c> CommandParts<'c> {
    fn of(tag: u8, flags: u8, key: &'c Key) -> Self {
        Self { tag, flags, key: Some(key), ..Self::default() }
    }
}

impl Command {
    /// Appends the command's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let parts = self.operation.parts();
        let flags = parts.flags
            | bit(flag::EXPIRES, parts.expires.is_some())
            | bit(flag::PREV_VALUE, parts.prev_value.is_some())
            | bit(flag::PREV_INDEX, parts.prev_index.is_some());
        out.reserve(32 + parts.key.map_or(0, |key| key.len()) + parts.value.map_or(0, |value| value.len()));
        out.extend_from_slice(&[FORMAT_VERSION, parts.tag, flags]);
        put_time(out, self.at);
        if let Some(time) = parts.expires {
            put_time(out, time);
        }
        if let Some(index) = parts.prev_index {
            put_varint(out, index);
        }
        for bytes in [parts.key, parts.prev_value, parts.value].into_iter().flatten() {
            put_bytes(out, bytes);
        }
    }

    /// Decodes a command.
    ///
    /// # Errors
    /// The bytes are not exactly one command, or its key is not a key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let reader = &mut ByteReader::new(bytes);
        reader.version(FORMAT_VERSION)?;
        let tag = reader.byte()?;
        let known = known_flags(tag).ok_or(reader.wrong("an unknown operation"))?;
        let flags = reader.flags(known)?;
        let set = |flag| flags & flag != 0;
        let at = reader.time()?;
        let expires = reader.when(set(flag::EXPIRES), ByteReader::time)?;
        let prev_index = reader.when(set(flag::PREV_INDEX), ByteReader::varint)?;
        if tag == tag::EXPIRE {
            reader.end()?;
            return Ok(Self { at, operation: Operation::Expire });
        }
        let key = key(reader)?;
        let prev_value = reader.when(set(flag::PREV_VALUE), value)?;
        let dir = set(flag::DIR);
        let refresh = set(flag::REFRESH);
        let operation = match tag {
            tag::DELETE => Operation::Delete { key, dir, recursive: set(flag::RECURSIVE) },
            tag::COMPARE_AND_DELETE => Operation::CompareAndDelete { key, prev_value, prev_index },
            tag::SET => Operation::Set { key, dir, value: value(reader)?, expires, refresh },
            tag::CREATE => {
                Operation::Create { key, dir, value: value(reader)?, expires, in_order: set(flag::IN_ORDER) }
            }
            tag::UPDATE => Operation::Update { key, value: value(reader)?, expires, refresh },
            _ => {
                let value = value(reader)?;
                Operation::CompareAndSwap { key, prev_value, prev_index, value, expires, refresh }
            }
        };
        reader.end()?;
        Ok(Self { at, operation })
    }
}

/// The bytes of the operations.
mod tag {
    pub(super) const SET: u8 = 1;
    pub(super) const CREATE: u8 = 2;
    pub(super) const UPDATE: u8 = 3;
    pub(super) const COMPARE_AND_SWAP: u8 = 4;
    pub(super) const DELETE: u8 = 5;
    pub(super) const COMPARE_AND_DELETE: u8 = 6;
    pub(super) const EXPIRE: u8 = 7;
}

/// Returns the flags that an operation may have; `None` for an unknown one.
const fn known_flags(operation: u8) -> Option<u8> {
    Some(match operation {
        tag::SET => flag::DIR | flag::EXPIRES | flag::REFRESH,
        tag::CREATE => flag::DIR | flag::EXPIRES | flag::IN_ORDER,
        tag::UPDATE => flag::EXPIRES | flag::REFRESH,
        tag::COMPARE_AND_SWAP => flag::EXPIRES | flag::REFRESH | flag::PREV_VALUE | flag::PREV_INDEX,
        tag::DELETE => flag::DIR | flag::RECURSIVE,
        tag::COMPARE_AND_DELETE => flag::PREV_VALUE | flag::PREV_INDEX,
        tag::EXPIRE => 0,
        _ => return None,
    })
}

impl Operation {
    fn parts(&self) -> CommandParts<'_> {
        match self {
            Self::Set { key, dir, value, expires, refresh } => {
                let flags = bit(flag::DIR, *dir) | bit(flag::REFRESH, *refresh);
                CommandParts {
                    value: Some(value),
                    expires: *expires,
                    ..CommandParts::of(tag::SET, flags, key)
                }
            }
            Self::Create { key, dir, value, expires, in_order } => {
                let flags = bit(flag::DIR, *dir) | bit(flag::IN_ORDER, *in_order);
                CommandParts {
                    value: Some(value),
                    expires: *expires,
                    ..CommandParts::of(tag::CREATE, flags, key)
                }
            }
            Self::Update { key, value, expires, refresh } => {
                let flags = bit(flag::REFRESH, *refresh);
                CommandParts {
                    value: Some(value),
                    expires: *expires,
                    ..CommandParts::of(tag::UPDATE, flags, key)
                }
            }
            Self::CompareAndSwap { key, prev_value, prev_index, value, expires, refresh } => CommandParts {
                value: Some(value),
                expires: *expires,
                prev_value: prev_value.as_ref(),
                prev_index: *prev_index,
                ..CommandParts::of(tag::COMPARE_AND_SWAP, bit(flag::REFRESH, *refresh), key)
            },
            Self::Delete { key, dir, recursive } => {
                CommandParts::of(tag::DELETE, bit(flag::DIR, *dir) | bit(flag::RECURSIVE, *recursive), key)
            }
            Self::CompareAndDelete { key, prev_value, prev_index } => CommandParts {
                prev_value: prev_value.as_ref(),
                prev_index: *prev_index,
                ..CommandParts::of(tag::COMPARE_AND_DELETE, 0, key)
            },
            Self::Expire => CommandParts { tag: tag::EXPIRE, ..CommandParts::default() },
        }
    }
}

impl NodeRecord {
    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (flags, value) = match &self.value {
            Some(value) if !self.dir => (0, Some(value)),
            _ => (flag::DIR, None),
        };
        out.extend_from_slice(&[FORMAT_VERSION, flags | bit(flag::EXPIRES, self.expires.is_some())]);
        put_varint(out, self.created);
        put_varint(out, self.modified);
        if let Some(time) = self.expires {
            put_time(out, time);
        }
        if let Some(value) = value {
            put_bytes(out, value);
        }
    }

    /// Returns the createdIndex of a directory from its record's bytes, `None` for a file's.
    ///
    /// # Errors
    /// The bytes do not begin like a record.
    pub fn dir_created(bytes: &[u8]) -> Result<Option<u64>, DecodeError> {
        let reader = &mut ByteReader::new(bytes);
        reader.version(FORMAT_VERSION)?;
        let flags = reader.flags(flag::DIR | flag::EXPIRES)?;
        reader.when(flags & flag::DIR != 0, ByteReader::varint)
    }

    /// Decodes a record.
    ///
    /// # Errors
    /// The bytes are not exactly one record.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let reader = &mut ByteReader::new(bytes);
        reader.version(FORMAT_VERSION)?;
        let flags = reader.flags(flag::DIR | flag::EXPIRES)?;
        let (created, modified) = (reader.varint()?, reader.varint()?);
        let expires = reader.when(flags & flag::EXPIRES != 0, ByteReader::time)?;
        let dir = flags & flag::DIR != 0;
        let value = reader.when(!dir, value)?;
        reader.end()?;
        Ok(Self { dir, value, created, modified, expires })
    }
}

/// The position of an action is its byte.
const ACTIONS: [Action; 7] = [
    Action::Set,
    Action::Create,
    Action::Update,
    Action::CompareAndSwap,
    Action::Delete,
    Action::CompareAndDelete,
    Action::Expire,
];

impl Event {
    /// Appends the event's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flags = bit(flag::PREV, self.prev.is_some()) | bit(flag::REFRESH, self.refresh);
        out.extend_from_slice(&[FORMAT_VERSION, action_byte(self.action), flags]);
        put_bytes(out, &self.key);
        self.node.put(out);
        if let Some(prev) = &self.prev {
            prev.put(out);
        }
    }

    /// Decodes an event.
    ///
    /// # Errors
    /// The bytes are not exactly one event, or its key is not a key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let reader = &mut ByteReader::new(bytes);
        reader.version(FORMAT_VERSION)?;
        let action = action(reader)?;
        let flags = reader.flags(flag::PREV | flag::REFRESH)?;
        let key = key(reader)?;
        let node = EventNode::read(reader)?;
        let prev = reader.when(flags & flag::PREV != 0, EventNode::read)?;
        reader.end()?;
        Ok(Self::new(action, &key, node, prev, flags & flag::REFRESH != 0))
    }
}

impl HistoryEntry {
    /// Appends the entry's bytes: none for a change that concerns no key.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::NoKey => {}
            Self::Event(event) => event.encode(out),
            Self::Cleared(ClearedEvent { action, key, dir, index }) => {
                let flags = flag::CLEARED | bit(flag::CLEARED_DIR, *dir);
                out.extend_from_slice(&[FORMAT_VERSION, action_byte(*action), flags]);
                put_bytes(out, key);
                put_varint(out, *index);
            }
        }
    }

    /// Decodes an entry.
    ///
    /// # Errors
    /// The bytes are not exactly one entry, or its key is not a key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.get(2) {
            _ if bytes.is_empty() => Ok(Self::NoKey),
            Some(flags) if flags & flag::CLEARED != 0 => {
                let reader = &mut ByteReader::new(bytes);
                reader.version(FORMAT_VERSION)?;
                let action = action(reader)?;
                let dir = reader.flags(flag::CLEARED | flag::CLEARED_DIR)? & flag::CLEARED_DIR != 0;
                let cleared = ClearedEvent { action, key: key(reader)?, dir, index: reader.varint()? };
                if dir && cleared.action.removes() {
                    return Err(reader.wrong("a removed directory without the value that it never had"));
                }
                reader.end()?;
                Ok(Self::Cleared(cleared))
            }
            _ => Event::decode(bytes).map(|event| Self::Event(Arc::new(event))),
        }
    }
}

fn action_byte(action: Action) -> u8 {
    ACTIONS.iter().position(|known| *known == action).expect("all actions are listed") as u8
}

fn action(reader: &mut ByteReader<'_>) -> Result<Action, DecodeError> {
    let action = ACTIONS.get(usize::from(reader.byte()?));
    action.copied().ok_or(reader.wrong("an unknown action"))
}

impl EventNode {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(
            bit(flag::DIR, self.dir)
                | bit(flag::VALUE, self.value.is_some())
                | bit(flag::EXPIRES, self.expires.is_some()),
        );
        put_varint(out, self.created);
        put_varint(out, self.modified);
        put_signed(out, self.ttl);
        if let Some(time) = self.expires {
            put_time(out, time);
        }
        if let Some(value) = &self.value {
            put_bytes(out, value);
        }
    }

    fn read(reader: &mut ByteReader<'_>) -> Result<Self, DecodeError> {
        let flags = reader.flags(flag::DIR | flag::VALUE | flag::EXPIRES)?;
        let (created, modified, ttl) = (reader.varint()?, reader.varint()?, reader.signed()?);
        let expires = reader.when(flags & flag::EXPIRES != 0, ByteReader::time)?;
        let value = reader.when(flags & flag::VALUE != 0, value)?;
        Ok(Self { value, dir: flags & flag::DIR != 0, expires, ttl, created, modified })
    }
}

fn key(reader: &mut ByteReader<'_>) -> Result<Key, DecodeError> {
    let bytes = reader.bytes()?;
    if is_key(bytes) { Ok(bytes.into()) } else { Err(reader.wrong("not a key")) }
}

fn value(reader: &mut ByteReader<'_>) -> Result<Value, DecodeError> {
    reader.bytes().map(Value::from)
}
