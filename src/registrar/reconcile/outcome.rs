//! Records the results of actions, and logs them.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use tokio::time::Instant;

use super::actions::{ActionError, RemoveOutcome, RenewOutcome, Write, WriteEffect, WriteOutcome};
use super::held::{KeyState, Owner};
use super::owned::{ListRead, OwnedKey, OwnedListState};
use super::reconciler::{Done, Reconciler};
use crate::client::cluster::RequestError;
use crate::protocol::quoted;
use crate::registrar::status_board::Count;

/// How soon another owner's key is tried again; sooner where leases are renewed more often.
const CONFLICT_RETRY_DELAY: Duration = Duration::from_secs(5);
/// How often keys without a lease are checked: a store restored from a backup does not report what it lost.
const UNLEASED_CHECK_INTERVAL: Duration =
    if cfg!(test) { Duration::from_millis(500) } else { Duration::from_secs(60) };
/// How much of another owner's value is shown.
const MAX_EXCERPT_CHARS: usize = 100;

impl Reconciler {
    pub(super) fn finish(&mut self, done: Done) {
        match done {
            Done::Written { write, outcome, sent } => self.written(&write, outcome, sent),
            Done::Removed { key, outcome } => self.removed(&key, outcome),
            Done::OursRenewed { key, outcome, sent } => self.ours_renewed(&key, outcome, sent),
            Done::ListRead(read) => self.list_read(read),
            Done::ListWritten { keys, result } => self.list_written(keys, result),
            Done::Pinged(Err(ActionError::Failed(error))) => self.failed(&error, None),
            Done::Pinged(_) => self.store_responded(),
        }
    }

    /// Handles a request without a response; the next try does not begin with `key`.
    fn failed(&mut self, error: &RequestError, key: Option<&str>) {
        self.availability.failed(error, &self.status_board);
        self.last_failed = key.map(str::to_owned);
    }

    fn store_responded(&mut self) {
        if let Some(outage) = self.availability.answered(&self.status_board) {
            // Nothing could be confirmed during the outage, so waiting keys get that time back.
            for until in self.held.values_mut().flat_map(|held| held.waits.values_mut()) {
                *until += outage;
            }
        }
    }

    fn answered(&mut self) {
        self.store_responded();
        self.last_failed = None;
    }

    /// Ends the action on a key.
    fn ended<T>(&mut self, key: &str, outcome: &Result<T, ActionError>) {
        self.busy.remove(key);
        if !matches!(outcome, Err(ActionError::Failed(_))) {
            self.answered();
        }
    }

    fn written(&mut self, write: &Write, outcome: Result<WriteOutcome, ActionError>, sent: Instant) {
        let Write { key, value, .. } = write;
        self.ended(key, &outcome);
        match outcome {
            Ok(WriteOutcome::Written { index, how }) => self.key_written(key, value, index, how, sent),
            Ok(WriteOutcome::Taken { value: theirs }) => {
                self.count(Count::Conflicts);
                let shown: String = theirs.chars().take(MAX_EXCERPT_CHARS).collect();
                let why = format!("held by another owner with value {}", quoted(&shown));
                self.blocked(key, value, why);
                if let Some(held) = self.held.get_mut(key) {
                    held.own_values.clear();
                }
                self.list_at = None;
            }
            Err(ActionError::Refused { why }) => self.blocked(key, value, why),
            Err(ActionError::Failed(error)) => {
                self.failed(&error, Some(key));
                let Some(held) = self.held.get_mut(key) else { return };
                let now = Instant::now();
                match &held.key_state {
                    // The renewal may have succeeded; the next try finds out. The value is the same either way.
                    KeyState::Kept { value: kept, .. } if kept == value => {}
                    // This was logged before.
                    KeyState::Blocked { .. } => held.due = now,
                    KeyState::Kept { .. } | KeyState::Unknown => {
                        held.value_unknown(now);
                        self.report(key, false, "the store is unavailable");
                    }
                }
            }
        }
    }

    fn key_written(&mut self, key: &str, value: &str, index: u64, how: WriteEffect, sent: Instant) {
        let due = sent + self.period(key);
        let Some(held) = self.held.get_mut(key) else { return };
        if held.own_values.len() != 1 {
            self.list_at = None;
        }
        let owner = held.owner.clone();
        let Owner { id, service, .. } = owner.clone();
        held.own_values = [(value.to_owned(), owner)].into();
        held.key_state = KeyState::Kept { value: value.to_owned(), index };
        held.due = due;
        match how {
            WriteEffect::Added => tracing::info!("added: {id} {service}"),
            WriteEffect::AddedAgain => {
                tracing::warn!("added again: {id} {service} (the store had lost {key})");
            }
            WriteEffect::Changed => tracing::info!("changed: {id} {service}"),
            WriteEffect::Renewed => tracing::debug!("refreshed: {id} {service}"),
            WriteEffect::Found => tracing::info!("found: {id} {service} (the key existed already)"),
        }
        self.count(match how {
            WriteEffect::Added | WriteEffect::Changed => Count::Added,
            WriteEffect::AddedAgain => Count::Recreated,
            WriteEffect::Renewed | WriteEffect::Found => Count::Refreshed,
        });
        self.report(key, true, "");
    }

