//! A second keyspace, as simple as possible: flat maps, strings, every rule as etcd states it. Random operations
//! must have the same outcome in both.

use std::collections::BTreeMap;

use super::*;

/// Equal to the record and the event node of the real one, for a given clock.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ModelNode {
    pub(super) value: Option<String>,
    pub(super) created: u64,
    pub(super) modified: u64,
    pub(super) expires: Option<Time>,
}

#[derive(Clone, Debug)]
pub(super) struct ModelEvent {
    pub(super) action: Action,
    pub(super) key: String,
    pub(super) node: ModelNode,
    pub(super) prev: Option<ModelNode>,
    pub(super) dir: bool,
    pub(super) refresh: bool,
}

#[derive(Debug)]
pub(super) struct ModelWatch {
    key: String,
    what: WatchOptions,
    pub(super) heard: Vec<u64>,
    /// Not taken yet.
    held: usize,
    hooked: bool,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) nodes: BTreeMap<String, ModelNode>,
    pub(super) past: Vec<Option<ModelEvent>>,
    pub(super) listeners: Vec<ModelWatch>,
}

type ModelResult = Result<ModelEvent, (Code, String)>;

fn parents(key: &str) -> Vec<&str> {
    key.match_indices('/').skip(1).map(|(at, _)| &key[..at]).collect()
}

fn below(dir: &str, key: &str) -> bool {
    key != dir && (dir == "/" || key.starts_with(&format!("{dir}/")))
}

impl Model {
    pub(super) fn index(&self) -> u64 {
        self.past.len() as u64
    }

    fn is_dir(&self, key: &str) -> Option<bool> {
        if key == "/" {
            return Some(true);
        }
        self.nodes.get(key).map(|node| node.value.is_none())
    }

