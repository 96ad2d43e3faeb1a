//! A state as bytes, in the forms in which members store and exchange it.

use std::hash::{DefaultHasher, Hasher};

use super::super::bytes::{ByteReader, put_bytes, put_varint};
use super::*;

impl Keyspace {
    /// Returns the index, the past and all nodes, in their order.
    pub(super) fn image(&self) -> Vec<u8> {
        let mut out = vec![];
        put_varint(&mut out, self.index());
        put_varint(&mut out, self.events_since(0).count() as u64);
        let mut one = vec![];
        for (_, entry) in self.events_since(0) {
            one.clear();
            entry.encode(&mut one);
            put_bytes(&mut out, &one);
        }
        for (key, record) in self.nodes() {
            one.clear();
            record.encode(&mut one);
            put_bytes(&mut out, &key);
            put_bytes(&mut out, &one);
        }
        put_bytes(&mut out, b"");
        out
    }

    /// Returns the state of an image.
    pub(super) fn of_image(image: &[u8]) -> Result<Self, DecodeError> {
        let (mut read, mut loader) = (ByteReader::new(image), Loader::default());
        let (index, count) = (read.varint()?, read.varint()?);
        if count > index.min(HISTORY_EVENTS as u64) {
            return Err(read.wrong("an invalid window of past events"));
        }
        for before in index - count..index {
            loader.event(before + 1, HistoryEntry::decode(read.bytes()?)?)?;
        }
        let mut last: &[u8] = b"";
        loop {
            let key = read.bytes()?;
            if key.is_empty() {
                break;
            }
            if !segments(last).lt(segments(key)) {
                return Err(read.wrong("a key out of its order"));
            }
            loader.node(key, NodeRecord::decode(read.bytes()?)?)?;
            last = key;
        }
        read.end()?;
        loader.finish(index)
    }

    /// Returns a hash of all that members must have in common.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.image());
        hasher.finish()
    }
}

fn segments(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    key.split(|byte| *byte == b'/')
}
