//! What a simulation does to a member from within: bugs that are put in on purpose, and a power cut before a write.
//!
//! Production code consults these at single lines that only tests compile. A bug that is planted and not found says that the
//! simulation is blind there.

use std::cell::Cell;

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::consensus) enum Plant {
    /// A follower's word goes out before what it says is on the disk.
    SentBeforeSync,
    /// The vote is not kept.
    VoteForgotten,
    /// Whoever forgets its leader forgets its vote as well.
    VoteWithLeader,
    /// A proposal that comes a second time is carried out again.
    AlwaysAdmitted,
    /// Sessions are lost and the last entry is applied again at a start.
    AppliedTwice,
    /// The keys of a snapshot are not taken over.
    KeysKept,
    /// A quorum read does not wait for the state.
    ReadNotWaited,
    /// A read is answered without asking the group.
    ReadNotAsked,
    /// The list of members changes when that is proposed, and again before it is committed.
    EarlyChange,
    /// The log is cut as far as it goes.
    CutTooFar,
    /// What is committed is not noted with the next write.
    CommitForgotten,
    /// A snapshot that raft does not want replaces the one that it is about to take over.
    FetchedReplaced,
    /// A snapshot that was fetched and not taken over counts at the next start.
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

/// Whether that bug is planted.
pub(in crate::consensus) fn planted(plant: Plant) -> bool {
    PLANTED.get() == Some(plant)
}

/// Plants a bug in this thread.
pub(super) fn plant(plant: Option<Plant>) {
    PLANTED.set(plant);
}

/// Has the power fail after so many writes to the log.
pub(super) fn cut_power_after(writes: Option<u32>) {
    WRITES.set(writes);
}

/// Runs `act` on a thread of its own that has the same bug planted and the same power left as this one.
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

/// Asked before each write to the log.
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
