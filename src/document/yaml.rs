//! Reads YAML 1.2 with the core schema (`yes` is text, `0o17` a number), and merge keys (`<<`), which are common.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::{MAX_DEPTH, MAX_NODES, MAX_TEXT_BYTES, Node};

/// Parses one YAML document; an empty one is null.
///
/// # Errors
/// The mistake and its place: bad syntax, a repeated mapping key, more than one document, or a document that exceeds
/// the bounds once its aliases are expanded.
pub fn parse_yaml(text: &str) -> Result<Node, String> {
    parse_yaml_to_depth(text, MAX_DEPTH)
}

/// Parses one YAML document of at most so many levels.
///
/// # Errors
/// As [`parse_yaml`].
pub fn parse_yaml_to_depth(text: &str, max_depth: usize) -> Result<Node, String> {
    let mut builder = Builder { max_depth, ..Builder::default() };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let mark = error.marker();
            format!("{} at line {} column {} of the YAML", error.info(), mark.line(), mark.col() + 1)
        })?;
        if let Event::DocumentStart(_) = event {
            documents += 1;
            if documents > 1 {
                return Err("the YAML holds more than one document".to_owned());
            }
        }
        builder.take(event).map_err(|what| format!("{what} at line {} of the YAML", span.start.line()))?;
    }
    Ok(builder.root.unwrap_or(Node::Null))
}

/// What a node adds to the document each time it is repeated.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    text: usize,
}

struct OpenCollection {
    anchor: usize,
    kind: CollectionKind,
    before: Size,
}

enum CollectionKind {
    List(Vec<Node>),
    Map { entries: Vec<(String, Node)>, index: HashMap<String, usize>, key: Option<Key>, merged: Vec<Node> },
}

struct Key {
    text: String,
    /// A plain `<<`, which merges the entries of its value.
    merge: bool,
}

#[derive(Default)]
struct Builder {
    max_depth: usize,
    stack: Vec<OpenCollection>,
    anchors: HashMap<usize, (Node, Size)>,
    size: Size,
    root: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let merge = style == ScalarStyle::Plain && text == "<<" && tag.is_none();
                self.grow(Size { nodes: 1, text: text.len() })?;
                let size = Size { nodes: 1, text: text.len() };
                let node = scalar(text, style, tag.as_deref())?;
                self.place(node, anchor, size, merge)
            }
            Event::SequenceStart(anchor, _) => self.open(anchor, CollectionKind::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.open(
                anchor,
                CollectionKind::Map {
                    entries: Vec::new(),
                    index: HashMap::new(),
                    key: None,
                    merged: Vec::new(),
                },
            ),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => {
                let Some((_, size)) = self.anchors.get(&id) else {
                    return Err("an alias is inside its own anchor".to_owned());
                };
                let size = *size;
                // Counted before the copy: nested aliases cost nothing until they are copied.
                self.grow(size)?;
                let node = self.anchors[&id].0.clone();
                self.place(node, 0, size, false)
            }
            _ => Ok(()),
        }
    }

    fn grow(&mut self, by: Size) -> Result<(), String> {
        self.size.nodes += by.nodes;
        self.size.text += by.text;
        if self.size.nodes > MAX_NODES || self.size.text > MAX_TEXT_BYTES {
            return Err("the document grows too large once its aliases are expanded".to_owned());
        }
        Ok(())
    }

    fn open(&mut self, anchor: usize, kind: CollectionKind) -> Result<(), String> {
        if self.stack.len() >= self.max_depth {
            return Err(format!("the document nests deeper than {} levels", self.max_depth));
        }
        let before = self.size;
        self.grow(Size { nodes: 1, text: 0 })?;
        self.stack.push(OpenCollection { anchor, kind, before });
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(open) = self.stack.pop() else { return Err("an end without a start".to_owned()) };
        let node = match open.kind {
            CollectionKind::List(items) => Node::List(items),
            CollectionKind::Map { entries, index, merged, .. } => Node::Map(merge(entries, index, merged)?),
        };
        let size =
            Size { nodes: self.size.nodes - open.before.nodes, text: self.size.text - open.before.text };
        self.place(node, open.anchor, size, false)
    }

    fn place(&mut self, node: Node, anchor: usize, size: Size, is_merge: bool) -> Result<(), String> {
        if anchor > 0 {
            // The kept copy also uses memory, so it counts: otherwise nested anchors would be quadratic.
            self.grow(size)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.stack.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(CollectionKind::List(items)) => items.push(node),
            Some(CollectionKind::Map { entries, index, key, merged }) => match key.take() {
                None => *key = Some(Key { text: key_text(node)?, merge: is_merge }),
                Some(name) if name.merge => merged.push(node),
                Some(name) => {
                    if index.insert(name.text.clone(), entries.len()).is_some() {
                        return Err(format!("the key `{}` occurs twice in one mapping", name.text));
                    }
                    entries.push((name.text, node));
                }
            },
        }
        Ok(())
    }
}

fn key_text(node: Node) -> Result<String, String> {
    match node {
        Node::Null => Ok("null".to_owned()),
        Node::Bool(flag) => Ok(flag.to_string()),
        Node::Number(text) | Node::Text(text) => Ok(text),
        Node::List(_) | Node::Map(_) => Err("a mapping key is a list or a mapping, not a scalar".to_owned()),
    }
}

