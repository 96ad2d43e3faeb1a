//! Sends the same requests to real etcd and to `retune store`: the responses must be equal.
//!
//! `RETUNE_TEST_SEEDS=500` runs more sequences than usual, `RETUNE_TEST_SEED=17` only that one.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::pair::Pair;
use super::plans::{Step, after_restart, expiry, plan};
use super::requests::{FORM, asked};
use crate::support::programs::need_program;
use crate::support::{Etcd, Store};

/// How many different failures are printed.
const MAX_SHOWN_DIFFERENCES: usize = 4;
/// Runs a plan; the error contains the steps up to the first difference.
fn run(pair: &mut Pair, seed: u64, steps: &[Step]) -> Result<(), String> {
    pair.clean().map_err(|found| format!("seed {seed}, before its first step\n{found}"))?;
    play(pair, seed, steps)
}

pub(super) fn play(pair: &mut Pair, seed: u64, steps: &[Step]) -> Result<(), String> {
    for (at, step) in steps.iter().enumerate() {
        pair.step(step).map_err(|found| {
            let mut text = format!("seed {seed}, index {}, step {at} of\n", pair.index);
            for (number, step) in steps[..=at].iter().enumerate() {
                writeln!(text, "  {number:3} {step}").unwrap();
            }
            text + &found
        })?;
    }
    Ok(())
}

/// Returns the seeds to run: the requested one, the requested number, or `usual`.
pub(super) fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match (number("RETUNE_TEST_SEED"), number("RETUNE_TEST_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(usual),
    }
}

/// Runs all plans, on fresh servers after a difference, and fails with the first few.
#[track_caller]
pub(super) fn compare<S>(
    mut fresh: impl FnMut() -> (Pair, S),
    seeds: std::ops::Range<u64>,
    plan: fn(u64) -> Vec<Step>,
) -> BTreeSet<String> {
    let mut found = Vec::new();
    let (mut pair, mut servers) = fresh();
    for seed in seeds {
        if let Err(text) = run(&mut pair, seed, &plan(seed)) {
            found.push(text);
            if found.len() >= MAX_SHOWN_DIFFERENCES {
                break;
            }
            drop((pair, servers));
            (pair, servers) = fresh();
        }
    }
    drop(servers);
    assert!(found.is_empty(), "\n{}\n", found.join("\n\n"));
    pair.met
}

pub(super) fn two_etcds() -> (Pair, [Etcd; 2]) {
    let etcds = [Etcd::start().expect("etcd"), Etcd::start().expect("etcd")];
    (Pair::fresh(etcds[0].address(), etcds[1].address()), etcds)
}

pub(super) fn etcd_and_store() -> (Pair, (Etcd, Store)) {
    // etcd carries out the writes of every web page; ours only when told to.
    let servers = (Etcd::start().expect("etcd"), Store::start_with(&["--cors", "*"]));
    (Pair::fresh(servers.0.address(), servers.1.address()), servers)
}

/// Restarts both, the store in good order or killed.
pub(super) fn restart(etcd: &mut Etcd, store: &mut Store, kill: bool) {
    etcd.stop();
    if kill {
        store.kill();
    } else {
        store.terminate();
    }
    etcd.start_again();
    store.start_again();
}

#[test]
fn two_etcds_respond_alike_and_the_plans_cover_every_kind_of_response() {
    if !need_program("etcd") {
        return;
    }
    let seeds = seeds(16);
    let all = seeds.end - seeds.start >= 16;
    let met = compare(two_etcds, seeds, plan);
    let wanted = "100 101 102 104 105 107 108 201 202 203 209 210 211 212 get set create update compareAndSwap \
                  delete compareAndDelete";
    let watched = "401 set create update compareAndSwap delete compareAndDelete";
    let watched = watched.split(' ').map(|kind| format!("watched {kind}"));
    let missing: Vec<_> = wanted
        .split_whitespace()
        .map(str::to_owned)
        .chain(watched)
        .filter(|kind| !met.contains(kind))
        .collect();
    assert!(!all || missing.is_empty(), "no plan led to {missing:?}; met were {met:?}");
}

#[test]
fn two_etcds_expire_keys_alike() {
    if need_program("etcd") {
        let met = compare(two_etcds, seeds(2), expiry);
        assert!(met.contains("watched expire"), "{met:?}");
    }
}

#[test]
fn the_store_responds_as_etcd_does() {
    if need_program("etcd") {
        compare(etcd_and_store, seeds(40), plan);
    }
}

#[test]
fn the_store_expires_keys_as_etcd_does() {
    if need_program("etcd") {
        compare(etcd_and_store, seeds(4), expiry);
    }
}

#[test]
fn a_restarted_store_has_the_data_of_a_restarted_etcd() {
    if !need_program("etcd") {
        return;
    }
    let (mut pair, (mut etcd, mut store)) = etcd_and_store();
    let mut done = Ok(());
    for seed in [1, 13] {
        done = done.and_then(|()| play(&mut pair, seed, &plan(seed)));
        restart(&mut etcd, &mut store, seed % 8 == 1);
        pair = pair.again();
        done = done.and_then(|()| play(&mut pair, seed, &after_restart(seed)));
    }
    drop((etcd, store));
    assert!(done.is_ok(), "\n{}\n", done.unwrap_err());
}

#[test]
fn the_store_has_etcds_limits() {
    const MOST: usize = 10 << 20;
    if !need_program("etcd") {
        return;
    }
    let (mut pair, _servers) = etcd_and_store();
    // etcd leaves a part of longer or other bodies unread, and its response may be lost when the connection closes.
    for (length, chunked) in [(MOST, false), (MOST, true), (MOST + 1, false), (MOST + 1, true)] {
        let mut request = asked("PUT", "/v2/keys/large", &[]);
        request.headers.push(("Content-Type", FORM.to_owned()));
        request.body = Some(format!("value={}", "x".repeat(length - "value=".len())));
        request.chunked = chunked;
        let done = pair.ask(&request).and_then(|()| pair.ask(&asked("GET", "/v2/keys/large", &[])));
        done.unwrap_or_else(|found| panic!("{length} bytes\n{found}"));
    }
    let long = format!("/v2/keys/{}", "k".repeat(3900));
    let deep = format!("/v2/keys{}", "/d".repeat(200));
    for path in [long, deep, "/v2/keys".to_owned()] {
        for method in ["PUT", "GET", "HEAD"] {
            let request = asked(method, &path, &["recursive=true".to_owned()]);
            pair.ask(&request).unwrap_or_else(|found| panic!("{found}"));
        }
    }
}

#[test]
fn a_lagging_server_is_detected() {
    if !need_program("etcd") {
        return;
    }
    let (mut pair, etcds) = two_etcds();
    etcds[1].put("/stray", "x");
    let found = run(&mut pair, 0, &plan(0));
    assert!(found.is_err_and(|text| text.contains("seed 0") && text.contains("X-Etcd-Index")));
}
