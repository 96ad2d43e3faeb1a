//! Faults that a simulation injects into a member: deliberate bugs, and a power cut before a write.
//!
//! A planted bug that is not found shows a gap in the simulation.

use std::cell::Cell;

use crate::consensus::session::Sessions;
use crate::consensus::state::State;
use crate::fault::{plant, planted};

/// The bugs that can be planted.
pub(super) const BUGS: [&str; 13] = [
    // A follower's reply is sent before its content is on disk.
    "SentBeforeSync",
    // The vote is not saved.
    "VoteForgotten",
    // A member that forgets its leader also forgets its vote.
    "VoteWithLeader",
    // A repeated proposal is applied again.
    "AlwaysAdmitted",
    // At a start, sessions are lost and the last entry is applied again.
    "AppliedTwice",
    // The keys of a snapshot are not installed.
    "KeysKept",
    // A quorum read does not wait for the state.
    "ReadNotWaited",
    // A read is served without asking the group.
    "ReadNotAsked",
    // The list of members changes when the change is proposed, not when it is committed.
    "EarlyChange",
    // The log is truncated completely.
    "CutTooFar",
    // The commit index is not saved with the next write.
    "CommitForgotten",
    // An unwanted snapshot replaces the one that raft is about to install.
    "FetchedReplaced",
    // A snapshot that was fetched but not installed counts at the next start.
    "FetchedCounts",
];

thread_local! {
    static WRITES: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Fails the power after this many writes to the log.
pub(super) fn cut_power_after(writes: Option<u32>) {
    WRITES.set(writes);
}

/// Runs `act` on its own thread with the same planted bug and remaining power as this one.
pub(super) fn on_a_thread<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    let (bug, writes) = (planted(), WRITES.get());
    let (result, writes) = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            plant(bug);
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

impl State {
    /// Returns the state as after a member lost track of the last applied entry and of the proposals' ids.
    pub(in crate::consensus) fn forget_last_entry(mut self, least: u64) -> Self {
        if self.applied.index > least {
            self.applied.index -= 1;
            self.sessions = Sessions::default();
        }
        self
    }
}
