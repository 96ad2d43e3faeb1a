//! Faults that a simulation injects, to show that it detects them.

use std::cell::Cell;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registrar) enum Planted {
    Nothing,
    /// Deletes old keys whether their successors are confirmed or not.
    NoWait,
    /// Gives a key to another service before its own service is found elsewhere.
    NoWaitForAnothers,
    /// Does not renew the lease of a key that waits.
    NotRenewed,
    /// Deletes the key of a service whose new key still belongs to another.
    NoWaitForUnplaced,
}

thread_local! {
    static PLANTED: Cell<Planted> = const { Cell::new(Planted::Nothing) };
}

/// Injects the fault into everything on this thread.
pub(in crate::registrar) fn planted(fault: Planted) {
    PLANTED.set(fault);
}

pub(in crate::registrar) fn is(fault: Planted) -> bool {
    PLANTED.get() == fault
}
