//! What must hold whatever happens, one sentence a file.

pub(super) mod durable;
pub(super) mod election;
pub(super) mod handover;
pub(super) mod linear;
pub(super) mod live;
pub(super) mod matching;
pub(super) mod membership;
pub(super) mod once;
pub(super) mod watches;

/// Fine, or what is broken.
pub(super) type Check = Result<(), String>;

/// Breaks with a text unless `holds`.
pub(super) fn ensure(holds: bool, text: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(text()) }
}
