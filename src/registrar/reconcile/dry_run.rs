//! The dry run of a reconciler: shows what it would do.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::actions::ActionError;
use super::owned::{self, ListRead};
use super::request::{NEWEST, NOT_FOUND, keys_of, one_line, refusal};
use super::{ReconcilerConfig, WantedKeys};
use crate::client::cluster::{Cluster, RequestError};
use crate::protocol::quoted;
use std::collections::{BTreeMap, BTreeSet};

/// How many keys are read concurrently.
const MAX_CONCURRENT_READS: usize = 32;

/// Returns what would be written and deleted, one line per key, in key order; correct keys have no line.
///
/// # Errors
/// The store does not respond, or denies the read.
pub(in crate::registrar) async fn dry_run(
    cluster: &Cluster,
    config: &ReconcilerConfig,
    wanted: &WantedKeys,
) -> Result<Vec<String>, String> {
    let list = match owned::read(cluster, config).await {
        Ok(ListRead::Ours { keys, .. }) => keys,
        Ok(ListRead::Foreign { .. }) | Err(ActionError::Refused { .. }) => BTreeMap::new(),
        Err(ActionError::Failed(error)) => return Err(one_line(&error)),
    };
    let keys: BTreeSet<String> = wanted.keys.keys().chain(list.keys()).cloned().collect();
    let reads = keys.into_iter().map(|key| async move {
        match keys_of(cluster).get(key.as_bytes(), NEWEST).await {
            Ok(event) if event.node.dir => Ok((key, Some(None))),
            Ok(event) => Ok((key, Some(Some(event.node.value)))),
            Err(RequestError::Etcd(error)) if error.code == NOT_FOUND => Ok((key, None)),
            Err(RequestError::Etcd(error)) => Err(format!("{key}: {}", refusal(&error))),
            Err(error) => Err(one_line(&error)),
        }
    });
    let found: Vec<_> = stream::iter(reads).buffered(MAX_CONCURRENT_READS).try_collect().await?;
    let line = |(key, there): (String, Option<Option<String>>)| {
        let registration = wanted.keys.get(&key).map(|registration| registration.value.as_str());
        let is_ours = |value: &String| list.get(&key).is_some_and(|entry| entry.values.contains_key(value));
        match (registration, there) {
            (Some(registration), None) => Some(format!("would add {key} = {registration}")),
            (Some(_), Some(None)) => Some(format!("held by another owner: {key} is a directory")),
            (Some(registration), Some(Some(value))) if value == registration => None,
            (Some(registration), Some(Some(value))) if is_ours(&value) => {
                Some(format!("would replace {key} = {registration} (was {})", quoted(&value)))
            }
            (Some(registration), Some(Some(value))) => {
                Some(format!("held by another owner: {key} = {}, wanted {registration}", quoted(&value)))
            }
            (None, Some(Some(value)))
                if is_ours(&value) && wanted.complete && !wanted.released.contains(&key) =>
            {
                Some(format!("would remove {key} = {value}"))
            }
            (None, _) => None,
        }
    };
    Ok(found.into_iter().filter_map(line).collect())
}
