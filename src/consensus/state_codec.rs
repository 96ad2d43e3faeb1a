//! The state as pairs of bytes: the mirror stores them one by one, a snapshot in sequence.
//!
//! | key | value |
//! |---|---|
//! | `c`, the id of a node's directory, and its name there | the node |
//! | `n` and a node's key | the node, in format 1 |
//! | `e` and an index, big endian | the event, a marker if its values are large, or nothing if no key has the index |
//!
//! The numbers of a directory's id are inverted, so that in the order of their bytes the content of a directory comes
//! before the directory itself: it was created later, or is deeper. A node takes as much space as its name: format 1
//! had its whole path, so that one key of 2,400 levels took megabytes.
//!
//! A [`StateHead`] accompanies them. Its checksum shows whether any pair was lost, duplicated or is older than the others.

use std::io;
use std::sync::Arc;

use super::entry::{DecodeError, FieldReader};
use super::log::LogId;
use super::roster::Roster;
use super::session::Sessions;
use super::state::State;
use crate::keyspace::auth::Auth;
use crate::keyspace::{DirId, HistoryEntry, Keyspace, Loader, NodePlace, NodeRecord, Time};

const NODE_TAG: u8 = b'c';
const PATH_TAG: u8 = b'n';
const EVENT_TAG: u8 = b'e';
const FORMAT_VERSION: u8 = 2;
/// The format in which nodes are stored under their keys. It is only read.
const PATHS_FORMAT: u8 = 1;
/// An event with more bytes of values does not survive a restart: its values would be written twice more, as the
/// new and the previous value. A marker replaces it: after a restart, a watch that asks for it gets the error that
/// the event is cleared.
const MAX_EVENT_BYTES: usize = 128 << 10;

/// A checksum over pairs that does not depend on their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SetChecksum {
    pub(super) count: u64,
    pub(super) sum: u64,
    pub(super) bytes: u64,
}

impl SetChecksum {
    pub(super) fn add(&mut self, pair: PairChecksum) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(pair.hash);
        self.bytes = self.bytes.wrapping_add(pair.bytes);
    }

    pub(super) fn remove(&mut self, pair: PairChecksum) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(pair.hash);
        self.bytes = self.bytes.wrapping_sub(pair.bytes);
    }
}

/// The share of one pair in a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PairChecksum {
    pub(super) hash: u64,
    pub(super) bytes: u64,
}

pub(super) fn pair_checksum(key: &[u8], value: &[u8]) -> PairChecksum {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    let name = hasher.clone().finalize();
    hasher.update(value);
    // Only nodes count towards the quota: past events are dropped over time anyway.
    let bytes = if matches!(key.first(), Some(&(NODE_TAG | PATH_TAG))) {
        (key.len() + value.len()) as u64
    } else {
        0
    };
    PairChecksum { hash: u64::from(name) << 32 | u64::from(hasher.finalize()), bytes }
}

/// Everything in the state besides the pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StateHead {
    pub(super) applied: LogId,
    /// The keyspace's index.
    pub(super) index: u64,
    pub(super) latest_time: Time,
    pub(super) roster: Roster,
    pub(super) auth: Arc<Auth>,
    pub(super) sessions: Sessions,
    pub(super) checksum: SetChecksum,
}

impl StateHead {
    /// Makes the head of `state`, with a checksum that is computed elsewhere.
    pub(super) fn of(state: &State, checksum: SetChecksum) -> Self {
        Self {
            applied: state.applied,
            index: state.keyspace.index(),
            latest_time: state.latest_time,
            roster: state.roster.clone(),
            auth: Arc::clone(&state.auth),
            sessions: state.sessions.clone(),
            checksum,
        }
    }

    /// Returns the head for a backup. Whoever may read all keys may have it: so it lacks what only members know of each
    /// other, and what a restored group does not need.
    pub(super) fn for_backup(self) -> Self {
        Self { roster: self.roster.without_incarnations(), sessions: Sessions::default(), ..self }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { applied, index, latest_time, roster, auth, sessions, checksum } = self;
        let mut out = vec![FORMAT_VERSION];
        for number in [
            applied.index,
            applied.term,
            *index,
            *latest_time as u64,
            checksum.count,
            checksum.sum,
            checksum.bytes,
        ] {
            out.extend(number.to_le_bytes());
        }
        for part in [roster.encode(), auth.encode(), sessions.encode()] {
            out.extend((part.len() as u64).to_le_bytes());
            out.extend(part);
        }
        out.extend(crc32fast::hash(&out).to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let body = bytes.len().checked_sub(4).ok_or(DecodeError("it is too short"))?;
        let (body, check) = bytes.split_at(body);
        if crc32fast::hash(body).to_le_bytes() != check {
            return Err(DecodeError("its checksum does not match"));
        }
        let mut read = FieldReader::new(body);
        if !matches!(read.byte()?, FORMAT_VERSION | PATHS_FORMAT) {
            return Err(DecodeError("it has a format that this version does not know"));
        }
        let applied = LogId { index: read.number()?, term: read.number()? };
        let (index, latest_time) = (read.number()?, read.number()? as Time);
        let checksum = SetChecksum { count: read.number()?, sum: read.number()?, bytes: read.number()? };
        let mut head = Self { applied, index, latest_time, checksum, ..Self::default() };
        head.roster = Roster::decode(part(&mut read)?)?;
        let auth = Auth::decode(part(&mut read)?).map_err(|_| DecodeError("the users in it are invalid"))?;
        head.auth = Arc::new(auth);
        head.sessions = Sessions::decode(part(&mut read)?)?;
        read.end()?;
        Ok(head)
    }
}

fn part<'b>(read: &mut FieldReader<'b>) -> Result<&'b [u8], DecodeError> {
    let length = usize::try_from(read.number()?).unwrap_or(usize::MAX);
    read.take(length)
}

