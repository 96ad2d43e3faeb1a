//! An offline copy of a member's data.

use crate::consensus;

use super::command::Backup;
use super::error::CommandError;

/// Copies the data folder of a stopped member.
pub(super) fn backup(wanted: &Backup) -> Result<String, CommandError> {
    if let Some(option) = wanted.ignored.first() {
        let why = "it concerns files that only etcd has; use only --data-dir and --backup-dir";
        return Err(CommandError::with_prefix(format_args!("--{option}: {why}")));
    }
    for (option, path) in [("data-dir", &wanted.data_dir), ("backup-dir", &wanted.backup_dir)] {
        if path.as_os_str().is_empty() {
            return Err(CommandError::with_prefix(format_args!("--{option} required")));
        }
    }
    let copied = consensus::copy(&wanted.data_dir, &wanted.backup_dir).map_err(CommandError::with_prefix)?;
    let (from, to) = (wanted.data_dir.display(), wanted.backup_dir.display());
    Ok(format!("copied {} keys up to index {} from {from} to {to}\n", copied.nodes, copied.index))
}
