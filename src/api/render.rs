//! Renders nodes and events to JSON, in etcd's order of fields.

use bytes::Bytes;

use crate::keyspace::{Delivery, Event, EventNode, NodeKind, NodeView, Time, remaining};
use crate::protocol::{json_bytes, json_number, json_timestamp};

const NANOSECONDS: i64 = 1_000_000_000;

/// How much of the tree below a node is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// The children of a directory, without their children.
    Children,
    /// Everything.
    All,
}

/// Text up to this length is kept with its event, so that later watches share it.
const MAX_KEPT_TEXT_BYTES: usize = 16 << 10;

/// The text of a node.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) text: Vec<u8>,
    /// Until when the numbers of seconds in it are right.
    pub(super) valid_until: Time,
    /// Whether it is complete.
    pub(super) whole: bool,
}

/// Renders the node at `key` for a read: directly from the tree into one buffer, with `capacity` bytes to begin with. A
/// directory whose text exceeds `limit` is not rendered to its end.
pub(super) fn node(
    key: &[u8],
    view: NodeView<'_>,
    depth: Depth,
    now: Time,
    capacity: usize,
    limit: usize,
) -> Rendered {
    let capacity = view.value().map_or(capacity.max(512), |value| value.len().min(limit) + key.len() + 192);
    let mut writer = TreeWriter {
        out: Vec::with_capacity(capacity),
        path: Vec::with_capacity(key.len() + 64),
        now,
        valid_until: Time::MAX,
        limit,
    };
    writer.out.extend_from_slice(b"{\"action\":\"get\",\"node\":");
    if key != b"/" {
        escape_into(&mut writer.path, key);
    }
    let whole = writer.tree(view, if depth == Depth::All { usize::MAX } else { 1 });
    writer.out.extend_from_slice(b"}\n");
    Rendered { text: writer.out, valid_until: writer.valid_until, whole }
}

/// A walk down the tree.
struct TreeWriter {
    out: Vec<u8>,
    /// The key of the current node as JSON text, without quotes: the common prefix of a directory's children is
    /// escaped once.
    path: Vec<u8>,
    now: Time,
    valid_until: Time,
    limit: usize,
}

/// A directory whose end is not written yet.
struct OpenDir<'k, C> {
    view: NodeView<'k>,
    children: C,
    /// The length of the path before its children's names.
    length: usize,
    any: bool,
}

impl TreeWriter {
    /// Writes a node with everything below it; returns false when that exceeds the limit. Not recursively: nested keys
    /// could overflow the stack.
    fn tree(&mut self, top: NodeView<'_>, levels: usize) -> bool {
        if top.value().is_some_and(|value| value.len() > self.limit) {
            return false;
        }
        self.begin(top);
        if top.kind() == NodeKind::File {
            self.end(top);
            return true;
        }
        let mut open =
            vec![OpenDir { view: top, children: top.children(), length: self.path.len(), any: false }];
        while let Some(directory) = open.last_mut() {
            if self.out.len() > self.limit {
                return false;
            }
            let Some((name, child)) = directory.children.next() else {
                if directory.any {
                    self.out.push(b']');
                }
                self.end(directory.view);
                open.pop();
                continue;
            };
            // Hidden nodes are not listed, but can be read by name.
            if name.first() == Some(&b'_') {
                continue;
            }
            self.path.truncate(directory.length);
            self.out.extend_from_slice(if directory.any { b"," } else { b",\"nodes\":[" });
            directory.any = true;
            self.path.push(b'/');
            escape_into(&mut self.path, name);
            self.begin(child);
            if child.kind() == NodeKind::Dir && open.len() < levels {
                let length = self.path.len();
                open.push(OpenDir { view: child, children: child.children(), length, any: false });
            } else {
                self.end(child);
            }
        }
        true
    }

    /// Writes what precedes a node's children.
    fn begin(&mut self, view: NodeView<'_>) {
        let out = &mut self.out;
        let file = view.value();
        if self.path.is_empty() {
            out.extend_from_slice(b"{\"dir\":true");
        } else {
            out.extend_from_slice(b"{\"key\":\"");
            out.extend_from_slice(&self.path);
            out.extend_from_slice(if file.is_some() { b"\",\"value\":" } else { b"\",\"dir\":true" });
        }
        if let Some(value) = file {
            json_bytes(out, value);
        }
        if let Some(at) = view.expires() {
            let ttl = remaining(self.now, at);
            let changes = at.saturating_sub(ttl.saturating_sub(1).saturating_mul(NANOSECONDS));
            self.valid_until = self.valid_until.min(changes);
            expiration(out, at, ttl);
        }
    }

    /// Writes what follows them.
    fn end(&mut self, view: NodeView<'_>) {
        if view.created() != 0 {
            indexes(&mut self.out, view.modified(), view.created());
        }
        self.out.push(b'}');
    }
}

/// Returns the text of an event, rendered once for all watchers; `None` when the event was dropped. A large text is kept
/// only while watches wait for it; `count` counts its memory.
pub(super) fn shared(delivery: &Delivery, count: impl FnOnce(Vec<u8>) -> Bytes) -> Option<Bytes> {
    let event = delivery.event()?;
    if let Some(text) = event.rendered.get() {
        return Some(text.clone());
    }
    if delivery.cost() <= MAX_KEPT_TEXT_BYTES {
        let text = written(&event);
        if text.len() <= MAX_KEPT_TEXT_BYTES {
            return Some(event.rendered.get_or_init(|| Bytes::from(text)).clone());
        }
    }
    delivery.text(|event| count(written(event)))
}

