//! The writes that make a store match a document: planning and performing them.
//!
//! Planning is pure; every write has the condition that nothing changed since the read.

use std::collections::BTreeMap;

use crate::client::cluster::{Delete, RequestError, Set};

use super::document::{KeyNode, KeyNodeKind};
use super::error::CommandError;
use super::print;
use super::session::Session;
use super::subtree::child_key;

/// One planned write.
#[derive(Clone, Debug)]
pub(super) struct PlannedWrite {
    verb: &'static str,
    key: String,
    operation: WriteOperation,
}

#[derive(Clone, Debug)]
enum WriteOperation {
    Set(String, Set),
    Delete(Delete),
}

/// The options of a plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlanOptions {
    /// Remove keys that are not in the document.
    pub(super) prune: bool,
    /// A file whose value changes keeps its remaining TTL.
    pub(super) keep_ttl: bool,
}

/// Returns the writes that turn the content of `key` into `wanted`; or the keys in the way, when nothing may be
/// removed.
pub(super) fn plan(
    key: &str,
    live: Option<&KeyNode>,
    wanted: &KeyNode,
    options: PlanOptions,
) -> Result<Vec<PlannedWrite>, Vec<String>> {
    let (mut steps, mut blocked) = (Vec::new(), Vec::new());
    Planner { options, steps: &mut steps, blocked: &mut blocked }.reconcile(key, live, wanted);
    if blocked.is_empty() { Ok(steps) } else { Err(blocked) }
}

struct Planner<'p> {
    options: PlanOptions,
    steps: &'p mut Vec<PlannedWrite>,
    blocked: &'p mut Vec<String>,
}

impl Planner<'_> {
    fn reconcile(&mut self, key: &str, live: Option<&KeyNode>, wanted: &KeyNode) {
        let mut live = live;
        if let Some(old) = live.filter(|live| live.is_dir() != wanted.is_dir()) {
            if !self.options.prune {
                let is = if old.is_dir() { "directory" } else { "file" };
                self.blocked.push(format!("{key} is a {is} in the store"));
                return;
            }
            self.remove(key, old);
            live = None;
        }
        match &wanted.kind {
            KeyNodeKind::File(value) => self.file(key, live, value, wanted.ttl),
            KeyNodeKind::Dir(entries) => self.dir(key, live, entries, wanted.ttl),
        }
    }

    fn file(&mut self, key: &str, live: Option<&KeyNode>, value: &str, ttl: Option<u64>) {
        let Some(old) = live else {
            let how = Set { ttl: ttl.unwrap_or(0), exists: Some(false), ..Set::default() };
            self.steps.push(PlannedWrite::set("create", key, value, how));
            return;
        };
        let same = matches!(&old.kind, KeyNodeKind::File(old) if *old == value);
        if !same || (ttl.is_some() && ttl != old.ttl) {
            let ttl = ttl.or(old.ttl.filter(|_| self.options.keep_ttl));
            self.steps.push(PlannedWrite::update(key, value, ttl, old.index));
        }
    }

    fn dir(
        &mut self,
        key: &str,
        live: Option<&KeyNode>,
        entries: &BTreeMap<String, KeyNode>,
        ttl: Option<u64>,
    ) {
        let how = Set { dir: true, ttl: ttl.unwrap_or(0), ..Set::default() };
        let old = match live {
            Some(KeyNode { kind: KeyNodeKind::Dir(old), ttl: old_ttl, .. }) => {
                if ttl.is_some() && ttl != *old_ttl {
                    let how = Set { exists: Some(true), ..how };
                    self.steps.push(PlannedWrite::set("expire", key, "", how));
                }
                Some(old)
            }
            _ => {
                // A directory's first entry creates it, unless it is empty or expires.
                if entries.is_empty() || ttl.is_some() {
                    let how = Set { exists: Some(false), ..how };
                    self.steps.push(PlannedWrite::set("mkdir", key, "", how));
                }
                None
            }
        };
        for (name, item) in entries {
            self.reconcile(&child_key(key, name), old.and_then(|old| old.get(name)), item);
        }
        if self.options.prune {
            for (name, item) in old.into_iter().flatten().filter(|(name, _)| !entries.contains_key(*name)) {
                self.remove(&child_key(key, name), item);
            }
        }
    }

    fn remove(&mut self, key: &str, item: &KeyNode) {
        let (verb, how) = match &item.kind {
            KeyNodeKind::File(_) => ("remove", Delete { previous_index: item.index, ..Delete::default() }),
            KeyNodeKind::Dir(entries) => {
                for (name, item) in entries {
                    self.remove(&child_key(key, name), item);
                }
                ("rmdir", Delete { dir: true, ..Delete::default() })
            }
        };
        self.steps.push(PlannedWrite { verb, key: key.to_owned(), operation: WriteOperation::Delete(how) });
    }
}

