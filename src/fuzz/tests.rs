//! A short run of every target, so that a target that no longer fits the program fails in CI and not at the fuzzer.

use std::fs;
use std::panic::{catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{TARGETS, run};

/// Each target gets as long in a test; `RETUNE_TEST_BUDGET` names other seconds.
const TIME: Duration = Duration::from_millis(400);
/// One input may take as long: far more than any does on a loaded machine without optimisation.
const SLOW: Duration = Duration::from_secs(10);
/// Larger inputs find nothing that smaller ones do not, and are slow without optimisation.
const MAX_INPUT: usize = 16 << 10;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Changes an input as fuzzers do: bytes flipped, cut, doubled, moved, taken from another input.
fn mutate(rng: &mut StdRng, input: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..=input.len());
        let end = (at + rng.random_range(0..32)).min(input.len());
        match rng.random_range(0..7) {
            0 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
            1 if at < input.len() => input[at] = rng.random(),
            2 => drop(input.drain(at..end)),
            3 => {
                let marks = b"\0\"'{}[]%$:/\\\n#=&-~0";
                input.insert(at, marks[rng.random_range(0..marks.len())]);
            }
            4 => {
                let part = input[at..end].to_vec();
                for _ in 0..rng.random_range(1..40) {
                    input.splice(at..at, part.iter().copied());
                }
            }
            5 if !other.is_empty() => {
                let from = rng.random_range(0..other.len());
                let to = (from + rng.random_range(1..64)).min(other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
            _ => input.truncate(at),
        }
    }
    input.truncate(MAX_INPUT);
}

fn play(name: &str, input: &[u8]) {
    let begun = Instant::now();
    if let Err(panic) = catch_unwind(|| run(name, input)) {
        eprintln!("{name} fails for {:?}", String::from_utf8_lossy(input));
        resume_unwind(panic);
    }
    assert!(begun.elapsed() < SLOW, "{:?} for {:?}", begun.elapsed(), String::from_utf8_lossy(input));
}

#[test]
fn every_target_takes_its_corpus_and_changes_of_it() {
    let seconds = std::env::var("RETUNE_TEST_BUDGET").ok().map(|text| text.parse().unwrap());
    let time = seconds.map_or(TIME, Duration::from_secs);
    let seed = std::env::var("RETUNE_TEST_SEED").ok().map_or(1, |text| text.parse().unwrap());
    for (name, _) in TARGETS {
        let (mut rng, corpus) = (StdRng::seed_from_u64(seed), corpus(name));
        for input in &corpus {
            play(name, input);
        }
        let (mut runs, begun) = (0_u64, Instant::now());
        while begun.elapsed() < time {
            let [one, other] = [0, 1].map(|_| &corpus[rng.random_range(0..corpus.len())]);
            let mut input = one.clone();
            mutate(&mut rng, &mut input, other);
            play(name, &input);
            runs += 1;
        }
        eprintln!("{name}: {} inputs of the corpus, {runs} changed ones", corpus.len());
        assert!(runs > 0);
    }
}
