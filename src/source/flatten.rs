//! A document as keys: `{db: {hosts: [a, b]}}` gives `/db/hosts/0` and `/db/hosts/1`.
//!
//! A scalar keeps its spelling. `null` and an empty list or map give no key. A `/` inside a name separates segments
//! like any other. What `ctl export` writes gives the keys that it was written from.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::document::{Node, TTL, VALUE, own_key};
use crate::key;
use crate::values::Datum;

/// Adds everything in `node` that `wanted` accepts. The top must be a map, a list or null.
pub(super) fn flatten(
    mut node: Node,
    wanted: &dyn Fn(&str) -> bool,
    into: &mut BTreeMap<Arc<str>, Datum>,
) -> Result<(), String> {
    let own_key = own_key(&mut node)?.unwrap_or_default();
    let has_key = !key::join("/", &own_key).trim_matches('/').is_empty();
    let is_value = match &node {
        Node::Map(entries) => !has_key && file_with_ttl(entries).is_some(),
        Node::Bool(_) | Node::Number(_) | Node::Text(_) => true,
        Node::Null | Node::List(_) => false,
    };
    if is_value {
        return Err("holds a single value; a map or a list is needed".into());
    }
    below(&key::join("/", &own_key), &node, wanted, into);
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
            if let Some(text) = file_with_ttl(entries) {
                return below(at, text, wanted, into);
            }
            for (name, item) in
                entries.iter().filter(|(name, item)| name != TTL || item.scalar_text().is_none())
            {
                // An export writes a second `$` before a name that begins with one.
                let name = name.strip_prefix('$').filter(|own| own.starts_with('$')).unwrap_or(name);
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

/// Returns the text of an exported file, which is a map where its key or its time to live is given.
fn file_with_ttl(entries: &[(String, Node)]) -> Option<&Node> {
    let (_, text) = entries.iter().find(|(name, _)| name == VALUE)?;
    let alone = entries.iter().all(|(name, _)| name == VALUE || name == TTL);
    (alone && text.scalar_text().is_some()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{parse_json, parse_toml, parse_yaml};

    fn keys(node: &Node) -> Vec<(String, String)> {
        let mut into = BTreeMap::new();
        flatten(node.clone(), &|_| true, &mut into).unwrap();
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
    fn an_exported_document_gives_its_original_keys() {
        let found = |text: &str| keys(&parse_yaml(text).unwrap());
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let text = "$key: /app\n$ttl: 9\nx: 1\nsoon: {$value: gone, $ttl: 60}\n$$ttl: a name\n";
        assert_eq!(
            found(text),
            [pair("/app/$ttl", "a name"), pair("/app/soon", "gone"), pair("/app/x", "1")]
        );
        assert_eq!(found("$key: /app/port\n$value: 80\n"), [pair("/app/port", "80")]);
        assert_eq!(found("{$schema: s, a: {$value: 1, b: 2}}").len(), 3, "no export looks like this");
        let wrong = parse_yaml("{$key: app, x: 1}").unwrap();
        assert!(flatten(wrong, &|_| true, &mut BTreeMap::new()).unwrap_err().contains("$key"));
    }

    #[test]
    fn a_bare_value_is_refused() {
        assert!(flatten(parse_yaml("hello").unwrap(), &|_| true, &mut BTreeMap::new()).is_err());
    }
}
