//! Renders nodes and events to JSON, in etcd's order of fields.

use bytes::Bytes;

use crate::keyspace::{Event, EventNode, NodeKind, NodeView, Time, remaining};
use crate::protocol::{json_bytes, json_number, json_timestamp};

/// How much of the tree below a node is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// The children of a directory, without their children.
    Children,
    /// Everything.
    All,
}

/// Renders the node at `key` for a read: directly from the tree into one buffer, with `room` bytes to begin with.
pub(super) fn node(key: &[u8], view: NodeView<'_>, depth: Depth, now: Time, room: usize) -> Vec<u8> {
    let room = view.value().map_or(room.max(512), |value| value.len() + key.len() + 192);
    let mut writer =
        TreeWriter { out: Vec::with_capacity(room), path: Vec::with_capacity(key.len() + 64), now };
    writer.out.extend_from_slice(b"{\"action\":\"get\",\"node\":");
    if key != b"/" {
        escape_into(&mut writer.path, key);
    }
    writer.tree(view, if depth == Depth::All { usize::MAX } else { 1 });
    writer.out.extend_from_slice(b"}\n");
    writer.out
}

/// A walk down the tree.
struct TreeWriter {
    out: Vec<u8>,
    /// The key of the current node as JSON text, without quotes: the common prefix of a directory's children is
    /// escaped once.
    path: Vec<u8>,
    now: Time,
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
    /// Writes a node with everything below it. Not recursively: nested keys could overflow the stack.
    fn tree(&mut self, top: NodeView<'_>, levels: usize) {
        self.begin(top);
        if top.kind() == NodeKind::File {
            return self.end(top);
        }
        let mut open =
            vec![OpenDir { view: top, children: top.children(), length: self.path.len(), any: false }];
        while let Some(directory) = open.last_mut() {
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
            expiration(out, at, remaining(self.now, at));
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

/// Returns the text of an event, rendered once for all watchers.
pub(super) fn shared(event: &Event) -> Bytes {
    event.rendered.get_or_init(|| Bytes::from(written(event))).clone()
}

/// Returns the text of an event for the client that caused it: the shared one if it exists, otherwise one that is
/// not kept, since keeping it as long as the event would double the memory of large values.
pub(super) fn own_event(event: &Event) -> Bytes {
    event.rendered.get().cloned().unwrap_or_else(|| Bytes::from(written(event)))
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
    use super::signed;

    #[test]
    fn seconds_left_may_be_negative() {
        for value in [i64::MIN, -4, 0, 9] {
            let mut out = Vec::new();
            signed(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }
}
