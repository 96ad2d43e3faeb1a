//! A document as keys: `{db: {hosts: [a, b]}}` gives `/db/hosts/0` and `/db/hosts/1`.
//!
//! A scalar keeps its spelling. `null` and an empty list or map give no key. A `/` inside a name separates segments
//! like any other.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::document::Node;
use crate::key;
use crate::values::Datum;

/// Adds everything in `node` that `wanted` accepts. The top must be a map, a list or null.
pub(super) fn flatten(
    node: &Node,
    wanted: &dyn Fn(&str) -> bool,
    into: &mut BTreeMap<Arc<str>, Datum>,
) -> Result<(), String> {
    if matches!(node, Node::Bool(_) | Node::Number(_) | Node::Text(_)) {
        return Err("holds a single value; a map or a list is needed".into());
    }
    below("/", node, wanted, into);
    Ok(())
}

// The parsers bound the nesting of a document, so this cannot exhaust the stack.
fn below(at: &str, node: &Node, wanted: &dyn Fn(&str) -> bool, into: &mut BTreeMap<Arc<str>, Datum>) {
    match node {
        Node::Null => {}
        Node::List(items) => {
            for (index, item) in items.iter().enumerate() {
                below(&key::join(at, &index.to_string()), item, wanted, into);
            }
        }
        Node::Map(entries) => {
            for (name, item) in entries {
                below(&key::join(at, name), item, wanted, into);
            }
        }
        scalar => {
            if let Some(text) = scalar.scalar_text().filter(|_| wanted(at)) {
                into.insert(at.into(), text.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{parse_json, parse_toml, parse_yaml};

    fn keys(node: &Node) -> Vec<(String, String)> {
        let mut into = BTreeMap::new();
        flatten(node, &|_| true, &mut into).unwrap();
        into.iter()
            .map(|(key, datum)| (key.to_string(), String::from_utf8(datum.as_bytes().to_vec()).unwrap()))
            .collect()
    }

    #[test]
    fn every_format_gives_the_same_keys_with_their_spelling() {
        let want =
            [("/db/hosts/0", "a"), ("/db/hosts/1", "b"), ("/n", "1000000"), ("/on", "yes"), ("/v", "1.50")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let yaml = "db: {hosts: [a, b]}\nn: 1000000\non: yes\nv: 1.50\nnone: ~\nempty: {}\n";
        assert_eq!(keys(&parse_yaml(yaml).unwrap()), want);
        let json = r#"{"db":{"hosts":["a","b"]},"n":1000000,"on":"yes","v":1.50,"none":null,"empty":[]}"#;
        assert_eq!(keys(&parse_json(json).unwrap()), want);
        let toml = "n = 1000000\non = 'yes'\nv = 1.50\n[db]\nhosts = ['a', 'b']\n[empty]\n";
        assert_eq!(keys(&parse_toml(toml).unwrap()), want);
    }

    #[test]
    fn a_slash_in_a_name_is_a_path_and_names_that_are_not_text_keep_their_spelling() {
        let found = keys(&parse_yaml("a/b: 1\n8080: x\n").unwrap());
        assert_eq!(found, [("/8080".into(), "x".into()), ("/a/b".into(), "1".into())]);
    }

    #[test]
    fn a_bare_value_is_refused() {
        assert!(flatten(&parse_yaml("hello").unwrap(), &|_| true, &mut BTreeMap::new()).is_err());
    }
}
