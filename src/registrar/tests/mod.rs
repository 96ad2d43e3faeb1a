//! The model and its loops, against a simulated unreliable world.

mod handover;
mod simulation;
mod states;
mod status;
mod world;
