//! Writes trees as documents.

use crate::document::{KEY, Node, TTL, VALUE, json_string, to_toml, to_yaml};

use super::{Format, KeyNode, KeyNodeKind};

/// Returns a document that ends with a newline.
pub(in crate::ctl) fn write(item: &KeyNode, format: Format) -> Result<String, String> {
    text(&node(item), format)
}

/// Returns a document with its key, so that it can be imported to the same place. The root needs no key.
pub(in crate::ctl) fn write_at(item: &KeyNode, key: &str, format: Format) -> Result<String, String> {
    if key == "/" {
        return write(item, format);
    }
    let mut entries = vec![(KEY.to_owned(), Node::Text(key.to_owned()))];
    match node(item) {
        Node::Map(own) => entries.extend(own),
        lone => entries.push((VALUE.to_owned(), lone)),
    }
    text(&Node::Map(entries), format)
}

fn text(node: &Node, format: Format) -> Result<String, String> {
    match format {
        Format::Yaml => Ok(to_yaml(node)),
        Format::Toml => to_toml(node).map_err(|error| format!("{error}; use json or yaml")),
        Format::Json => {
            let mut out = String::new();
            json(&mut out, node, 0);
            out.push('\n');
            Ok(out)
        }
    }
}

fn node(item: &KeyNode) -> Node {
    let ttl = item.ttl.map(|ttl| (TTL.to_owned(), Node::Number(ttl.to_string())));
    match (&item.kind, ttl) {
        (KeyNodeKind::File(value), None) => Node::Text(value.clone()),
        (KeyNodeKind::File(value), Some(ttl)) => {
            Node::Map(vec![ttl, (VALUE.to_owned(), Node::Text(value.clone()))])
        }
        (KeyNodeKind::Dir(entries), ttl) => {
            let named = |(name, item): (&String, &KeyNode)| {
                let name = if name.starts_with('$') { format!("${name}") } else { name.clone() };
                (name, node(item))
            };
            Node::Map(ttl.into_iter().chain(entries.iter().map(named)).collect())
        }
    }
}

fn json(out: &mut String, node: &Node, depth: usize) {
    match node {
        Node::Map(entries) if !entries.is_empty() => {
            out.push_str("{\n");
            for (number, (name, child)) in entries.iter().enumerate() {
                out.push_str(&"  ".repeat(depth + 1));
                out.push_str(&json_string(name));
                out.push_str(": ");
                json(out, child, depth + 1);
                out.push_str(if number + 1 < entries.len() { ",\n" } else { "\n" });
            }
            out.push_str(&"  ".repeat(depth));
            out.push('}');
        }
        Node::Map(_) => out.push_str("{}"),
        Node::Number(text) => out.push_str(text),
        Node::Text(text) => out.push_str(&json_string(text)),
        // A tree contains no other nodes.
        Node::Null | Node::Bool(_) | Node::List(_) => out.push_str("null"),
    }
}
