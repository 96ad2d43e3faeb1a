//! The promises beyond the faults of other programs, each with a test named for the promise.

mod debts;
mod edits;
mod files;
mod generation;
mod ready;
mod roots;
mod secrets;
mod throttle;
mod told;
mod verify;
