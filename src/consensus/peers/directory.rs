//! Who may connect to this member: the group as it knows it, and the check of each handshake against it.

use std::collections::{BTreeMap, BTreeSet};

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue};

use super::message_codec;
use crate::consensus::member::Member;
use crate::http::Endpoint;

/// Handshakes and snapshot requests are checked against it. The driver replaces it whenever the group changes.
#[derive(Clone, Debug, Default)]
pub(in crate::consensus) struct PeerDirectory {
    pub(in crate::consensus) cluster: u64,
    pub(in crate::consensus) own: u64,
    /// Drawn at each start of the process.
    pub(in crate::consensus) process: u64,
    /// Of this member's data folder.
    pub(in crate::consensus) incarnation: u64,
    pub(in crate::consensus) members: BTreeMap<u64, KnownMember>,
    /// Members that other members reported and the log does not contain yet.
    pub(in crate::consensus) unknown_peers: BTreeMap<u64, Member>,
    /// Ids that must never be used again.
    pub(in crate::consensus) removed: BTreeSet<u64>,
    /// This program's version and the group's, as `/version` returns them.
    pub(in crate::consensus) version: String,
    pub(in crate::consensus) cluster_version: String,
}

/// A member as the group knows it.
#[derive(Clone, Debug)]
pub(in crate::consensus) struct KnownMember {
    pub(in crate::consensus) member: Member,
    /// Of its data folder; `None` until it is published.
    pub(in crate::consensus) incarnation: Option<u64>,
}

impl KnownMember {
    pub(super) fn of(member: &Member) -> Self {
        let incarnation = Some(member.incarnation).filter(|incarnation| *incarnation != 0);
        Self { member: member.clone(), incarnation }
    }
}

/// The caller and the member that it calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handshake {
    pub(super) cluster: u64,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) process: u64,
    pub(super) incarnation: u64,
    pub(super) oldest: u32,
    pub(super) newest: u32,
}

/// Why a handshake is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HandshakeError {
    pub(super) status: StatusCode,
    pub(super) reason: String,
}

const CLUSTER: &str = "Retune-Cluster";
const FROM: &str = "Retune-From";
const TO: &str = "Retune-To";
const PROCESS: &str = "Retune-Process";
const INCARNATION: &str = "Retune-Incarnation";
const OLDEST: &str = "Retune-Form-Min";
const NEWEST: &str = "Retune-Form-Max";

impl Handshake {
    /// Makes a handshake from `directory`'s owner to `to`.
    pub(super) fn of(directory: &PeerDirectory, to: u64) -> Self {
        Self {
            cluster: directory.cluster,
            from: directory.own,
            to,
            process: directory.process,
            incarnation: directory.incarnation,
            oldest: message_codec::OLDEST_VERSION,
            newest: message_codec::NEWEST_VERSION,
        }
    }

    pub(super) fn headers(&self) -> [(&'static str, String); 7] {
        let hex = |number: u64| format!("{number:x}");
        [
            (CLUSTER, hex(self.cluster)),
            (FROM, hex(self.from)),
            (TO, hex(self.to)),
            (PROCESS, hex(self.process)),
            (INCARNATION, hex(self.incarnation)),
            (OLDEST, self.oldest.to_string()),
            (NEWEST, self.newest.to_string()),
        ]
    }

    pub(super) fn read(headers: &HeaderMap<HeaderValue>) -> Result<Self, HandshakeError> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let hex = |name| text(name).and_then(|text| u64::from_str_radix(text, 16).ok());
        let number = |name| text(name).and_then(|text| text.parse().ok());
        let all = (hex(CLUSTER), hex(FROM), hex(TO), hex(PROCESS), hex(INCARNATION));
        match (all, number(OLDEST), number(NEWEST)) {
            (
                (Some(cluster), Some(from), Some(to), Some(process), Some(incarnation)),
                Some(oldest),
                Some(newest),
            ) => Ok(Self { cluster, from, to, process, incarnation, oldest, newest }),
            _ => Err(HandshakeError::new(
                StatusCode::BAD_REQUEST,
                "this address is for the members of a retune store only",
            )),
        }
    }

