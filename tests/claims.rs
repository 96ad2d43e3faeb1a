//! What is promised beyond what others get wrong, each with a test named for the promise.

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
