//! What the threads of a member ask of each other.

use tokio::sync::oneshot;

use super::entry::Order;
use super::log::SnapshotOffer;
use super::peers::Inbound;
use super::pending::ProposeResult;

/// Requests that may wait for the driver; more are refused at once.
pub(super) const QUEUE_CAPACITY: usize = 16_384;

/// What others ask of the driver.
pub(super) enum Request {
    /// Have the group carry it out.
    Propose(Proposal),
    /// Answer when the state is not older than the question.
    Read(oneshot::Sender<()>),
    /// Something of the other members.
    Inbound(Inbound),
    /// A snapshot is on disk that others may have, and the log may be cut up to an index before it.
    Snapshotted { offer: SnapshotOffer, cut: u64 },
    /// Let somebody else lead.
    HandOver,
    /// Leave.
    Stop,
}

/// A change and who waits for it.
pub(super) struct Proposal {
    pub(super) order: Order,
    pub(super) reply: oneshot::Sender<ProposeResult>,
    pub(super) bytes: usize,
}

/// What the driver tells the persister.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Hint {
    /// There is something to mirror.
    Changed = 1,
    /// There is much to mirror.
    Hurry = 2,
    /// Another member needs a snapshot that knows of it.
    Snapshot = 3,
    /// Leave, with everything written.
    Stop = 4,
}
