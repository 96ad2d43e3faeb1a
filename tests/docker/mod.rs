//! `retune register` with a real container engine and real containers.

mod checks;
mod common;
mod front;
mod life;
mod own;
mod seed_dockreg;
mod seed_registrator;
mod states;