impl PlannedWrite {
    fn set(verb: &'static str, key: &str, value: &str, how: Set) -> Self {
        Self { verb, key: key.to_owned(), operation: WriteOperation::Set(value.to_owned(), how) }
    }

    /// Returns the write of a new value, on the condition that `index` is still that of the last one.
    pub(super) fn update(key: &str, value: &str, ttl: Option<u64>, index: u64) -> Self {
        let how = Set { ttl: ttl.unwrap_or(0), previous_index: index, ..Set::default() };
        Self::set("update", key, value, how)
    }

    /// Returns what the write does, and to which key.
    pub(super) fn describe(&self) -> String {
        format!("{} {}\n", self.verb, self.key)
    }

    async fn execute(&self, session: &Session<'_>) -> Result<(), RequestError> {
        let (keys, key) = (session.keys(), self.key.as_bytes());
        let done = match &self.operation {
            WriteOperation::Set(value, how) => keys.set(key, value.as_bytes(), how).await,
            WriteOperation::Delete(how) => keys.delete(key, how).await,
        };
        done.map(drop)
    }
}

/// Performs the writes in order and prints each; the first failure ends it.
pub(super) async fn apply(session: &Session<'_>, steps: &[PlannedWrite]) -> Result<(), CommandError> {
    for (done, step) in steps.iter().enumerate() {
        match step.execute(session).await {
            Ok(()) => print::out(&step.describe()),
            // The rest in it is hidden or new; neither is ours to remove.
            Err(error) if error.code() == Some(108) && step.verb == "rmdir" => {
                print::error(&format!("kept {}\n", step.key));
            }
            Err(error) => {
                let changed = matches!(error.code(), Some(100 | 101 | 105));
                let why = if changed { ": somebody changed it meanwhile" } else { "" };
                let left = steps.len() - done - 1;
                let PlannedWrite { verb, key, .. } = step;
                let hint = format!("could not {verb} {key}{why}; {left} later writes were not tried\n");
                return Err(CommandError::from(error).append(&hint));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::document::{Format, read};
    use super::*;

    fn tree(text: &str) -> KeyNode {
        let mut item = read(text, Format::Yaml).unwrap();
        number(&mut item, &mut 0);
        item
    }

    fn number(item: &mut KeyNode, next: &mut u64) {
        *next += 1;
        item.index = *next;
        if let KeyNodeKind::Dir(entries) = &mut item.kind {
            entries.values_mut().for_each(|item| number(item, next));
        }
    }

    fn planned(live: &str, wanted: &str, prune: bool) -> Result<Vec<String>, Vec<String>> {
        let options = PlanOptions { prune, keep_ttl: false };
        plan("/at", Some(&tree(live)), &tree(wanted), options)
            .map(|steps| steps.iter().map(|step| step.describe().trim_end().to_owned()).collect())
    }

    #[test]
    fn only_different_keys_are_written_and_nothing_is_removed_without_prune() {
        let (live, wanted) = ("{a: 1, b: 2, d: {x: 1}}", "{a: 1, b: 3, c: 4, e: {}}");
        assert_eq!(planned(live, wanted, false).unwrap(), ["update /at/b", "create /at/c", "mkdir /at/e"]);
        let all = ["update /at/b", "create /at/c", "mkdir /at/e", "remove /at/d/x", "rmdir /at/d"];
        assert_eq!(planned(live, wanted, true).unwrap(), all);
        assert_eq!(planned(live, live, true).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn replacing_a_directory_with_a_file_needs_prune() {
        assert_eq!(
            planned("{a: {x: 1}}", "{a: 1}", false).unwrap_err(),
            ["/at/a is a directory in the store"]
        );
        let steps = planned("{a: {x: 1}}", "{a: 1}", true).unwrap();
        assert_eq!(steps, ["remove /at/a/x", "rmdir /at/a", "create /at/a"]);
        assert_eq!(planned("{a: 1}", "{a: {x: 1}}", true).unwrap(), ["remove /at/a", "create /at/a/x"]);
    }

    #[test]
    fn a_given_ttl_is_written_unless_it_equals_the_remaining_one() {
        assert_eq!(planned("{a: 1}", "{a: {$value: 1, $ttl: 5}}", false).unwrap(), ["update /at/a"]);
        assert!(planned("{a: {$value: 1, $ttl: 5}}", "{a: {$value: 1, $ttl: 5}}", false).unwrap().is_empty());
        assert!(planned("{a: {$value: 1, $ttl: 5}}", "{a: 1}", false).unwrap().is_empty());
        assert_eq!(planned("{d: {x: 1}}", "{d: {$ttl: 9, x: 1}}", false).unwrap(), ["expire /at/d"]);
    }
}
