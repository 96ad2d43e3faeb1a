//! The snapshot files that are being sent, so that neither they nor the log after them are removed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a snapshot is kept after its announcement, or after its last byte was sent: the other side must still
/// read it and request what follows.
const RELEASE_DELAY: Duration = Duration::from_secs(30);

/// The snapshots in use, by raft index. Clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::consensus) struct Pins(Arc<Mutex<BTreeMap<u64, Pin>>>);

#[derive(Clone, Copy, Debug)]
struct Pin {
    serving: usize,
    until: Instant,
}

/// A snapshot being served; ends its pin's count when dropped.
#[derive(Debug)]
pub(super) struct PinGuard {
    pins: Pins,
    index: u64,
    served: bool,
}

impl PinGuard {
    /// The snapshot exists and is being sent.
    pub(super) fn served(&mut self) {
        self.served = true;
    }
}

impl Pins {
    /// Announces a snapshot: a member will fetch it.
    pub(super) fn announce(&self, index: u64) {
        self.change(index, |pin| pin.until = Instant::now() + RELEASE_DELAY);
    }

    /// Keeps a snapshot until the returned guard is dropped, and a little longer.
    pub(super) fn hold(&self, index: u64) -> PinGuard {
        self.change(index, |pin| pin.serving += 1);
        PinGuard { pins: self.clone(), index, served: false }
    }

    /// Returns the lowest index in use.
    pub(in crate::consensus) fn held(&self) -> Option<u64> {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        pins.retain(|_, pin| pin.serving > 0 || now < pin.until);
        pins.keys().next().copied()
    }

    /// Returns all indexes in use.
    pub(in crate::consensus) fn all(&self) -> BTreeSet<u64> {
        self.held();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    fn change(&self, index: u64, change: impl FnOnce(&mut Pin)) {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(pins.entry(index).or_insert(Pin { serving: 0, until: Instant::now() }));
    }
}

impl Drop for PinGuard {
    fn drop(&mut self) {
        self.pins.change(self.index, |pin| {
            pin.serving -= 1;
            // A request for a missing snapshot must not pin the log.
            if self.served {
                pin.until = Instant::now() + RELEASE_DELAY;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_snapshot_in_use_is_kept_until_a_while_after_it_was_served() {
        let pins = Pins::default();
        assert_eq!(pins.held(), None);
        pins.announce(9);
        let mut held = pins.hold(5);
        held.served();
        assert_eq!(pins.held(), Some(5));
        drop(held);
        assert_eq!(pins.held(), Some(5));
        for pin in pins.0.lock().unwrap().values_mut() {
            pin.until = Instant::now();
        }
        assert_eq!(pins.held(), None);
        drop(pins.hold(3));
        assert_eq!(pins.held(), None, "a snapshot that is not there was held");
    }
}
