//! Putting new bytes where an old file was: atomically, with mode and owner.
//!
//! Owns: finding the file a destination really means, comparing it with what is wanted, the staged file beside
//! it, the rename, what reaches the disk and when, and putting the previous file back.
//! Promises: a reader sees the old file or the new one and nothing between, except where the destination is itself
//! a mount point: it cannot be renamed over, is written in place, and [`WriteMethod::InPlace`] says so. A failure leaves
//! the old bytes. A staged file is born readable by its owner only, and no staged file outlives its process but one
//! that was killed; [`sweep()`] removes those.
//! Leaves out: extended attributes and ACLs, which the new file does not inherit; hard links, whose other names
//! keep the old bytes; any lock against others who write the same file.
//!
//! Everything here blocks; callers run it off the runtime.

mod compare;
mod error;
mod place;
mod previous;
mod stage;
mod sweep;
mod sync;
mod target;

pub use compare::Difference;
pub use error::ReplaceError;
pub use place::WriteMethod;
pub use previous::Previous;
pub use stage::Staged;
pub use sweep::sweep;
pub use sync::{sync_all, sync_folder};
pub use target::Target;

/// What a file should be besides its bytes. What is unset is taken from the existing file; where there is none, the
/// mode is 0644 and the owner and group are the process's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The permission bits with setuid, setgid and sticky; exact, no umask is applied.
    pub mode: Option<u32>,
    /// The owner's number.
    pub uid: Option<u32>,
    /// The group's number.
    pub gid: Option<u32>,
}

/// The bits of a mode that are permissions.
const PERMISSION_BITS: u32 = 0o7777;

#[cfg(test)]
mod tests;