/// Returns the text of an event for the client that caused it: the shared one if it exists, otherwise one that is
/// not kept, since keeping it as long as the event would double the memory of large values.
pub(super) fn own_event(event: &Event, count: impl FnOnce(Vec<u8>) -> Bytes) -> Bytes {
    event.rendered.get().cloned().unwrap_or_else(|| count(written(event)))
}

fn written(event: &Event) -> Vec<u8> {
    let value = |node: &EventNode| node.value.as_ref().map_or(0, |value| value.len());
    let values = value(&event.node) + event.prev.as_ref().map_or(0, value);
    let mut out = Vec::with_capacity(256 + 2 * event.key.len() + values + values / 8);
    out.extend_from_slice(b"{\"action\":\"");
    out.extend_from_slice(event.action.word().as_bytes());
    out.extend_from_slice(b"\",\"node\":");
    event_node(&mut out, &event.key, &event.node);
    if let Some(prev) = &event.prev {
        out.extend_from_slice(b",\"prevNode\":");
        event_node(&mut out, &event.key, prev);
    }
    out.extend_from_slice(b"}\n");
    out
}

fn event_node(out: &mut Vec<u8>, key: &[u8], node: &EventNode) {
    out.extend_from_slice(b"{\"key\":");
    json_bytes(out, key);
    if let Some(value) = &node.value {
        out.extend_from_slice(b",\"value\":");
        json_bytes(out, value);
    }
    if node.dir {
        out.extend_from_slice(b",\"dir\":true");
    }
    if let Some(at) = node.expires {
        expiration(out, at, node.ttl);
    }
    indexes(out, node.modified, node.created);
    out.push(b'}');
}

fn expiration(out: &mut Vec<u8>, at: Time, ttl: i64) {
    out.extend_from_slice(b",\"expiration\":");
    json_timestamp(out, at);
    if ttl != 0 {
        out.extend_from_slice(b",\"ttl\":");
        signed(out, ttl);
    }
}

fn indexes(out: &mut Vec<u8>, modified: u64, created: u64) {
    out.extend_from_slice(b",\"modifiedIndex\":");
    let digits = out.len();
    json_number(out, modified);
    let digits = digits..out.len();
    out.extend_from_slice(b",\"createdIndex\":");
    // Most keys are written once.
    if created == modified {
        out.extend_from_within(digits);
    } else {
        json_number(out, created);
    }
}

fn signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    json_number(out, value.unsigned_abs());
}

/// Appends the JSON text of `bytes` without quotes. Pieces split at `/` can be joined: no escape and no UTF-8
/// sequence spans a slash.
fn escape_into(out: &mut Vec<u8>, bytes: &[u8]) {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~' if !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&'));
    if bytes.iter().all(plain) {
        out.extend_from_slice(bytes);
        return;
    }
    let mut quoted = Vec::with_capacity(bytes.len() + 16);
    json_bytes(&mut quoted, bytes);
    out.extend_from_slice(&quoted[1..quoted.len() - 1]);
}

#[cfg(test)]
mod tests {
    use super::{Depth, node, signed};
    use crate::keyspace::{Command, Keyspace, Operation};

    const SECOND: i64 = 1_000_000_000;

    /// Returns a store with the key `/d/k` that expires at second 10, and many files.
    fn keyspace() -> Keyspace {
        let mut keyspace = Keyspace::new();
        for number in 0..100 {
            let key = if number == 0 { "/d/k".to_owned() } else { format!("/d/{number}") };
            let expires = (number == 0).then_some(946_684_810 * SECOND);
            let (key, value) = (key.as_bytes().into(), b"v"[..].into());
            let operation = Operation::Set { key, dir: false, value, expires, refresh: false };
            keyspace.apply(&Command { at: 946_684_800 * SECOND, operation }).unwrap();
        }
        keyspace
    }

    #[test]
    fn a_text_says_until_when_its_seconds_are_right() {
        let keyspace = keyspace();
        let at = |tenths: i64| {
            let now = 946_684_800 * SECOND + tenths * SECOND / 10;
            node(b"/d", keyspace.peek(b"/d").unwrap(), Depth::All, now, 0, usize::MAX)
        };
        for tenths in 0..130 {
            let (first, next) = (at(tenths), at(tenths + 1));
            let same = first.text == next.text;
            let valid = 946_684_800 * SECOND + (tenths + 1) * SECOND / 10 < first.valid_until;
            assert_eq!(same, valid, "{tenths}");
        }
        let other = node(b"/d/1", keyspace.peek(b"/d/1").unwrap(), Depth::All, 0, 0, usize::MAX);
        assert_eq!(other.valid_until, i64::MAX);
    }

    #[test]
    fn a_text_beyond_the_limit_is_not_made() {
        let keyspace = keyspace();
        let made = |limit| node(b"/d", keyspace.peek(b"/d").unwrap(), Depth::All, 0, 0, limit);
        let (all, part) = (made(usize::MAX), made(1000));
        assert!(all.whole && !part.whole && part.text.len() < 1200, "{} {}", all.text.len(), part.text.len());
    }

    #[test]
    fn seconds_left_may_be_negative() {
        for value in [i64::MIN, -4, 0, 9] {
            let mut out = Vec::new();
            signed(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }
}