    fn look(&self, key: &str) -> Result<(), (Code, String)> {
        for path in parents(key).into_iter().chain([key]) {
            match self.is_dir(path) {
                None => return Err((Code::KeyNotFound, path.to_owned())),
                Some(false) if path != key => return Err((Code::NotADirectory, path.to_owned())),
                Some(_) => {}
            }
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, operation: &Operation) -> ModelResult {
        let string = |bytes: &Arc<[u8]>| String::from_utf8(bytes.to_vec()).unwrap();
        match operation {
            Operation::Set { key, dir, value, expires, refresh } => {
                self.set(string(key), *dir, string(value), *expires, *refresh)
            }
            Operation::Create { key, dir, value, expires, in_order } => {
                let mut key = string(key);
                if *in_order {
                    key = format!("{}/{:020}", key.trim_end_matches('/'), self.index() + 1);
                }
                match self.look(&key) {
                    _ if key == "/" => return Err((Code::RootReadOnly, key)),
                    Ok(()) => return Err((Code::KeyExists, key)),
                    Err((Code::NotADirectory, cause)) => return Err((Code::NotADirectory, cause)),
                    Err(_) => {}
                }
                Ok(self.write(Action::Create, &key, (!dir).then(|| string(value)), *expires, None, false))
            }
            Operation::Update { key, value, expires, refresh } => {
                self.update(string(key), string(value), *expires, *refresh)
            }
            Operation::CompareAndSwap { key, prev_value, prev_index, value, expires, refresh } => {
                let key = string(key);
                if key == "/" {
                    return Err((Code::RootReadOnly, key));
                }
                self.look(&key)?;
                let old = self.compare(&key, prev_value.as_ref().map(string), *prev_index)?;
                let prev = self.nodes.get(&key).cloned();
                let value = if *refresh { old } else { string(value) };
                Ok(self.write(Action::CompareAndSwap, &key, Some(value), *expires, prev, *refresh))
            }
            Operation::Delete { key, dir, recursive } => {
                let key = string(key);
                if key == "/" {
                    return Err((Code::RootReadOnly, key));
                }
                self.look(&key)?;
                if self.is_dir(&key) == Some(true) {
                    if !dir && !recursive {
                        return Err((Code::NotAFile, key));
                    }
                    if !recursive && self.nodes.keys().any(|other| below(&key, other)) {
                        return Err((Code::DirectoryNotEmpty, key));
                    }
                }
                Ok(self.remove(Action::Delete, &key))
            }
            Operation::CompareAndDelete { key, prev_value, prev_index } => {
                let key = string(key);
                self.look(&key)?;
                if key == "/" {
                    return Err((Code::NotAFile, String::new()));
                }
                self.compare(&key, prev_value.as_ref().map(string), *prev_index)?;
                Ok(self.remove(Action::CompareAndDelete, &key))
            }
            Operation::Expire => panic!("see expire"),
        }
    }

    fn set(
        &mut self,
        key: String,
        dir: bool,
        mut value: String,
        expires: Option<Time>,
        refresh: bool,
    ) -> ModelResult {
        match self.look(&key) {
            Err((Code::KeyNotFound, cause)) if refresh => return Err((Code::KeyNotFound, cause)),
            Err((Code::NotADirectory, cause)) => return Err((Code::NotADirectory, cause)),
            _ if key == "/" => return Err((Code::RootReadOnly, key)),
            _ if self.is_dir(&key) == Some(true) => return Err((Code::NotAFile, key)),
            _ => {}
        }
        let prev = self.nodes.get(&key).cloned();
        if refresh {
            value = prev.clone().unwrap().value.unwrap();
        }
        Ok(self.write(Action::Set, &key, (!dir).then_some(value), expires, prev, refresh))
    }

    fn update(&mut self, key: String, value: String, expires: Option<Time>, refresh: bool) -> ModelResult {
        if key == "/" {
            return Err((Code::RootReadOnly, key));
        }
        self.look(&key)?;
        let prev = self.nodes[&key].clone();
        let Some(old) = prev.value.clone() else {
            if !value.is_empty() {
                return Err((Code::NotAFile, key));
            }
            let stored = ModelNode { expires, ..prev.clone() };
            let shown = ModelNode { modified: self.index() + 1, ..stored.clone() };
            self.nodes.insert(key.clone(), stored);
            return Ok(self.emit(Action::Update, &key, shown, Some(prev), true, refresh, &[]));
        };
        let value = if refresh { old } else { value };
        Ok(self.write(Action::Update, &key, Some(value), expires, Some(prev), refresh))
    }

    fn compare(
        &self,
        key: &str,
        value: Option<String>,
        index: Option<u64>,
    ) -> Result<String, (Code, String)> {
        let node = &self.nodes[key];
        let Some(old) = node.value.clone() else { return Err((Code::NotAFile, key.to_owned())) };
        let mut causes = vec![];
        if let Some(value) = value.filter(|value| !value.is_empty() && *value != old) {
            causes.push(format!("[{value} != {old}]"));
        }
        if let Some(index) = index.filter(|index| *index != 0 && *index != node.modified) {
            causes.push(format!("[{index} != {}]", node.modified));
        }
        if causes.is_empty() { Ok(old) } else { Err((Code::CompareFailed, causes.join(" "))) }
    }

    fn write(
        &mut self,
        action: Action,
        key: &str,
        value: Option<String>,
        expires: Option<Time>,
        prev: Option<ModelNode>,
        refresh: bool,
    ) -> ModelEvent {
        let index = self.index() + 1;
        for path in parents(key) {
            let dir = ModelNode { value: None, created: index, modified: index, expires: None };
            self.nodes.entry(path.to_owned()).or_insert(dir);
        }
        let keeps = matches!(action, Action::Update | Action::CompareAndSwap);
        let created = prev.as_ref().filter(|_| keeps).map_or(index, |prev| prev.created);
        let dir = value.is_none();
        let node = ModelNode { value, created, modified: index, expires };
        self.nodes.insert(key.to_owned(), node.clone());
        self.emit(action, key, node, prev, dir, refresh, &[])
    }

    fn remove(&mut self, action: Action, key: &str) -> ModelEvent {
        let prev = self.nodes.remove(key).unwrap();
        let mut gone: Vec<_> = self.nodes.keys().filter(|other| below(key, other)).cloned().collect();
        self.nodes.retain(|other, _| !gone.contains(other));
        gone.push(key.to_owned());
        let dir = prev.value.is_none();
        let node =
            ModelNode { value: None, created: prev.created, modified: self.index() + 1, expires: None };
        self.emit(action, key, node, Some(prev), dir, false, &gone)
    }

    pub(super) fn expire(&mut self, now: Time) -> Vec<ModelEvent> {
        let mut expired = vec![];
        loop {
            let due = self.nodes.iter().filter_map(|(key, node)| Some((node.expires?, key.clone()))).min();
            let Some((_, key)) = due.filter(|(time, _)| *time <= now) else { return expired };
            expired.push(self.remove(Action::Expire, &key));
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn emit(
        &mut self,
        action: Action,
        key: &str,
        node: ModelNode,
        prev: Option<ModelNode>,
        dir: bool,
        refresh: bool,
        gone: &[String],
    ) -> ModelEvent {
        let news = ModelEvent { action, key: key.to_owned(), node, prev, dir, refresh };
        self.past.push(Some(news.clone()));
        if refresh {
            return news;
        }
        for listener in &mut self.listeners {
            for path in gone {
                if listener.key == *path {
                    listener.receive(&news, true);
                }
            }
            if listener.key == key || below(&listener.key, key) {
                listener.receive(&news, false);
            }
        }
        news
    }

    pub(super) fn watch(&mut self, key: &str, what: WatchOptions) -> Result<usize, String> {
        let since = if what.since == 0 { self.index() + 1 } else { what.since };
        let oldest = (self.index() + 1).saturating_sub(HISTORY_EVENTS as u64).max(1);
        if since < oldest {
            return Err(format!("the requested history has been cleared [{oldest}/{since}]"));
        }
        let found = self.past.iter().flatten().find(|news| {
            let takes_dir = matches!(news.action, Action::Delete | Action::Expire) && news.dir;
            news.node.modified >= since
                && !news.refresh
                && (news.key == key
                    || what.recursive && below(key, &news.key)
                    || takes_dir && key.starts_with(&news.key))
        });
        let heard: Vec<_> = found.map(|news| news.node.modified).into_iter().collect();
        let (held, hooked) = (heard.len(), heard.is_empty());
        let what = WatchOptions { since, ..what };
        self.listeners.push(ModelWatch { key: key.to_owned(), what, heard, held, hooked });
        Ok(self.listeners.len() - 1)
    }

    pub(super) fn hooked(&self) -> usize {
        self.listeners.iter().filter(|listener| listener.hooked).count()
    }
}

impl ModelWatch {
    fn receive(&mut self, news: &ModelEvent, gone: bool) {
        let same = self.key == news.key;
        let between = news.key.get(self.key.len()..).unwrap_or_default();
        let hidden = !same && format!("/{between}").replace("//", "/").contains("/_");
        let wanted = (self.what.recursive || same || gone) && news.node.modified >= self.what.since;
        if !self.hooked || hidden || !wanted {
            return;
        }
        if self.held == HISTORY_EVENTS {
            self.hooked = false;
            return;
        }
        self.heard.push(news.node.modified);
        self.held += 1;
        self.hooked = self.what.stream;
    }

    /// Takes everything that was received.
    pub(super) fn take(&mut self) -> Vec<u64> {
        self.held = 0;
        std::mem::take(&mut self.heard)
    }

    pub(super) fn leave(&mut self) {
        self.hooked = false;
    }
}
