//! What the model and its loops promise, against a world that lies.

mod handover;
mod lives;
mod states;
mod status;
mod world;
