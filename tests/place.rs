//! `retune place` with real stores that hold what registrars publish.

mod choice;
mod nodes;
mod output;
