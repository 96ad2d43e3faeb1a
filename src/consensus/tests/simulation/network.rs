//! The network between simulated members: it drops, delays, reorders, repeats and cuts, driven by one random
//! stream.

use std::collections::{BTreeMap, BTreeSet};

use raft::prelude::Message;

use super::super::super::request::DriverRequest;

/// A packet to a member.
pub(super) enum Packet {
    /// A message from another member.
    Message { from: u64, message: Box<Message> },
    /// A notice of the member's own streams about another.
    Notice(Notice),
    /// A request of the member's own persister, in the life in which it was sent.
    Kept { life: u64, request: DriverRequest },
}

/// A notice of the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    Connected(u64),
    Unreachable(u64),
    Gone(u64),
    SnapshotFailed(u64),
    Removed,
}

/// The packets in transit, by arrival time.
#[derive(Default)]
pub(super) struct Network {
    parcels: BTreeMap<(u64, u64, u64), (u64, Packet)>,
    count: u64,
    /// Directions that are blocked.
    pub(super) cut: BTreeSet<(u64, u64)>,
}

impl Network {
    pub(super) fn send(&mut self, at: u64, to: u64, parcel: Packet) {
        self.send_at(at, 0, to, parcel);
    }

    /// Of the packets that arrive at the same time, the lower `place` is first.
    pub(super) fn send_at(&mut self, at: u64, place: u64, to: u64, parcel: Packet) {
        self.count += 1;
        self.parcels.insert((at, place, self.count), (to, parcel));
    }

    /// Returns the next packet that arrives at `now` or before.
    pub(super) fn arrive(&mut self, now: u64) -> Option<(u64, Packet)> {
        let first = self.parcels.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }

    pub(super) fn passes(&self, from: u64, to: u64) -> bool {
        !self.cut.contains(&(from, to))
    }
}
