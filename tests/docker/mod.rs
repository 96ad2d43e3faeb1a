//! `retune register` with a real container engine and real containers.

mod checks;
mod front;
mod helpers;
mod life;
mod own;
mod seed_dockreg;
mod seed_registrator;
