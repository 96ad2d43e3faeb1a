//! Hours of a registrar in seconds: the model and the reconciler, in virtual time, between an engine whose events are
//! lost, delayed and duplicated and a store that is slow, fails and loses replies, across restarts and crashes of the
//! registrar. No healthy container is missing in any state of the store.

mod checker;
mod store;
mod worker;
mod world;

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::fault::plant;

/// The bugs that these simulations find.
const BUGS: [&str; 4] = [
    // Deletes old keys whether their successors are confirmed or not.
    "NoWait",
    // Gives a key to another service before its own service is found elsewhere.
    "NoWaitForAnothers",
    // Does not renew the lease of a key that waits.
    "NotRenewed",
    // Deletes the key of a service whose new key still belongs to another.
    "NoWaitForUnplaced",
];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs one simulation; returns the number of checked states of the store, or the error and the events before it.
fn simulate(seed: u64, span: Duration) -> Result<u64, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(world::simulate(seed, span))
}

/// Runs these simulations, two at a time; returns the number of checked states, or the first error.
fn simulate_all(seeds: Range<u64>, span: Duration, bug: Option<&'static str>) -> Result<u64, String> {
    let (next, states, wrong) = (AtomicU64::new(seeds.start), AtomicU64::new(0), Mutex::new(None));
    let work = || {
        plant(bug);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || wrong.lock().unwrap().is_some() {
                break;
            }
            match simulate(seed, span) {
                Ok(seen) => {
                    states.fetch_add(seen, Ordering::Relaxed);
                }
                Err(why) => {
                    let again = format!(
                        "seed {seed} (again with RETUNE_TEST_SEED={seed} RETUNE_TEST_SEEDS=1): {why}"
                    );
                    wrong.lock().unwrap().get_or_insert(again);
                }
            }
        }
        plant(None);
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    match wrong.into_inner().unwrap() {
        Some(why) => Err(why),
        None => Ok(states.into_inner()),
    }
}

#[test]
fn no_healthy_container_is_missing_in_any_state_of_the_store() {
    let first = number("RETUNE_TEST_SEED", 1);
    let seeds = first..first + number("RETUNE_TEST_SEEDS", 4);
    let minutes = number("RETUNE_TEST_MINUTES", 120);
    let count = seeds.end - seeds.start;
    match simulate_all(seeds, Duration::from_secs(60 * minutes), None) {
        Ok(states) => {
            eprintln!("{count} simulations of {minutes} minutes: {states} states of the store, all right");
        }
        Err(why) => panic!("{why}"),
    }
}

/// Seeds that failed once. 5248: a second cycle of renames while a temporary key of the first is in use. 5179: a
/// temporary key whose reply is lost. 5334 and 5386: a crash while a key changes hands, after which its owner is
/// unknown. 6240: a store that accepts no new keys, and gets no other request until leases expire. 8218 and 8927: a
/// rename that is undone, and the event of that is lost. 20879 and 20942: a wait for another value inherits the end of
/// an earlier, shorter wait.
#[test]
fn seeds_that_once_lost_a_container_pass() {
    for seed in [5179, 5248, 5334, 5386, 6240, 8218, 8927, 20879, 20942] {
        if let Err(why) = simulate_all(seed..seed + 1, Duration::from_secs(20 * 60), None) {
            panic!("{why}");
        }
    }
}

#[test]
fn each_planted_bug_is_detected() {
    let hours = Duration::from_secs(10 * 3_600);
    for bug in BUGS {
        let found = simulate_all(1..40, hours, Some(bug));
        let why = found.err().unwrap_or_else(|| panic!("{bug} was not found"));
        assert!(why.contains("is not found after"), "{bug} was found by something else: {why}");
        eprintln!("{bug}: {why}");
    }
}
