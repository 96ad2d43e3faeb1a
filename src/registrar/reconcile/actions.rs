//! Carries out one action on one key.

use std::collections::BTreeSet;

use super::dirs;
use super::request::{
    COMPARE_FAILED, KEY_EXISTS, NEWEST, NOT_A_DIRECTORY, NOT_A_FILE, NOT_FOUND, keys_of, refusal,
};
use crate::client::cluster::{Cluster, Delete, Node, RequestError, Set};

/// How often a write is attempted on a key that keeps changing.
const MAX_ATTEMPTS: usize = 4;
const KEEPS_CHANGING: &str = "the key keeps changing";

/// A write to one key.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) key: String,
    pub(super) value: String,
    /// Seconds; `None`: for ever.
    pub(super) ttl: Option<u64>,
    /// The values that are ours, which this write may replace.
    pub(super) own_values: BTreeSet<String>,
    /// Whether an earlier attempt of this run may have succeeded.
    pub(super) tried: bool,
    pub(super) first: WriteStep,
}

/// One request of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteStep {
    /// Write the key if it does not exist; if it does, decide by its value.
    Create,
    /// Write another value, if the key was last written at this index.
    Swap(u64),
    /// Renew the lease, if the key was last written at this index; without a lease, check that it still exists.
    Renew(u64),
    /// Read the key, then decide.
    Read,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteEffect {
    Added,
    /// The key was written again: the store had lost it.
    AddedAgain,
    Changed,
    Renewed,
    /// The key already had the right value.
    Found,
}

/// The result of writing a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    /// The key has the wanted value, last written at this index.
    Written { index: u64, how: WriteEffect },
    /// The key has another owner's value.
    Taken { value: String },
}

/// The result of renewing a key's lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RenewOutcome {
    /// The key has this value of ours, last written at this index, and its lease is renewed.
    Renewed { value: String, index: u64 },
    /// The key is gone, or has another owner's value.
    Lost,
}

/// The result of deleting a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RemoveOutcome {
    /// No value of ours is left.
    Gone,
    /// The key has another owner's value by now.
    Taken,
}

/// Why an action did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ActionError {
    /// The store rejects the request.
    Refused { why: String },
    /// No response; whether the store applied the request is unknown.
    Failed(RequestError),
}

impl ActionError {
    fn refused(why: &str) -> Self {
        Self::Refused { why: why.to_owned() }
    }
}

impl From<RequestError> for ActionError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Etcd(error) => Self::Refused { why: refusal(&error) },
            error => Self::Failed(error),
        }
    }
}

/// Writes a value, unless the key has another owner's value.
pub(super) async fn write(cluster: &Cluster, write: &Write) -> Result<WriteOutcome, ActionError> {
    let (mut step, mut how) = (
        write.first,
        match write.first {
            WriteStep::Create | WriteStep::Read => WriteEffect::Added,
            WriteStep::Swap(_) => WriteEffect::Changed,
            WriteStep::Renew(_) => WriteEffect::Renewed,
        },
    );
    let known = !matches!(write.first, WriteStep::Create | WriteStep::Read);
    for _ in 0..MAX_ATTEMPTS * 2 {
        let (key, keys) = (write.key.as_bytes(), keys_of(cluster));
        let answer = match step {
            WriteStep::Read => keys.get(key, NEWEST).await,
            WriteStep::Renew(guard) => match renewal(write, guard) {
                Some(set) => keys.set(key, b"", &set).await,
                None => keys.get(key, NEWEST).await,
            },
            WriteStep::Create => {
                let set = Set { exists: Some(false), ttl: write.ttl.unwrap_or(0), ..Set::default() };
                keys.set(key, write.value.as_bytes(), &set).await
            }
            WriteStep::Swap(guard) => {
                let set = Set { previous_index: guard, ttl: write.ttl.unwrap_or(0), ..Set::default() };
                keys.set(key, write.value.as_bytes(), &set).await
            }
        };
        match answer {
            Ok(event)
                if step == WriteStep::Read
                    || (matches!(step, WriteStep::Renew(_)) && write.ttl.is_none()) =>
            {
                (step, how) = match decide(write, &event.node, how)? {
                    ObservedKey::Go(step, how) => (step, how),
                    ObservedKey::End(outcome) => return Ok(outcome),
                };
            }
            Ok(event) => return Ok(WriteOutcome::Written { index: event.node.modified, how }),
            Err(error) => match error.code() {
                Some(KEY_EXISTS | COMPARE_FAILED) => step = WriteStep::Read,
                Some(NOT_FOUND) => {
                    (step, how) =
                        (WriteStep::Create, if known { WriteEffect::AddedAgain } else { WriteEffect::Added });
                }
                _ => return Err(error.into()),
            },
        }
    }
    Err(ActionError::refused(KEEPS_CHANGING))
}

