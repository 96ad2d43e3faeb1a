//! Raft's view of the log. A failed read is recorded for the replica, which then stops: raft itself would panic.

use raft::prelude::{Entry, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use super::{Entries, Log, RAFT_GROUP_ID, SnapshotOffer, panics};

impl Log {
    /// Reads from the files and records a failure. The library panics on a file that has become shorter.
    fn read<T>(&self, read: impl FnOnce() -> raft_engine::Result<T>) -> Option<T> {
        let failure = match panics::catch(read) {
            Ok(Ok(found)) => return Some(found),
            Ok(Err(error)) => self.describe_error(&error),
            Err(panic) => format!("{}: reading the log: {panic}", self.engine.path()),
        };
        self.read_error.replace(Some(failure));
        None
    }
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.members.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        most: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.start.index {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        let most = most.into();
        if let Some(at) = self.cached(low) {
            let wanted = usize::try_from(high - low).unwrap_or(usize::MAX);
            let mut left = most.unwrap_or(u64::MAX);
            let fits = |(nth, entry): &(usize, &Entry)| {
                let size = entry.data.len() as u64 + 32;
                let fits = *nth == 0 || size <= left;
                left = left.saturating_sub(size);
                fits
            };
            let found = self.cache.range(at..).take(wanted).enumerate().take_while(fits);
            return Ok(found.map(|(_, entry)| entry.clone()).collect());
        }
        let mut found = Vec::new();
        let most = most.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        let fetch = || self.engine.fetch_entries_to::<Entries>(RAFT_GROUP_ID, low, high, most, &mut found);
        Ok(self.read(fetch).map(|_| found).unwrap_or_default())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.start.index {
            return Ok(self.start.term);
        }
        if index == self.last.index {
            return Ok(self.last.term);
        }
        if index < self.start.index {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        if let Some(at) = self.cached(index) {
            return Ok(self.cache[at].term);
        }
        match self.read(|| self.engine.get_entry::<Entries>(RAFT_GROUP_ID, index)) {
            Some(Some(entry)) => Ok(entry.term),
            Some(None) => Err(raft::Error::Store(StorageError::Unavailable)),
            None => Err(raft::Error::Store(StorageError::Compacted)),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.start.index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last.index)
    }

    /// Called for members that need removed entries. Until a snapshot knows `to` as a member, they must wait: any
    /// other error would be fatal.
    fn snapshot(&self, at_least: u64, to: u64) -> raft::Result<Snapshot> {
        let fits = |offer: &&SnapshotOffer| {
            let members = &offer.members;
            let knows = members.voters.contains(&to) || members.learners.contains(&to);
            knows && offer.mark.index >= at_least.max(self.start.index)
        };
        let Some(offer) = self.offer.as_ref().filter(fits) else {
            self.wanted.set(true);
            return Err(raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        };
        let mut snapshot = Snapshot::default();
        let about = snapshot.mut_metadata();
        about.index = offer.mark.index;
        about.term = offer.mark.term;
        about.set_conf_state(offer.members.clone());
        Ok(snapshot)
    }
}
