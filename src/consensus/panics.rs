//! Calls the libraries of the log and the mirror, which panic on some disk errors.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::stop::panic_message;

/// The prefix of the names of sled's writer threads.
const SLED_THREADS: &str = "sled-io-";

thread_local! {
    static CALLING: Cell<bool> = const { Cell::new(false) };
}

/// Calls a library and turns a panic into an error. The caller reports it, so the panic itself is not logged.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let outer = CALLING.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    CALLING.set(outer);
    done.map_err(|payload| panic_message(payload.as_ref()))
}

/// Returns whether the caller reports a panic of this thread as a disk error.
#[must_use]
pub fn panic_is_reported() -> bool {
    CALLING.get() || std::thread::current().name().is_some_and(|name| name.starts_with(SLED_THREADS))
}