    /// Handles a key that the store rejects or another owner holds: logs it once, and retries for ever.
    fn blocked(&mut self, key: &str, desired: &str, why: String) {
        self.report(key, false, &why);
        let due = Instant::now() + self.retry_delay();
        let Some(held) = self.held.get_mut(key) else { return };
        held.due = due;
        let reported = matches!(&held.key_state, KeyState::Blocked { why: old, .. } if *old == why);
        if !reported {
            let Owner { id, service, .. } = &held.owner;
            tracing::error!("{id} {service}: the key {key} is left as it is: {why}");
        }
        held.key_state = KeyState::Blocked { desired: desired.to_owned(), why };
    }

    fn removed(&mut self, key: &str, outcome: Result<RemoveOutcome, ActionError>) {
        self.ended(key, &outcome);
        match outcome {
            Ok(outcome) => {
                self.list_at = None;
                self.status_board.key(key, None);
                let Some(held) = self.held.remove(key) else { return };
                let Owner { id, service, .. } = held.owner;
                match outcome {
                    RemoveOutcome::Gone => {
                        self.count(Count::Removed);
                        tracing::info!("removed: {id} {service}");
                    }
                    RemoveOutcome::Taken => tracing::warn!(
                        "left alone: {id} {service}: the key {key} belongs to another owner now"
                    ),
                }
            }
            Err(ActionError::Refused { why }) => self.blocked(key, "", why),
            Err(ActionError::Failed(error)) => {
                self.failed(&error, Some(key));
                if let Some(held) = self.held.get_mut(key) {
                    // Whether the key is gone is unknown, which matters if it becomes wanted again meanwhile.
                    held.value_unknown(Instant::now());
                }
            }
        }
    }

    fn ours_renewed(&mut self, key: &str, outcome: Result<RenewOutcome, ActionError>, sent: Instant) {
        self.ended(key, &outcome);
        let due = sent + self.period(key);
        match outcome {
            Ok(RenewOutcome::Renewed { value, index }) => {
                self.count(Count::Refreshed);
                let held =
                    self.held.get_mut(key).filter(|held| !matches!(held.key_state, KeyState::Blocked { .. }));
                if let Some(held) = held {
                    held.key_state = KeyState::Kept { value, index };
                }
            }
            Ok(RenewOutcome::Lost) => {
                self.forget(key);
                self.list_at = None;
            }
            Err(ActionError::Failed(error)) => return self.failed(&error, Some(key)),
            Err(ActionError::Refused { why }) => tracing::warn!("cannot renew the lease of {key}: {why}"),
        }
        if let Some(held) = self.held.get_mut(key) {
            held.due = due;
        }
    }

    pub(super) fn list_read(&mut self, read: Result<ListRead, ActionError>) {
        let now = Instant::now();
        (self.listing, self.list_at) = (false, None);
        self.owned_list = match read {
            Ok(ListRead::Ours { index, keys }) => {
                // Was another host's until now: treat its keys like those of an earlier run.
                if std::mem::take(&mut self.foreign_logged) {
                    self.adopt(&keys);
                }
                OwnedListState::Ours { index, written: keys, at: now, stale: None }
            }
            Ok(ListRead::Foreign { host }) => {
                if !std::mem::replace(&mut self.foreign_logged, true) {
                    tracing::error!(
                        "another host ({host}), or this one before a recent reboot, uses the node name {}: give each host its own \
                         name with --node-name; until then this node keeps no list of its keys, and after a crash they \
                         stay until their leases expire",
                        self.config.node
                    );
                }
                OwnedListState::Foreign { from: now + self.retry_delay() }
            }
            Err(ActionError::Refused { why }) => self.without_list(&why),
            Err(ActionError::Failed(error)) => return self.failed(&error, None),
        };
        self.store_responded();
    }

    fn without_list(&self, why: &str) -> OwnedListState {
        let place = super::owned::list_key(&self.config);
        tracing::warn!(
            "cannot keep the list of this node's keys at {place}, so after a crash they stay until their leases expire: {why}"
        );
        OwnedListState::Off
    }

    fn list_written(&mut self, keys: BTreeMap<String, OwnedKey>, result: Result<Option<u64>, ActionError>) {
        let now = Instant::now();
        (self.listing, self.list_at) = (false, None);
        self.owned_list = match result {
            Ok(Some(index)) => {
                OwnedListState::Ours { index: Some(index), written: keys, at: now, stale: None }
            }
            Ok(None) => OwnedListState::Unread { from: now },
            Err(ActionError::Refused { why }) => self.without_list(&why),
            Err(ActionError::Failed(error)) => return self.failed(&error, None),
        };
        self.answered();
    }

    /// Returns how soon a key is tried again that could not be written.
    fn retry_delay(&self) -> Duration {
        if self.config.lease.ttl.is_some() {
            self.config.lease.refresh.min(CONFLICT_RETRY_DELAY)
        } else {
            CONFLICT_RETRY_DELAY
        }
    }

    /// Returns the interval between two renewals of a key; it differs per key, so that renewals spread out.
    fn period(&self, key: &str) -> Duration {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((key, &self.config.node));
        let share = 0.8 + 0.2 * (hash % 1_000) as f64 / 1_000.0;
        let period =
            if self.config.lease.ttl.is_some() { self.config.lease.refresh } else { UNLEASED_CHECK_INTERVAL };
        period.mul_f64(share)
    }
}
