//! The invariants, one per file.

pub(super) mod durable;
pub(super) mod election;
pub(super) mod handover;
pub(super) mod linear;
pub(super) mod live;
pub(super) mod matching;
pub(super) mod membership;
pub(super) mod once;
pub(super) mod watches;

/// Success, or the violated invariant.
pub(super) type Check = Result<(), String>;

/// Fails with a text unless `holds`.
pub(super) fn ensure(holds: bool, text: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(text()) }
}
