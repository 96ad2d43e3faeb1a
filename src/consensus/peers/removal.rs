//! Whether this member was removed: what the others report, and when that counts.
//!
//! Without TLS and without a peer secret, whoever takes over the address of one member could report a removal. So
//! unproven reports count once as many members made one as would, with this one, be a majority.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::directory::PeerDirectory;

/// Who reports that this member was removed.
#[derive(Debug, Default)]
pub(super) struct RemovalReports(Mutex<BTreeSet<u64>>);

/// Whether enough members report the removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    Confirmed,
    /// So many report it, and so many must.
    Reported {
        by: usize,
        needed: usize,
    },
}

impl RemovalReports {
    /// Member `by` reports it at its own address; `proven`: nobody else can have sent that.
    pub(super) fn add(&self, directory: &PeerDirectory, by: u64, proven: bool) -> Removal {
        let mut reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if directory.is_voter(by) {
            reports.insert(by);
        }
        reports.retain(|id| directory.is_voter(*id));
        let (by, needed) = (reports.len(), directory.majority_besides_own());
        if proven || by >= needed { Removal::Confirmed } else { Removal::Reported { by, needed } }
    }

    /// Member `by` responds otherwise now.
    pub(super) fn withdraw(&self, by: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&by);
    }
}
