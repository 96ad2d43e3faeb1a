//! An offline copy of a member's data.

use crate::consensus;

use super::end::End;
use super::job::Backup;

/// Copies the data folder of a stopped member.
pub(super) fn backup(wanted: &Backup) -> Result<String, End> {
    if let Some(option) = wanted.without_meaning.first() {
        let why = "it concerns files that only etcd has; use only --data-dir and --backup-dir";
        return Err(End::mistake(format_args!("--{option}: {why}")));
    }
    for (option, path) in [("data-dir", &wanted.data_dir), ("backup-dir", &wanted.backup_dir)] {
        if path.as_os_str().is_empty() {
            return Err(End::mistake(format_args!("--{option} required")));
        }
    }
    let copied = consensus::copy(&wanted.data_dir, &wanted.backup_dir).map_err(End::mistake)?;
    let (from, to) = (wanted.data_dir.display(), wanted.backup_dir.display());
    Ok(format!("copied {} keys up to index {} from {from} to {to}\n", copied.nodes, copied.index))
}
