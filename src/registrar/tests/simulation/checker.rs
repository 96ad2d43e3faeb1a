//! Which containers must be registered in every state of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// How long an old key with an old address waits for the new one, at least.
const MIN_OLD_ADDRESS_WAIT: Duration = Duration::from_secs(10);
/// No request takes longer.
const MAX_REQUEST_DURATION: Duration = Duration::from_secs(15);

/// A healthy container, and the addresses where it is or was registered.
struct HealthyContainer {
    /// The current address last; earlier ones until that is registered.
    addresses: Vec<String>,
    /// Whether it was registered since it became healthy.
    seen: bool,
    /// Since when it is healthy.
    since: Instant,
    /// When it got its current address.
    moved: Instant,
}

/// Knows which containers are healthy, and checks every state of the store against that.
#[derive(Default)]
pub(super) struct StateChecker {
    well: BTreeMap<String, HealthyContainer>,
    /// Until when leases may expire.
    pub(super) excused: Option<Instant>,
    /// The first error.
    pub(super) wrong: Option<String>,
    /// How many states were checked.
    pub(super) states: u64,
}

impl StateChecker {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Sets the containers that are healthy from now on, each with its address.
    pub(super) fn set_healthy(&mut self, well: &BTreeMap<String, String>) {
        self.well.retain(|id, _| well.contains_key(id));
        for (id, address) in well {
            let known = self.well.entry(id.clone()).or_insert_with(|| HealthyContainer {
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
                // A request from before it became healthy may be in transit for this long.
                well.seen |= well.since.elapsed() > MAX_REQUEST_DURATION;
                well.addresses.drain(..well.addresses.len() - 1);
            } else if well.seen && !well.addresses.iter().any(|address| values.contains(address)) {
                well.seen = false;
                // A previous address is kept for a limited time while the new one cannot be written.
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
