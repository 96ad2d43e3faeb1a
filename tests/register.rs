//! `retune register` against a fake container engine: whatever happens to containers, engine, store and registrar, the
//! store ends up matching the engine.
//!
//! `RETUNE_TEST_SEEDS=2000` runs more scripts than usual, `RETUNE_TEST_SEED=17` runs only that one, and
//! `RETUNE_TEST_AT_ONCE` is how many run concurrently.

mod crash;
mod engine;
mod faulty_link;
mod naive;
mod nodes;
mod oracle;
mod plan;
mod play;
mod raw;
mod scripts;
mod special_conditions;
mod states;
mod store_view;
mod tls;