    /// Returns the newest message version that both sides speak.
    pub(super) fn negotiated_version(&self) -> Result<u32, HandshakeError> {
        let newest = self.newest.min(message_codec::NEWEST_VERSION);
        if newest >= self.oldest.max(message_codec::OLDEST_VERSION) {
            return Ok(newest);
        }
        let (oldest, own) = (self.oldest, message_codec::NEWEST_VERSION);
        Err(HandshakeError::new(
            StatusCode::UPGRADE_REQUIRED,
            format!(
                "member {:x} speaks the forms {oldest} to {} and member {:x} {} to {own}: upgrade the older one, one \
                 version after the other",
                self.from,
                self.newest,
                self.to,
                message_codec::OLDEST_VERSION
            ),
        ))
    }
}

impl HandshakeError {
    pub(super) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }
}

impl PeerDirectory {
    /// Checks a handshake.
    pub(super) fn check(&self, handshake: &Handshake) -> Result<(), HandshakeError> {
        let (from, to) = (handshake.from, handshake.to);
        if handshake.cluster != self.cluster {
            return Err(HandshakeError::new(
                StatusCode::PRECONDITION_FAILED,
                format!(
                    "another cluster: member {from:x} belongs to {:x}, member {:x} to {:x}; do both have the same \
                     --initial-cluster-token and --initial-cluster?",
                    handshake.cluster, self.own, self.cluster
                ),
            ));
        }
        if to != self.own {
            return Err(HandshakeError::new(
                StatusCode::NOT_FOUND,
                format!(
                    "another member responds at this address: it is {:x}'s, and {to:x} was wanted; check the peer URLs \
                     of both",
                    self.own
                ),
            ));
        }
        if self.removed.contains(&from) {
            return Err(HandshakeError::new(
                StatusCode::GONE,
                format!(
                    "member {from:x} was removed from the cluster: to come back it must be added as a new one"
                ),
            ));
        }
        if self.unknown_peers.contains_key(&from) {
            return Ok(());
        }
        let Some(known) = self.members.get(&from) else {
            return Err(HandshakeError::new(
                StatusCode::FORBIDDEN,
                format!(
                    "member {from:x} is not known to member {to:x}: if this lasts, was it added to the cluster?"
                ),
            ));
        };
        if known.incarnation.is_some_and(|incarnation| incarnation != handshake.incarnation) {
            return Err(HandshakeError::new(
                StatusCode::CONFLICT,
                format!(
                    "what calls itself member {from:x} has another data folder than that member: if it lost its folder, \
                     remove the member and add it again; if it did not, something else calls in its name"
                ),
            ));
        }
        Ok(())
    }

    /// Returns a member's id, with its name if it has one.
    pub(super) fn shown(&self, id: u64) -> String {
        match self.members.get(&id).map(|known| known.member.name.as_str()) {
            Some(name) if !name.is_empty() => format!("{id:x} ({name})"),
            _ => format!("{id:x}"),
        }
    }

    /// Returns the other member at this host, if there is exactly one.
    pub(super) fn at_host(&self, host: &str) -> Option<String> {
        let there = |url: &String| Endpoint::parse(url).is_ok_and(|address| address.host == host);
        let mut at = self.members.iter().filter(|(_, known)| known.member.peer_urls.iter().any(there));
        match (at.next(), at.next()) {
            (Some((id, _)), None) if *id != self.own => Some(self.shown(*id)),
            _ => None,
        }
    }

    /// Returns whether a member's URL has this address as its host.
    pub(super) fn lists(&self, host: &str) -> bool {
        let there = |url: &String| Endpoint::parse(url).is_ok_and(|address| address.host == host);
        self.members.values().any(|known| known.member.peer_urls.iter().any(there))
    }

    /// Returns whether `id` is another member that has a vote.
    pub(super) fn is_voter(&self, id: u64) -> bool {
        id != self.own && self.members.get(&id).is_some_and(|known| !known.member.learner)
    }

    /// Returns how many others make a majority, together with this member if it has a vote.
    pub(super) fn majority_besides_own(&self) -> usize {
        let voters = self.members.values().filter(|known| !known.member.learner).count();
        let own = self.members.get(&self.own).is_some_and(|known| !known.member.learner);
        (voters / 2 + 1).saturating_sub(usize::from(own)).max(1)
    }

    /// Returns whether a stream from `id` may stay open.
    pub(super) fn knows(&self, id: u64) -> bool {
        let known = self.members.contains_key(&id) || self.unknown_peers.contains_key(&id);
        known && !self.removed.contains(&id)
    }
}
