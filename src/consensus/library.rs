//! Calls into the libraries of the log and the mirror, which panic over some errors of their disk.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::stop::panic_message;

/// How sled names the threads that write for it.
const SLED_THREADS: &str = "sled-io-";

thread_local! {
    static CALLING: Cell<bool> = const { Cell::new(false) };
}

/// Calls a library; what it panics with is an error. The caller reports it, so that the panic itself is no news.
pub(super) fn call<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let outer = CALLING.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    CALLING.set(outer);
    done.map_err(|payload| panic_message(payload.as_ref()))
}

/// Whether a panic of this thread is reported by somebody as an error of the disk.
#[must_use]
pub fn panic_is_reported() -> bool {
    CALLING.get() || std::thread::current().name().is_some_and(|name| name.starts_with(SLED_THREADS))
}