/// Returns what the keys of all nodes in a directory begin with.
pub(super) fn dir_prefix(dir: DirId) -> [u8; 13] {
    let mut prefix = [NODE_TAG; 13];
    prefix[1..9].copy_from_slice(&(!dir.created).to_be_bytes());
    prefix[9..].copy_from_slice(&(!dir.depth).to_be_bytes());
    prefix
}

pub(super) fn node_key(place: NodePlace<'_>) -> Vec<u8> {
    [dir_prefix(place.parent).as_slice(), place.name].concat()
}

/// Returns the place in a node's key, which follows its tag here.
fn node_place(key: &[u8]) -> Option<NodePlace<'_>> {
    let (created, rest) = key.split_first_chunk()?;
    let (depth, name) = rest.split_first_chunk()?;
    let parent = DirId { created: !u64::from_be_bytes(*created), depth: !u32::from_be_bytes(*depth) };
    Some(NodePlace { parent, name })
}

/// The prefixes of the pairs' keys, in the order in which the pairs can be read.
pub(super) const PREFIXES: [[u8; 1]; 2] = [[NODE_TAG], [EVENT_TAG]];

/// Returns the same in the format of an encoded head.
pub(super) fn prefixes(head: &[u8]) -> [[u8; 1]; 2] {
    if is_older(head) { [[PATH_TAG], [EVENT_TAG]] } else { PREFIXES }
}

/// Returns whether an encoded head belongs to pairs in an older format, which can only be read.
pub(super) fn is_older(head: &[u8]) -> bool {
    head.first() == Some(&PATHS_FORMAT)
}

pub(super) fn event_key(index: u64) -> Vec<u8> {
    [&[EVENT_TAG], index.to_be_bytes().as_slice()].concat()
}

pub(super) fn node_value(record: &NodeRecord) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    record.encode(&mut out);
    out
}

pub(super) fn event_value(entry: &HistoryEntry) -> Vec<u8> {
    let mut out = Vec::new();
    if entry.event().is_some_and(|event| event.weight() > MAX_EVENT_BYTES) {
        entry.cleared().encode(&mut out);
    } else {
        entry.encode(&mut out);
    }
    out
}

/// Builds a state from pairs, in any order but for nodes: a directory comes after its content.
#[derive(Default)]
pub(super) struct StateBuilder {
    loader: Loader,
    checksum: SetChecksum,
}

impl StateBuilder {
    pub(super) fn pair(&mut self, key: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        self.checksum.add(pair_checksum(key, value));
        match key.split_first() {
            Some((tag @ (&NODE_TAG | &PATH_TAG), key)) => {
                let record = NodeRecord::decode(value).map_err(|_| DecodeError("an invalid node"))?;
                let added = if *tag == PATH_TAG {
                    self.loader.node(key, record)
                } else {
                    let place = node_place(key).ok_or(DecodeError("a node without a place"))?;
                    self.loader.child(place, record)
                };
                added.map_err(|_| DecodeError("a node in an impossible place"))
            }
            Some((&EVENT_TAG, index)) => {
                let index = index.try_into().map_err(|_| DecodeError("an event without an index"))?;
                let event = HistoryEntry::decode(value);
                let event = event.map_err(|_| DecodeError("an invalid event"))?;
                let index = u64::from_be_bytes(index);
                self.loader.event(index, event).map_err(|_| DecodeError("an event in an impossible place"))
            }
            _ => Err(DecodeError("a pair of an unknown kind")),
        }
    }

    /// Returns the state if the pairs are complete.
    pub(super) fn finish(self, head: &StateHead) -> Result<State, DecodeError> {
        if self.checksum != head.checksum {
            return Err(DecodeError("the pairs do not match what was written"));
        }
        let keyspace =
            self.loader.finish(head.index).map_err(|_| DecodeError("the pairs do not form a tree"))?;
        let StateHead { applied, latest_time, roster, auth, sessions, .. } = head.clone();
        Ok(State { keyspace, roster, auth, sessions, applied, latest_time })
    }
}

/// Passes all pairs of a keyspace to `take`.
pub(super) fn each_pair(
    keyspace: &Keyspace,
    mut take: impl FnMut(&[u8], &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    keyspace.each_node(|place, record| take(&node_key(place), &node_value(&record)))?;
    keyspace.events_since(0).try_for_each(|(index, entry)| take(&event_key(index), &event_value(entry)))
}
