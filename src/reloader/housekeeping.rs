//! Removes files that a crash may have left.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::confdir::Confdir;
use super::resource::Resource;
use crate::replace::{Target, sweep};

/// Removes the staged files that a killed run left beside our destinations.
pub(super) fn sweep_stage_files(confdir: &Confdir) {
    // The staged file of a symlinked destination lies beside its target. A destination that is refused has none.
    let target = |resource: &Arc<Resource>| Target::resolve_with(Path::new(&resource.dest), resource.trust());
    let targets = confdir.resources.iter().filter_map(|resource| target(resource).ok());
    let folders: BTreeSet<PathBuf> = targets.map(|target| target.folder().to_owned()).collect();
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
