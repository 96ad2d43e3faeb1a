//! Replaces a file by new bytes: atomically, with mode and owner.
//!
//! Owns: resolving a destination to its real file, comparing it with the wanted one, the staged file beside it, the
//! rename, what reaches the disk and when, and restoring the previous file.
//! Promises: a reader sees the old file or the new one and nothing between, except where the destination is a mount
//! point: it cannot be renamed over, is written in place, and [`WriteMethod::InPlace`] reports that. A failure leaves
//! the old bytes. A staged file is created readable by its owner only, and does not outlive its process unless that
//! was killed; [`sweep()`] removes such files. In a folder that other users can write, no link is followed and no file of
//! theirs is used, unless [`Trust`] says so, and no race leads a write elsewhere. The owner of a file is inherited only
//! if that is root or this process's user.
//! Leaves out: extended attributes and ACLs, which the new file does not inherit; hard links, whose other names keep
//! the old bytes; any lock against other writers of the same file.
//!
//! Everything here blocks; callers run it outside the runtime.

mod compare;
mod error;
mod folder;
mod place;
mod previous;
mod stage;
mod sweep;
mod sync;
mod target;

pub use compare::Difference;
pub use error::ReplaceError;
pub use folder::{Trust, check_private};
pub use place::WriteMethod;
pub use previous::Previous;
pub use stage::Staged;
pub use sweep::sweep;
pub use sync::{sync_all, sync_folder};
pub use target::{Target, make_folder_of, remove};

/// The attributes of a file. Unset ones are taken from the existing file, if it belongs to root or to the process's user;
/// otherwise owner and group are those of the process and the mode is 0644, less what the existing file forbids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The permission bits with setuid, setgid and sticky; exact, no umask is applied.
    pub mode: Option<u32>,
    /// The owner's id.
    pub uid: Option<u32>,
    /// The group's id.
    pub gid: Option<u32>,
}

/// The permission bits of a mode.
const PERMISSION_BITS: u32 = 0o7777;

#[cfg(test)]
mod tests;
