//! Who must be found in every state of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// As long at least an old key with an old address waits for the new one.
const MIN_OLD_ADDRESS_WAIT: Duration = Duration::from_secs(10);
/// No request is under way for longer.
const MAX_REQUEST_DURATION: Duration = Duration::from_secs(15);

/// A container that is well, and where it is or was found.
struct Well {
    /// The present address last; earlier ones until that is seen.
    addresses: Vec<String>,
    /// Whether it has been found since it became well.
    seen: bool,
    /// Since when it is well.
    since: Instant,
    /// When it got its present address.
    moved: Instant,
}

/// Knows which containers are well, and holds every state of the store against that.
#[derive(Default)]
pub(super) struct Judge {
    well: BTreeMap<String, Well>,
    /// Until when leases may run out.
    pub(super) excused: Option<Instant>,
    /// What was wrong first.
    pub(super) wrong: Option<String>,
    /// So many states were looked at.
    pub(super) states: u64,
}

impl Judge {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// From now on these containers are well, each at its address.
    pub(super) fn know(&mut self, well: &BTreeMap<String, String>) {
        self.well.retain(|id, _| well.contains_key(id));
        for (id, address) in well {
            let known = self.well.entry(id.clone()).or_insert_with(|| Well {
                addresses: Vec::new(),
                seen: false,
                since: Instant::now(),
                moved: Instant::now(),
            });
            if known.addresses.last() != Some(address) {
                known.addresses.push(address.clone());
                known.moved = Instant::now();
            }
        }
    }

    pub(super) fn look(&mut self, values: &BTreeSet<String>, cause: &str) {
        self.states += 1;
        let excused = cause.contains("lease") && self.excused.is_some_and(|until| Instant::now() < until);
        for (id, well) in &mut self.well {
            if well.addresses.last().is_some_and(|address| values.contains(address)) {
                // What was asked of the store when it was not well may be on its way for so long.
                well.seen |= well.since.elapsed() > MAX_REQUEST_DURATION;
                well.addresses.drain(..well.addresses.len() - 1);
            } else if well.seen && !well.addresses.iter().any(|address| values.contains(address)) {
                well.seen = false;
                // An address that it left is kept for a bounded time while the new one cannot be written.
                let bound = well.addresses.len() > 1 && well.moved.elapsed() >= MIN_OLD_ADDRESS_WAIT;
                if !excused && !bound {
                    let addresses = &well.addresses;
                    self.wrong.get_or_insert_with(|| {
                        format!("{} is well at {addresses:?} and is not found after: {cause}", &id[..4])
                    });
                }
            }
        }
    }
}
