//! Removes files that a crash may have left.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::confdir::Confdir;
use crate::replace::sweep;

/// Removes the staged files that a killed run left beside our destinations.
pub(super) fn sweep_stage_files(confdir: &Confdir) {
    let beside: BTreeSet<&Path> =
        confdir.resources.iter().filter_map(|resource| Path::new(&resource.dest).parent()).collect();
    let mut folders: BTreeSet<PathBuf> = beside.into_iter().map(Path::to_owned).collect();
    for resource in &confdir.resources {
        // The staged file of a symlinked destination lies beside its target.
        if std::fs::read_link(&resource.dest).is_ok() {
            let target = std::fs::canonicalize(&resource.dest).ok();
            folders.extend(target.and_then(|target| target.parent().map(Path::to_owned)));
        }
    }
    for folder in folders {
        match sweep(&folder, Duration::ZERO) {
            Ok(swept) => {
                for path in swept {
                    tracing::info!("removed the staged file of a run that was killed: {}", path.display());
                }
            }
            // A folder that is missing or unreadable is reported when its resource is rendered.
            Err(error) => tracing::debug!("{}: not swept: {error}", folder.display()),
        }
    }
}
