//! Builds a response of etcd's v2 keys API from its JSON, whatever the depth of the tree in it.

use json_event_parser::JsonEvent;

use super::json_reader::{self, Builder, JsonError, Skip};
use super::v2_wire::{Event, MAX_RESPONSE_BYTES, Node, too_large};

impl Event {
    /// Reads a response. The error is the reason as text.
    ///
    /// # Errors
    /// It is not a response of this API, or it is too large.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        json_reader::read(EventBuilder::default(), text, MAX_RESPONSE_BYTES).map_err(|error| match error {
            JsonError::Invalid(why) => why,
            JsonError::TooLarge => too_large(),
        })
    }
}

/// What a node costs beside its texts. A growing list has room for twice its nodes.
const NODE_BYTES: usize = 2 * size_of::<Node>();

/// An object or a list that is still open.
#[derive(Clone, Copy)]
enum Open {
    Event,
    Node,
    Nodes,
}

/// The name of the next value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Action,
    Node,
    Before,
    Key,
    Dir,
    Value,
    Nodes,
    Created,
    Modified,
    Expiration,
    Ttl,
    Unknown,
}

/// Builds an [`Event`].
#[derive(Default)]
pub(super) struct EventBuilder {
    action: String,
    node: Option<Node>,
    before: Option<Node>,
    open: Vec<Open>,
    /// The nodes that are still open, each below the one before.
    nodes: Vec<Node>,
    field: Option<Field>,
    /// Whether the open tree is that before the event.
    is_before: bool,
    skip: Skip,
    size: usize,
    complete: bool,
}

impl EventBuilder {
    fn name(&self, name: &str) -> Field {
        match (self.open.last(), name) {
            (Some(Open::Event), "action") => Field::Action,
            (Some(Open::Event), "node") => Field::Node,
            (Some(Open::Event), "prevNode") => Field::Before,
            (Some(Open::Node), "key") => Field::Key,
            (Some(Open::Node), "dir") => Field::Dir,
            (Some(Open::Node), "value") => Field::Value,
            (Some(Open::Node), "nodes") => Field::Nodes,
            (Some(Open::Node), "createdIndex") => Field::Created,
            (Some(Open::Node), "modifiedIndex") => Field::Modified,
            (Some(Open::Node), "expiration") => Field::Expiration,
            (Some(Open::Node), "ttl") => Field::Ttl,
            _ => Field::Unknown,
        }
    }

    fn unexpected<T>(&self, what: &str) -> Result<T, String> {
        Err(match self.field {
            Some(field) if !self.open.is_empty() => {
                format!("{what} as the {field:?} of a key").to_lowercase()
            }
            _ => format!("{what} where an object should be"),
        })
    }

    fn object(&mut self) -> Result<(), String> {
        match (self.open.last(), self.field) {
            (None, _) => self.open.push(Open::Event),
            (Some(Open::Nodes), _) => self.begin_node(),
            (Some(Open::Event), Some(field @ (Field::Node | Field::Before))) => {
                self.is_before = field == Field::Before;
                self.begin_node();
            }
            (_, Some(Field::Unknown)) => self.skip.begin(),
            _ => return self.unexpected("an object"),
        }
        Ok(())
    }

    fn begin_node(&mut self) {
        self.size += NODE_BYTES;
        self.open.push(Open::Node);
        self.nodes.push(Node::default());
    }

    fn list(&mut self) -> Result<(), String> {
        match (self.open.last(), self.field, self.nodes.last_mut()) {
            (Some(Open::Node), Some(Field::Nodes), Some(node)) => {
                node.nodes.get_or_insert_default();
                self.open.push(Open::Nodes);
            }
            (Some(Open::Event | Open::Node), Some(Field::Unknown), _) => self.skip.begin(),
            _ => return self.unexpected("a list"),
        }
        Ok(())
    }

