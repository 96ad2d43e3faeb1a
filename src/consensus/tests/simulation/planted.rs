//! The checks work: each planted bug is found within a few seeds.

use std::ops::Range;

use super::plant::BUGS;
use super::run::run;
use crate::fault::plant;

/// Searches a seed in which `bug` is found, and prints the failing check.
fn is_found(bug: &'static str, stormy: bool, seeds: Range<u64>) {
    assert!(BUGS.contains(&bug), "{bug} is not on the list");
    std::panic::set_hook(Box::new(|_| {}));
    let found = seeds.clone().find_map(|seed| {
        // Removed again even after a panic, so that this thread's next test does not have it.
        plant(Some(bug));
        let outcome = run(seed, stormy, false);
        plant(None);
        Some((seed, outcome.err()?))
    });
    drop(std::panic::take_hook());
    let (seed, broken) = found.unwrap_or_else(|| panic!("{bug} is not found in seeds {seeds:?}"));
    println!("{bug} is found in seed {seed}: {}", broken.lines().next().unwrap_or_default());
}

macro_rules! bugs {
    ($($(#[$more:meta])* $name:ident $bug:ident $stormy:literal $first:literal $last:literal),* $(,)?) => {$(
        #[test]
        $(#[$more])*
        fn $name() {
            is_found(stringify!($bug), $stormy, $first..$last);
        }
    )*};
}

bugs! {
    a_message_sent_before_the_sync_is_found SentBeforeSync true 0 600,
    a_repeated_proposal_applied_again_is_found AlwaysAdmitted false 0 300,
    an_entry_applied_twice_is_found AppliedTwice false 0 300,
    keys_that_survive_a_snapshot_are_found KeysKept true 0 600,
    a_read_that_does_not_wait_is_found ReadNotWaited false 0 300,
    a_read_without_a_quorum_is_found ReadNotAsked false 0 300,
    an_early_membership_change_is_found EarlyChange false 0 300,
    a_log_truncated_too_far_is_found CutTooFar false 0 300,
    a_fetched_snapshot_used_too_early_is_found FetchedCounts false 0 600,
}

// Two leaders at a time need very bad luck.
bugs! {
    #[ignore = "takes up to thousands of seeds"]
    a_vote_that_is_not_saved_is_found VoteForgotten true 0 5000,
    #[ignore = "takes up to thousands of seeds"]
    a_vote_cleared_with_the_leader_is_found VoteWithLeader true 0 5000,
    #[ignore = "takes up to thousands of seeds"]
    a_lost_commit_index_is_found CommitForgotten false 0 5000,
}
