//! Whatever happens, the store ends up matching the engine, and no key of a running container is removed because a
//! request failed.

use std::ops::Range;
use std::time::Duration;

use tokio::task::JoinSet;

use super::naive::Bug;
use super::plan::{ContainerKind, Fault, Plan, Step};
use super::play::{RegistrarKind, play};
use crate::support::Store;
use crate::support::fake_engine::{Dialect, Endpoint, Failure, Health, runtime};
use crate::support::http::get;

/// How many seeds, unless the environment sets it.
const SEEDS: u64 = 120;
/// How many failures are shown.
const MAX_SHOWN_FAILURES: usize = 3;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seeds(usual: u64) -> Range<u64> {
    match number("RETUNE_TEST_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RETUNE_TEST_SEEDS").unwrap_or(usual),
    }
}

/// Runs all of these, several at a time; returns the failures, and how long each of the others took to become right.
async fn play_all(plans: Vec<Plan>, who: RegistrarKind, store: &str) -> (Vec<String>, Vec<Duration>) {
    let at_once = usize::try_from(number("RETUNE_TEST_AT_ONCE").unwrap_or(12)).unwrap();
    let (mut failed, mut took, mut running) = (Vec::new(), Vec::new(), JoinSet::new());
    let mut plans = plans.into_iter();
    loop {
        while running.len() < at_once && failed.len() < MAX_SHOWN_FAILURES {
            let Some(plan) = plans.next() else { break };
            let store = store.to_owned();
            running.spawn(async move { play(&plan, who, &store).await });
        }
        match running.join_next().await {
            None => return (failed, took),
            Some(Ok(Ok(span))) => took.push(span),
            Some(Ok(Err(why))) => failed.push(why),
            Some(Err(panic)) => failed.push(panic.to_string()),
        }
    }
}

fn run_plans(plans: Vec<Plan>, who: RegistrarKind) -> (Vec<String>, Vec<Duration>) {
    let store = Store::start();
    let address = store.address();
    let (mut failed, took) = runtime().block_on(async move {
        let all = runtime().spawn(async move { play_all(plans, who, &address).await });
        all.await.unwrap()
    });
    if get(&store.address(), "/version").is_none() {
        failed.push(format!("the store has ended:\n{}", store.log()));
    }
    (failed, took)
}

#[test]
fn after_any_script_the_store_matches_the_engine_and_no_steady_key_was_touched() {
    let seeds = seeds(SEEDS);
    let count = seeds.end - seeds.start;
    let (failed, mut took) = run_plans(seeds.map(Plan::of).collect(), RegistrarKind::Ours);
    let again =
        "to play one again: RETUNE_TEST_SEED=… cargo nextest run --test it register::scripts::after_any";
    assert!(failed.is_empty(), "\n{}\n{again}", failed.join("\n"));
    took.sort();
    let at = |share: usize| took[(took.len() - 1) * share / 100];
    eprintln!(
        "{count} scripts; right after {:?} (median), {:?} (of 95 in 100), {:?} (the slowest)",
        at(50),
        at(95),
        at(100)
    );
}

/// Returns a script of these steps, with plain settings.
fn script(seed: u64, steps: Vec<(Step, u64)>) -> Plan {
    Plan { seed, dialect: Dialect::Docker, suffix: true, short_grace: false, publish_node: false, steps }
}

fn assert_detected(who: RegistrarKind, plan: Plan, words: &str) {
    let (failed, _) = run_plans(vec![plan], who);
    let told = failed.first().unwrap_or_else(|| panic!("nothing was found wrong with {who:?}"));
    assert!(told.contains(words), "{who:?} failed for another reason:\n{told}");
}

#[test]
fn the_simplest_correct_registrar_passes_so_the_scripts_are_satisfiable() {
    let (failed, _) = run_plans(seeds(16).map(Plan::of).collect(), RegistrarKind::Naive(Bug::None));
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn a_registrar_that_ignores_events_and_lists_is_detected() {
    let steps = vec![(Step::Fault(Fault::Lost(100)), 50), (Step::Run(0, ContainerKind::One), 100)];
    assert_detected(RegistrarKind::WithoutLists, script(1, steps), "after everything was mended");
}

#[test]
fn a_registrar_that_treats_a_failed_list_as_empty_is_detected() {
    let fail = Fault::Request(Some(Endpoint::List), Failure::Error, 100);
    let steps = vec![(Step::Fault(fail), 400), (Step::Mend, 100)];
    assert_detected(
        RegistrarKind::Naive(Bug::FailureMeansNone),
        script(1, steps),
        "although nothing ever happened",
    );
}

#[test]
fn a_registrar_that_treats_a_partial_list_as_complete_is_detected() {
    let fail = Fault::Request(Some(Endpoint::List), Failure::Truncate, 100);
    let steps = vec![(Step::Fault(fail), 400), (Step::Mend, 100)];
    assert_detected(
        RegistrarKind::Naive(Bug::FailureMeansNone),
        script(1, steps),
        "although nothing ever happened",
    );
}

#[test]
fn a_registrar_that_treats_a_failed_inspection_as_a_dead_container_is_detected() {
    let fail = Fault::Request(Some(Endpoint::Inspect), Failure::Reset, 100);
    let steps = vec![(Step::Fault(fail), 400), (Step::Mend, 100)];
    assert_detected(
        RegistrarKind::Naive(Bug::FailureMeansGone),
        script(1, steps),
        "although nothing ever happened",
    );
}

#[test]
fn a_registrar_that_keeps_paused_containers_is_detected() {
    let steps = vec![(Step::Run(0, ContainerKind::One), 300), (Step::Pause(0), 0)];
    assert_detected(RegistrarKind::Naive(Bug::Paused), script(1, steps), "should not be");
}

#[test]
fn a_registrar_that_ignores_healthchecks_is_detected() {
    let steps = vec![(Step::Run(0, ContainerKind::Checked), 100), (Step::Probe(0, Health::Unhealthy), 0)];
    assert_detected(RegistrarKind::Naive(Bug::Health), script(1, steps), "should not be");
}

#[test]
fn a_registrar_that_keeps_the_port_of_an_earlier_run_is_detected() {
    let steps = vec![(Step::Run(0, ContainerKind::One), 400), (Step::Crash(0, Duration::ZERO), 100)];
    assert_detected(RegistrarKind::Naive(Bug::Cached), script(1, steps), "should be");
}