    fn close(&mut self) {
        match self.open.pop() {
            Some(Open::Event) => self.complete = true,
            Some(Open::Node) => {
                let node = self.nodes.pop();
                match self.nodes.last_mut() {
                    Some(dir) => dir.nodes.get_or_insert_default().extend(node),
                    None if self.is_before => self.before = node,
                    None => self.node = node,
                }
            }
            Some(Open::Nodes) | None => {}
        }
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        self.size += text.len();
        match (self.open.last(), self.field, self.nodes.last_mut()) {
            (Some(Open::Event), Some(Field::Action), _) => text.clone_into(&mut self.action),
            (Some(Open::Node), Some(Field::Key), Some(node)) => text.clone_into(&mut node.key),
            (Some(Open::Node), Some(Field::Value), Some(node)) => text.clone_into(&mut node.value),
            (Some(Open::Node), Some(Field::Expiration), Some(node)) => {
                node.expiration = Some(text.to_owned());
            }
            (Some(Open::Event | Open::Node), Some(Field::Unknown), _) => {}
            _ => return self.unexpected("a text"),
        }
        Ok(())
    }

    fn number(&mut self, text: &str) -> Result<(), String> {
        let bad = |_| format!("{text} is not a number that an index or a ttl can be");
        match (self.open.last(), self.field, self.nodes.last_mut()) {
            (Some(Open::Node), Some(Field::Created), Some(node)) => {
                node.created = text.parse().map_err(bad)?;
            }
            (Some(Open::Node), Some(Field::Modified), Some(node)) => {
                node.modified = text.parse().map_err(bad)?;
            }
            (Some(Open::Node), Some(Field::Ttl), Some(node)) => node.ttl = text.parse().map_err(bad)?,
            (Some(Open::Event | Open::Node), Some(Field::Unknown), _) => {}
            _ => return self.unexpected("a number"),
        }
        Ok(())
    }

    fn flag(&mut self, flag: bool) -> Result<(), String> {
        match (self.open.last(), self.field, self.nodes.last_mut()) {
            (Some(Open::Node), Some(Field::Dir), Some(node)) => node.dir = flag,
            (Some(Open::Event | Open::Node), Some(Field::Unknown), _) => {}
            _ => return self.unexpected("a truth value"),
        }
        Ok(())
    }
}

impl Builder for EventBuilder {
    type Built = Event;

    fn take(&mut self, part: JsonEvent<'_>) -> Result<(), String> {
        if self.skip.covers(&part) {
            return Ok(());
        }
        match part {
            JsonEvent::ObjectKey(name) => {
                self.field = Some(self.name(&name));
                Ok(())
            }
            JsonEvent::StartObject => self.object(),
            JsonEvent::StartArray => self.list(),
            JsonEvent::EndObject | JsonEvent::EndArray => {
                self.close();
                Ok(())
            }
            JsonEvent::String(text) => self.text(&text),
            JsonEvent::Number(text) => self.number(&text),
            JsonEvent::Boolean(flag) => self.flag(flag),
            JsonEvent::Null if matches!(self.open.last(), Some(Open::Event | Open::Node)) => Ok(()),
            JsonEvent::Null => self.unexpected("null"),
            JsonEvent::Eof => Ok(()),
        }
    }

    fn size(&self) -> usize {
        self.size
    }

    fn finish(self) -> Result<Event, String> {
        let node = self.node.filter(|_| self.complete).ok_or("there is no node in it")?;
        Ok(Event { action: self.action, node, before: self.before, index: 0, cluster: None })
    }
}

#[cfg(test)]
mod tests {
    use super::super::json_reader::{JsonReader, read};
    use super::*;

