//! The requests that the threads of a member send to each other.

use tokio::sync::oneshot;

use super::entry::RaftCommand;
use super::log::SnapshotOffer;
use super::peers::Inbound;
use super::pending::ProposeResult;

/// Requests that may wait for the driver; more are refused at once.
pub(super) const QUEUE_CAPACITY: usize = 16_384;

/// A request to the driver.
pub(super) enum DriverRequest {
    /// Propose a change to the group.
    Propose(Proposal),
    /// Reply when the state is not older than the request.
    Read(oneshot::Sender<()>),
    /// Something from another member.
    Inbound(Inbound),
    /// A snapshot is on disk and may be offered to others; the log may be truncated to an index before it.
    Snapshotted { offer: SnapshotOffer, cut: u64 },
    /// Transfer the leadership.
    TransferLeadership,
    /// End.
    Stop,
}

/// A change and the receiver of its result.
pub(super) struct Proposal {
    pub(super) command: RaftCommand,
    pub(super) reply: oneshot::Sender<ProposeResult>,
    pub(super) bytes: usize,
}

/// What the driver signals to the persister.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Hint {
    /// There is something to mirror.
    Changed = 1,
    /// There is a lot to mirror.
    MirrorNow = 2,
    /// Another member needs a snapshot that includes it.
    Snapshot = 3,
    /// Write everything and end.
    Stop = 4,
}
