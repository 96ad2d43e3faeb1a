//! The promises beyond the faults of other programs, each with a test named for the promise.

mod commands;
mod edits;
mod files;
mod generation;
mod messages;
mod pending_reloads;
mod ready;
mod roots;
mod secrets;
mod throttle;
mod untrusted;
mod verify;
