//! Faults that a simulation injects into a member: deliberate bugs, and a power cut before a write.
//!
//! Production code checks them in single lines that only tests compile. A planted bug that is not found shows a gap
//! in the simulation.

use std::cell::Cell;

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::consensus) enum Plant {
    /// A follower's reply is sent before its content is on disk.
    SentBeforeSync,
    /// The vote is not saved.
    VoteForgotten,
    /// A member that forgets its leader also forgets its vote.
    VoteWithLeader,
    /// A repeated proposal is applied again.
    AlwaysAdmitted,
    /// At a start, sessions are lost and the last entry is applied again.
    AppliedTwice,
    /// The keys of a snapshot are not installed.
    KeysKept,
    /// A quorum read does not wait for the state.
    ReadNotWaited,
    /// A read is served without asking the group.
    ReadNotAsked,
    /// The list of members changes when the change is proposed, not when it is committed.
    EarlyChange,
    /// The log is truncated completely.
    CutTooFar,
    /// The commit index is not saved with the next write.
    CommitForgotten,
    /// An unwanted snapshot replaces the one that raft is about to install.
    FetchedReplaced,
    /// A snapshot that was fetched but not installed counts at the next start.
    FetchedCounts,
}

/// All of them.
pub(super) const ALL: [Plant; 13] = [
    Plant::SentBeforeSync,
    Plant::VoteForgotten,
    Plant::VoteWithLeader,
    Plant::AlwaysAdmitted,
    Plant::AppliedTwice,
    Plant::KeysKept,
    Plant::ReadNotWaited,
    Plant::ReadNotAsked,
    Plant::EarlyChange,
    Plant::CutTooFar,
    Plant::CommitForgotten,
    Plant::FetchedReplaced,
    Plant::FetchedCounts,
];

thread_local! {
    static PLANTED: Cell<Option<Plant>> = const { Cell::new(None) };
    static WRITES: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Returns whether that bug is planted.
pub(in crate::consensus) fn planted(plant: Plant) -> bool {
    PLANTED.get() == Some(plant)
}

/// Plants a bug in this thread.
pub(super) fn plant(plant: Option<Plant>) {
    PLANTED.set(plant);
}

/// Fails the power after this many writes to the log.
pub(super) fn cut_power_after(writes: Option<u32>) {
    WRITES.set(writes);
}

/// Runs `act` on its own thread with the same planted bug and remaining power as this one.
pub(super) fn on_a_thread<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    let (planted, writes) = (PLANTED.get(), WRITES.get());
    let (result, writes) = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            PLANTED.set(planted);
            WRITES.set(writes);
            (act(), WRITES.get())
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    WRITES.set(writes);
    result
}

/// Called before each write to the log.
pub(in crate::consensus) fn power() -> Result<(), String> {
    match WRITES.get() {
        None => Ok(()),
        Some(0) => Err("the power failed".to_owned()),
        Some(left) => {
            WRITES.set(Some(left - 1));
            Ok(())
        }
    }
}
