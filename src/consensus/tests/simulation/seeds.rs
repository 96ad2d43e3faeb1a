//! The seeds, in parts that run in parallel.

use super::run::{Figures, run};

/// The number of seeds of all parts together, unless `RETUNE_TEST_SEEDS` is set.
const DEFAULT_SEEDS: u64 = 300;
const PARTS: u64 = 6;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs every `PARTS`th seed, starting with `part`.
fn run_part(part: u64) {
    let seeds: Vec<u64> = match number("RETUNE_TEST_SEED") {
        Some(one) => [one].into_iter().filter(|one| one % PARTS == part).collect(),
        None => (0..number("RETUNE_TEST_SEEDS").unwrap_or(DEFAULT_SEEDS))
            .filter(|seed| seed % PARTS == part)
            .collect(),
    };
    let (began, mut sum) = (std::time::Instant::now(), Figures::default());
    for seed in &seeds {
        match run(*seed, false, false) {
            Ok(figures) => {
                sum.answers += figures.answers;
                sum.terms += figures.terms;
                sum.changes += figures.changes;
                sum.virtual_ms += figures.virtual_ms;
            }
            Err(broken) => {
                let told = run(*seed, false, true)
                    .err()
                    .unwrap_or_else(|| "(it went well when run again)".to_owned());
                panic!("{told}\nRETUNE_TEST_SEED={seed}: {broken}");
            }
        }
    }
    println!("part {part}: {} seeds in {:.1?}: {sum:?}", seeds.len(), began.elapsed());
}

macro_rules! parts {
    ($($name:ident $part:literal),*) => {$(
        #[test]
        fn $name() {
            run_part($part);
        }
    )*};
}

parts!(seeds_0 0, seeds_1 1, seeds_2 2, seeds_3 3, seeds_4 4, seeds_5 5);

/// Runs all seeds from `RETUNE_TEST_SEED` on, `RETUNE_TEST_SEEDS` of them, and lists failures.
#[test]
#[ignore = "for whoever changes the simulation"]
fn survey() {
    if let Ok(name) = std::env::var("RETUNE_TEST_PLANT") {
        let found = super::plant::BUGS.into_iter().find(|bug| *bug == name);
        crate::fault::plant(Some(found.expect("a bug that can be planted")));
    }
    let stormy = std::env::var("RETUNE_TEST_STORM").is_ok();
    let first = number("RETUNE_TEST_SEED").unwrap_or(0);
    let mut failed = 0;
    std::panic::set_hook(Box::new(|panic| println!("{panic}")));
    for seed in first..first + number("RETUNE_TEST_SEEDS").unwrap_or(DEFAULT_SEEDS) {
        if let Err(broken) = run(seed, stormy, false) {
            failed += 1;
            println!("seed {seed}: {}", broken.chars().take(300).collect::<String>());
        }
    }
    println!("{failed} failed");
}
