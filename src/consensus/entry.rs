//! The content of a log entry and its byte form, and the id that matches a reply to its proposal.

use raft::prelude::{ConfChange, ConfChangeType};
use thiserror::Error;

use crate::keyspace::{Command, auth};

/// The longest accepted text and the largest accepted count; anything more means damage.
const MAX_LENGTH: u32 = 1 << 20;

/// Bytes that cannot be decoded, with the reason.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub(super) struct DecodeError(pub(super) &'static str);

/// A replicated command; one per log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RaftCommand {
    /// A change of the keyspace.
    Key(Command),
    /// At each start, a member publishes its name, its client URLs and the incarnation of its data folder.
    Publish { id: u64, name: String, client_urls: Vec<String>, incarnation: u64 },
    /// The version that the group speaks.
    Version(String),
    /// A member's peer URLs.
    PeerUrls { id: u64, urls: Vec<String> },
    /// A change of users or roles.
    Auth(auth::Change),
    /// A member joins, at first without a vote.
    Add { id: u64, urls: Vec<String> },
    /// A member that joined has caught up and votes from now on.
    Promote { id: u64 },
    /// A member leaves for good.
    Remove { id: u64 },
}

impl RaftCommand {
    /// Returns the matching change of raft's own list of members.
    pub(super) fn conf_change(&self) -> Option<ConfChange> {
        let (kind, id) = match self {
            Self::Add { id, .. } => (ConfChangeType::AddLearnerNode, *id),
            Self::Promote { id } => (ConfChangeType::AddNode, *id),
            Self::Remove { id } => (ConfChangeType::RemoveNode, *id),
            Self::Key(_)
            | Self::Publish { .. }
            | Self::Version(_)
            | Self::PeerUrls { .. }
            | Self::Auth(_) => return None,
        };
        let mut change = ConfChange::default();
        change.set_change_type(kind);
        change.node_id = id;
        change.context = self.encode().into();
        Some(change)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        match self {
            Self::Key(command) => {
                out.push(1);
                command.encode(&mut out);
            }
            Self::Publish { id, name, client_urls, incarnation } => {
                out.push(2);
                out.extend(id.to_le_bytes());
                put_text(&mut out, name);
                put_texts(&mut out, client_urls);
                out.extend(incarnation.to_le_bytes());
            }
            Self::Version(version) => {
                out.push(3);
                put_text(&mut out, version);
            }
            Self::PeerUrls { id, urls } | Self::Add { id, urls } => {
                out.push(if matches!(self, Self::Add { .. }) { 6 } else { 4 });
                out.extend(id.to_le_bytes());
                put_texts(&mut out, urls);
            }
            Self::Auth(change) => {
                out.push(5);
                change.encode(&mut out);
            }
            Self::Promote { id } | Self::Remove { id } => {
                out.push(if matches!(self, Self::Promote { .. }) { 7 } else { 8 });
                out.extend(id.to_le_bytes());
            }
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut read = FieldReader::new(bytes);
        let command = match read.byte()? {
            1 => {
                let command = Command::decode(read.rest());
                return command.map(Self::Key).map_err(|_| DecodeError("an invalid change of a key"));
            }
            2 => {
                let (id, name, client_urls) = (read.number()?, read.text()?, read.texts()?);
                Self::Publish { id, name, client_urls, incarnation: read.number()? }
            }
            3 => Self::Version(read.text()?),
            4 => Self::PeerUrls { id: read.number()?, urls: read.texts()? },
            5 => {
                let change = auth::Change::decode(read.rest());
                return change.map(Self::Auth).map_err(|_| DecodeError("an invalid change of users"));
            }
            6 => Self::Add { id: read.number()?, urls: read.texts()? },
            7 => Self::Promote { id: read.number()? },
            8 => Self::Remove { id: read.number()? },
            _ => return Err(DecodeError("a kind of entry that this version does not know")),
        };
        read.end()?;
        Ok(command)
    }
}

/// Which proposal an entry came from: the process that made it and a count within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ProposalId {
    pub(super) process: u64,
    pub(super) count: u64,
    /// Every lower count is settled and never used again.
    pub(super) floor: u64,
}

impl ProposalId {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        for number in [self.process, self.count, self.floor] {
            out.extend(number.to_le_bytes());
        }
        out
    }

    /// Returns `None` for raft's own entries, which no process proposed.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 24] = bytes.try_into().ok()?;
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        Some(Self { process: number(0), count: number(8), floor: number(16) })
    }
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

pub(super) fn put_texts(out: &mut Vec<u8>, texts: &[String]) {
    out.extend((texts.len() as u32).to_le_bytes());
    for text in texts {
        put_text(out, text);
    }
}

/// Reads fields from bytes, never beyond their end.
pub(super) struct FieldReader<'b>(&'b [u8]);

impl<'b> FieldReader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'b [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(DecodeError("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N).map(|bytes| bytes.try_into().expect("as many bytes as were asked for"))
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn number(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn length(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn count(&mut self) -> Result<u32, DecodeError> {
        let count = self.length()?;
        if count > MAX_LENGTH { Err(DecodeError("an invalid length")) } else { Ok(count) }
    }

    /// Returns bytes that follow their length.
    pub(super) fn bytes(&mut self) -> Result<&'b [u8], DecodeError> {
        let length = self.length()?;
        self.take(length as usize)
    }

    pub(super) fn text(&mut self) -> Result<String, DecodeError> {
        let length = self.count()? as usize;
        let text =
            std::str::from_utf8(self.take(length)?).map_err(|_| DecodeError("text that is not UTF-8"))?;
        Ok(text.to_owned())
    }

    pub(super) fn texts(&mut self) -> Result<Vec<String>, DecodeError> {
        (0..self.count()?).map(|_| self.text()).collect()
    }

    /// Returns how many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.0.len()
    }

    pub(super) fn rest(&mut self) -> &'b [u8] {
        std::mem::take(&mut self.0)
    }

    pub(super) fn end(&self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError("there are bytes after its end")) }
    }
}