fn renewal(write: &Write, guard: u64) -> Option<Set> {
    let ttl = write.ttl?;
    Some(Set { refresh: true, exists: Some(true), previous_index: guard, ttl, ..Set::default() })
}

enum ObservedKey {
    Go(WriteStep, WriteEffect),
    End(WriteOutcome),
}

/// Decides what to do about the node that was read at the key.
fn decide(write: &Write, node: &Node, how: WriteEffect) -> Result<ObservedKey, ActionError> {
    if node.dir {
        return Err(ActionError::refused("the key is a directory"));
    }
    if node.value == write.value {
        let how = if how == WriteEffect::Renewed || write.tried { how } else { WriteEffect::Found };
        return Ok(match write.ttl {
            Some(_) => ObservedKey::Go(WriteStep::Renew(node.modified), how),
            None => ObservedKey::End(WriteOutcome::Written { index: node.modified, how }),
        });
    }
    if write.own_values.contains(&node.value) {
        return Ok(ObservedKey::Go(WriteStep::Swap(node.modified), WriteEffect::Changed));
    }
    Ok(ObservedKey::End(WriteOutcome::Taken { value: node.value.clone() }))
}

/// Reads which value of ours a key holds, and renews its lease if it has one.
pub(super) async fn renew_ours(
    cluster: &Cluster,
    key: &str,
    own_values: &BTreeSet<String>,
    ttl: Option<u64>,
) -> Result<RenewOutcome, ActionError> {
    for _ in 0..MAX_ATTEMPTS {
        let node = match keys_of(cluster).get(key.as_bytes(), NEWEST).await {
            Ok(event) if !event.node.dir && own_values.contains(&event.node.value) => event.node,
            Ok(_) => return Ok(RenewOutcome::Lost),
            Err(error) if matches!(error.code(), Some(NOT_FOUND | NOT_A_DIRECTORY)) => {
                return Ok(RenewOutcome::Lost);
            }
            Err(error) => return Err(error.into()),
        };
        let Some(ttl) = ttl else {
            return Ok(RenewOutcome::Renewed { value: node.value, index: node.modified });
        };
        let set =
            Set { refresh: true, exists: Some(true), previous_index: node.modified, ttl, ..Set::default() };
        match keys_of(cluster).set(key.as_bytes(), b"", &set).await {
            Ok(event) => return Ok(RenewOutcome::Renewed { value: node.value, index: event.node.modified }),
            Err(error) if matches!(error.code(), Some(COMPARE_FAILED | NOT_FOUND)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ActionError::refused(KEEPS_CHANGING))
}

/// Deletes a key if it is unchanged or holds a value of ours; then the directories that become empty, up to `prefix`.
pub(super) async fn remove(
    cluster: &Cluster,
    key: &str,
    guard: Option<u64>,
    own_values: &BTreeSet<String>,
    prefix: &str,
) -> Result<RemoveOutcome, ActionError> {
    let mut guard = guard;
    for _ in 0..MAX_ATTEMPTS {
        let answer = match guard {
            Some(index) => {
                let how = Delete { previous_index: index, ..Delete::default() };
                keys_of(cluster).delete(key.as_bytes(), &how).await.map(|_| None)
            }
            None => keys_of(cluster).get(key.as_bytes(), NEWEST).await.map(Some),
        };
        match answer {
            Ok(None) => {
                dirs::remove_empty(cluster, key, prefix).await;
                return Ok(RemoveOutcome::Gone);
            }
            Ok(Some(event)) if !event.node.dir && own_values.contains(&event.node.value) => {
                guard = Some(event.node.modified);
            }
            Ok(Some(_)) => return Ok(RemoveOutcome::Taken),
            Err(error) => match error.code() {
                Some(COMPARE_FAILED) => guard = None,
                Some(NOT_FOUND) => {
                    dirs::remove_empty(cluster, key, prefix).await;
                    return Ok(RemoveOutcome::Gone);
                }
                // A file replaced the directory, so our key was deleted before.
                Some(NOT_A_DIRECTORY) => return Ok(RemoveOutcome::Gone),
                // We never write directories.
                Some(NOT_A_FILE) => return Ok(RemoveOutcome::Taken),
                _ => return Err(error.into()),
            },
        }
    }
    Err(ActionError::refused(KEEPS_CHANGING))
}
