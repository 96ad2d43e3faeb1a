//! Faults that a simulation plants, to see that it finds them.

use std::cell::Cell;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registrar) enum Planted {
    Nothing,
    /// Old keys are deleted whether their successors are confirmed or not.
    NoWait,
    /// A key is given to another service before its own is found elsewhere.
    NoWaitForAnothers,
    /// The lease of a key that waits is not renewed.
    NotRenewed,
    /// The key of a service whose new key is still another's is deleted.
    NoWaitForUnplaced,
}

thread_local! {
    static PLANTED: Cell<Planted> = const { Cell::new(Planted::Nothing) };
}

/// Plants this in everything that runs on this thread.
pub(in crate::registrar) fn planted(fault: Planted) {
    PLANTED.set(fault);
}

pub(in crate::registrar) fn is(fault: Planted) -> bool {
    PLANTED.get() == fault
}
