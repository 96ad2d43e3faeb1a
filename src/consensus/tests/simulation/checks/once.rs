//! No proposal is applied twice, however often it is sent; an acknowledged one exactly once.

use std::collections::BTreeMap;

use super::{Check, ensure};
use crate::keyspace::Keyspace;

/// The directory in which each proposal creates its own key.
pub(in super::super) const QUEUE: &str = "/queue";

/// The values put into the queue, and whether that was acknowledged.
#[derive(Default)]
pub(in super::super) struct Once(BTreeMap<Vec<u8>, bool>);

impl Once {
    pub(in super::super) fn proposed(&mut self, value: &str) {
        self.0.insert(value.as_bytes().to_vec(), false);
    }

    pub(in super::super) fn answered(&mut self, value: &str) {
        self.0.insert(value.as_bytes().to_vec(), true);
    }

    pub(in super::super) fn end(&self, keyspace: &Keyspace) -> Check {
        let mut counts: BTreeMap<&[u8], usize> = self.0.keys().map(|value| (&value[..], 0)).collect();
        if let Ok(queue) = keyspace.get(QUEUE.as_bytes()) {
            for (_, node) in queue.children() {
                let value = node.value().map(|value| value.to_vec()).unwrap_or_default();
                let count = self.0.get_key_value(&value).and_then(|(value, _)| counts.get_mut(&value[..]));
                let count = count
                    .ok_or_else(|| "once: something is in the queue that nobody put there".to_owned())?;
                *count += 1;
            }
        }
        for (value, count) in counts {
            let text = String::from_utf8_lossy(value);
            ensure(count <= 1, || format!("once: {text} was carried out {count} times"))?;
            ensure(count == 1 || !self.0[value], || format!("once: {text} was answered and is not there"))?;
        }
        Ok(())
    }
}
