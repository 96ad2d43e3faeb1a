//! The model and its loops, against a simulated unreliable world.

mod handover;
mod lives;
mod states;
mod status;
mod world;