    const BODY: &str = r#"{"action":"get","node":{"key":"/","dir":true,"nodes":[
        {"key":"/a","value":"\u00e9\n\"x\"","modifiedIndex":7,"createdIndex":5,"ttl":-3,"expiration":"soon"},
        {"key":"/d","dir":true,"new":[{"nodes":[]},[1]],"nodes":[{"key":"/d/x","value":""}]}]},
        "prevNode":null,"other":{"node":{"key":"/no"}}}"#;

    fn whole(text: &str) -> Result<Event, JsonError> {
        read(EventBuilder::default(), text.as_bytes(), 1 << 20)
    }

    fn shown(event: &Event) -> Vec<String> {
        let shown =
            |(depth, node): (usize, &Node)| format!("{depth} {} {}={:?}", node.dir, node.key, node.value);
        event.node.walk().map(shown).collect()
    }

    #[test]
    fn a_response_gives_the_same_event_whole_and_in_pieces_of_any_size() {
        let event = whole(BODY).unwrap();
        let want = ["0 true /=\"\"", "1 false /a=\"é\\n\\\"x\\\"\"", "1 true /d=\"\"", "2 false /d/x=\"\""];
        assert_eq!(shown(&event), want);
        let a = event.node.walk().nth(1).unwrap().1;
        assert_eq!((a.modified, a.created, a.ttl, a.expiration.as_deref()), (7, 5, -3, Some("soon")));
        assert!(event.before.is_none() && event.action == "get");
        for size in 1..40 {
            let mut reader = JsonReader::new(EventBuilder::default(), 1 << 20);
            BODY.as_bytes().chunks(size).for_each(|piece| reader.feed(piece).unwrap());
            assert_eq!(shown(&reader.finish().unwrap()), want, "{size}");
        }
    }

    #[test]
    fn any_depth_is_read_walked_and_dropped_without_recursion() {
        const LEVELS: usize = 300_000;
        let text = format!(
            "{{\"action\":\"get\",\"node\":{}{{\"key\":\"/x\",\"value\":\"1\"}}{}}}",
            "{\"nodes\":[".repeat(LEVELS),
            "]}".repeat(LEVELS)
        );
        let event = read(EventBuilder::default(), text.as_bytes(), 1 << 30).unwrap();
        let (depth, leaf) = event.node.walk().last().unwrap();
        assert_eq!((depth, leaf.key.as_str()), (LEVELS, "/x"));
        assert_eq!(event.node.into_walk().count(), LEVELS + 1);
    }

    #[test]
    fn what_is_not_a_response_is_an_error() {
        for (text, why) in [
            ("", "end of file"),
            ("[]", "a list where an object should be"),
            ("{}", "no node"),
            (r#"{"node":{"key":"/a"}"#, "must be followed"),
            (r#"{"node":{"key":"/a"}} x"#, "Unexpected char"),
            (r#"{"node":{"key":1}}"#, "a number as the key"),
            (r#"{"node":{"nodes":[1]}}"#, "a number as the"),
            (r#"{"node":{"modifiedIndex":-1}}"#, "-1 is not a number"),
            (r#"{"node":[]}"#, "a list as the node"),
            ("{\"node\":{\"key\":\"\u{1}\"}}", "not allowed"),
        ] {
            let Err(JsonError::Invalid(said)) = whole(text) else { panic!("{text}") };
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn the_limit_counts_what_small_nodes_and_unfinished_texts_take() {
        let many = format!("{{\"node\":{{\"nodes\":[{}{{}}]}}}}", "{},".repeat(10_000));
        assert!(many.len() < 40_000);
        assert_eq!(read(EventBuilder::default(), many.as_bytes(), 1 << 20).unwrap_err(), JsonError::TooLarge);
        for start in ["", "{\"node\":{\"value\":\""] {
            let mut reader = JsonReader::new(EventBuilder::default(), 1 << 20);
            reader.feed(start.as_bytes()).unwrap();
            let piece = if start.is_empty() { [b' '; 4096] } else { [b'x'; 4096] };
            let taken = (0..1000).take_while(|_| reader.feed(&piece).is_ok()).count();
            assert!((50..=256).contains(&taken), "{taken} pieces");
            assert!(reader.rest.capacity() <= 1 << 20, "{}", reader.rest.capacity());
        }
    }
}
