//! The whole state as bytes, as stored in a snapshot.
//!
//! A version, the index, the window of past events, and the nodes in the order of a walk, each with its depth
//! instead of its path. Equal states have equal images.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Write};

use super::bytes::{Reader, put_bytes, put_varint};
use super::expiry::Expiry;
use super::history::{History, MAX_INDEX};
use super::loader::node_of;
use super::name::Name;
use super::tree::{Node, NodeMeta};
use super::{HISTORY_EVENTS, HistoryEntry, Key, Keyspace, Record, Undecodable, path};

const FORMAT_VERSION: u8 = 1;

impl Keyspace {
    /// Writes the whole state except watchers and counters.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_image(&self, out: &mut impl Write) -> io::Result<()> {
        let mut buffer = vec![FORMAT_VERSION];
        put_varint(&mut buffer, self.index());
        put_varint(&mut buffer, self.history.since(0).count() as u64);
        let mut encoded = vec![];
        for (_, slot) in self.history.since(0) {
            encoded.clear();
            slot.encode(&mut encoded);
            put_bytes(&mut buffer, &encoded);
            flush(&mut buffer, out)?;
        }
        let mut walk = self.root.walk(b"/");
        while let Some((depth, _, name, node)) = walk.step() {
            put_varint(&mut buffer, depth as u64);
            put_bytes(&mut buffer, name.as_bytes());
            node.record().put(&mut buffer);
            flush(&mut buffer, out)?;
        }
        put_varint(&mut buffer, 0);
        out.write_all(&buffer)
    }

    /// Reads a state. The counters start at zero.
    ///
    /// # Errors
    /// The bytes are not exactly one image.
    pub fn read_image(bytes: &[u8]) -> Result<Self, Undecodable> {
        let reader = &mut Reader::new(bytes);
        reader.version(FORMAT_VERSION)?;
        let index = reader.varint()?;
        let slots = read_slots(reader, index)?;
        let mut builder = Builder::new(index);
        loop {
            let depth = reader.varint()?;
            if depth == 0 {
                break;
            }
            let name = reader.bytes()?;
            let record = Record::read(reader)?;
            builder.add(depth, name, record).map_err(|what| reader.wrong(what))?;
        }
        reader.end()?;
        let (root, expiry) = builder.finish();
        Ok(Self::restored(root, History::restored(slots, index), expiry))
    }

    /// Returns a hash that is equal on members that applied the same commands, and almost certainly different
    /// otherwise. Only comparable within one build of the program: the hashed content and the method may change.
    #[must_use]
    pub fn digest(&self) -> u64 {
        struct Hashing(DefaultHasher);
        impl Write for Hashing {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.write(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut hashing = Hashing(DefaultHasher::new());
        self.write_image(&mut hashing).expect("hashing does not fail");
        hashing.0.finish()
    }
}

/// Writes the buffer out when it is large enough.
fn flush(buffer: &mut Vec<u8>, out: &mut impl Write) -> io::Result<()> {
    if buffer.len() >= 64 << 10 {
        out.write_all(buffer)?;
        buffer.clear();
    }
    Ok(())
}

fn read_slots(reader: &mut Reader<'_>, index: u64) -> Result<VecDeque<HistoryEntry>, Undecodable> {
    let count = reader.varint()?;
    if count > index || count > HISTORY_EVENTS as u64 || index > MAX_INDEX {
        return Err(reader.wrong("an invalid window of past events"));
    }
    let mut slots = VecDeque::with_capacity(count as usize);
    for expected in index - count + 1..=index {
        let slot = HistoryEntry::decode(reader.bytes()?)?;
        if slot.index().is_some_and(|index| index != expected) {
            return Err(reader.wrong("an event out of its place"));
        }
        slots.push_back(slot);
    }
    Ok(slots)
}

/// Builds a tree from nodes in the order of a walk. A directory is built after its last child: building a map from
/// sorted children is much faster and fills its pages.
struct Builder {
    index: u64,
    path: Vec<u8>,
    /// The directory being filled and its parents, the root first.
    open: Vec<Open>,
    expiry: Expiry,
}

struct Open {
    name: Name,
    stamp: NodeMeta,
    /// The length of its path; 0 for the root.
    base: usize,
    children: Vec<(Name, Node)>,
}

impl Builder {
    fn new(index: u64) -> Self {
        let root = Open { name: Name::new(b""), stamp: NodeMeta::default(), base: 0, children: vec![] };
        Self { index, path: vec![], open: vec![root], expiry: Expiry::default() }
    }

    fn add(&mut self, depth: u64, name: &[u8], record: Record) -> Result<(), &'static str> {
        if depth > self.open.len() as u64 {
            return Err("a node without its directory");
        }
        self.close_below(depth as usize);
        let levels = self.open.len();
        let parent = self.open.last_mut().expect("the root stays open");
        if !path::is_segment(name) || parent.children.last().is_some_and(|(last, _)| last.as_bytes() >= name)
        {
            return Err("a name that cannot be, or not there");
        }
        self.path.truncate(parent.base);
        self.path.push(b'/');
        self.path.extend_from_slice(name);
        if !path::within_spread(levels, self.path.len()) {
            return Err("a key of too many levels");
        }
        if record.created.max(record.modified) > self.index {
            return Err("a node that is newer than the index of the whole");
        }
        let expires = record.expires;
        let node = node_of(record)?;
        if expires.is_some() {
            self.expiry.moved(&Key::from(&*self.path), None, expires);
        }
        let name = Name::new(name);
        if node.is_dir() {
            self.open.push(Open { name, stamp: node.stamp(), base: self.path.len(), children: vec![] });
        } else {
            parent.children.push((name, node));
        }
        Ok(())
    }

    /// Closes directories until `depth` are open.
    fn close_below(&mut self, depth: usize) {
        while self.open.len() > depth {
            let Some(done) = self.open.pop() else { return };
            let node = Node::filled(done.stamp, done.children);
            if let Some(parent) = self.open.last_mut() {
                parent.children.push((done.name, node));
            }
        }
    }

    fn finish(mut self) -> (Node, Expiry) {
        self.close_below(1);
        let root = self.open.pop().expect("the root stays open");
        (Node::filled(root.stamp, root.children), self.expiry)
    }
}