fn merge(
    mut entries: Vec<(String, Node)>,
    mut index: HashMap<String, usize>,
    merged: Vec<Node>,
) -> Result<Vec<(String, Node)>, String> {
    let mut queue = Vec::new();
    for node in merged {
        match node {
            Node::List(items) => queue.extend(items),
            other => queue.push(other),
        }
    }
    for node in queue {
        let Node::Map(more) = node else {
            return Err("`<<` takes a mapping or a list of mappings".to_owned());
        };
        for (name, value) in more {
            if !index.contains_key(&name) {
                index.insert(name.clone(), entries.len());
                entries.push((name, value));
            }
        }
    }
    Ok(entries)
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>) -> Result<Node, String> {
    match tag {
        None if style == ScalarStyle::Plain => Ok(resolve(text)),
        None => Ok(Node::Text(text.into_owned())),
        Some(tag) if tag.is_yaml_core_schema() => match (tag.suffix.as_str(), resolve(text.clone())) {
            ("str", _) => Ok(Node::Text(text.into_owned())),
            ("int" | "float", node @ Node::Number(_))
            | ("bool", node @ Node::Bool(_))
            | ("null", node @ Node::Null) => Ok(node),
            (kind @ ("int" | "float" | "bool" | "null"), _) => {
                Err(format!("a value tagged `!!{kind}` is not a valid {kind}"))
            }
            _ => Ok(Node::Text(text.into_owned())),
        },
        // `!` alone means text; an application's own tag has no meaning here.
        Some(_) => Ok(Node::Text(text.into_owned())),
    }
}

/// Resolves a plain scalar by the core schema.
fn resolve(text: Cow<'_, str>) -> Node {
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => Node::Null,
        "true" | "True" | "TRUE" => Node::Bool(true),
        "false" | "False" | "FALSE" => Node::Bool(false),
        number if is_number(number) => Node::Number(text.into_owned()),
        _ => Node::Text(text.into_owned()),
    }
}

/// Returns whether plain text is a number in the core schema.
pub(super) fn is_number(text: &str) -> bool {
    let all = |digits: &str, ok: fn(&u8) -> bool| !digits.is_empty() && digits.as_bytes().iter().all(ok);
    if let Some(digits) = text.strip_prefix("0o") {
        return all(digits, |byte| (b'0'..=b'7').contains(byte));
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return all(digits, u8::is_ascii_hexdigit);
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(rest, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let exponent_ok = exponent
        .is_none_or(|digits| all(digits.strip_prefix(['-', '+']).unwrap_or(digits), u8::is_ascii_digit));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.as_bytes().iter().all(u8::is_ascii_digit);
    exponent_ok && !(whole.is_empty() && fraction.is_empty()) && digits(whole) && digits(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(node: Option<&Node>) -> String {
        format!("{node:?}")
    }

    #[test]
    fn plain_scalars_follow_the_core_schema_and_quoted_ones_are_text() {
        let node = parse_yaml(
            "a: yes\nb: True\nc: ~\nd:\ne: '1.50'\nf: 0o17\ng: 1.\nh: 2024-01-01\ni: !!str 5\nj: .inf\nk: 1e\n",
        )
        .unwrap();
        for (key, want) in [
            ("a", Node::Text("yes".into())),
            ("b", Node::Bool(true)),
            ("c", Node::Null),
            ("d", Node::Null),
            ("e", Node::Text("1.50".into())),
            ("f", Node::Number("0o17".into())),
            ("g", Node::Number("1.".into())),
            ("h", Node::Text("2024-01-01".into())),
            ("i", Node::Text("5".into())),
            ("j", Node::Number(".inf".into())),
            ("k", Node::Text("1e".into())),
        ] {
            assert_eq!(node.get(key), Some(&want), "{key}: {}", text(node.get(key)));
        }
    }

    #[test]
    fn aliases_and_merge_keys_are_followed_and_own_entries_win() {
        let node = parse_yaml("base: &b {x: 1, y: 2}\nown:\n  <<: *b\n  y: 3\nagain: *b\n").unwrap();
        assert_eq!(
            node.get("own"),
            Some(&Node::Map(vec![
                ("y".into(), Node::Number("3".into())),
                ("x".into(), Node::Number("1".into()))
            ]))
        );
        assert_eq!(node.get("again"), node.get("base"));
    }

    #[test]
    fn a_billion_laughs_document_fails_quickly() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let refs = vec![format!("*a{}", level - 1); 10].join(",");
            bomb.push_str(&format!("a{level}: &a{level} [{refs}]\n"));
        }
        assert!(parse_yaml(&bomb).unwrap_err().contains("too large"));
    }

    #[test]
    fn what_cannot_become_one_tree_is_refused() {
        for (bad, want) in [
            ("a: 1\na: 2\n", "occurs twice"),
            ("a: &x [*x]\n", "inside its own anchor"),
            ("[a]: 1\n", "not a scalar"),
            ("a: 1\n---\nb: 2\n", "more than one document"),
            ("a: [1\n", "of the YAML"),
            ("a: !!int x\n", "not a valid int"),
        ] {
            let error = parse_yaml(bad).unwrap_err();
            assert!(error.contains(want), "{bad:?}: {error}");
        }
        assert_eq!(parse_yaml("").unwrap(), Node::Null);
    }
}
