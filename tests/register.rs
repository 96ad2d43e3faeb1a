//! `retune register` against a made-up container engine: whatever happens to containers, engine, store and registrar, the
//! store ends as the engine is.
//!
//! `RETUNE_TEST_SEEDS=2000` plays more scripts than usual, `RETUNE_TEST_SEED=17` that one alone, and `RETUNE_TEST_AT_ONCE` is
//! how many are played at the same time.

mod beside;
mod crash;
mod engine;
mod line;
mod naive;
mod nodes;
mod oracle;
mod plan;
mod play;
mod raw;
mod scripts;
mod states;
mod tls;
mod view;
