//! `retune register` with a real container engine and real containers.

mod checks;
mod cleanup;
mod common;
mod front;
mod lifecycle;
mod seed_dockreg;
mod seed_registrator;
mod states;
