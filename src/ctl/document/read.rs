//! Parses documents into trees.

use std::collections::BTreeMap;

use crate::document::{Node, TTL, VALUE, own_key, parse_json_to_depth, parse_toml, parse_yaml_to_depth};

use super::{Format, KeyNode, KeyNodeKind, MAX_LEVELS};

/// Parses a document. An error names the place.
pub(in crate::ctl) fn read(text: &str, format: Format) -> Result<KeyNode, String> {
    item(&parse(text, format)?, "")
}

/// Parses a document, and returns the key in it, if there is one.
pub(in crate::ctl) fn read_at(text: &str, format: Format) -> Result<(KeyNode, Option<String>), String> {
    let mut node = parse(text, format)?;
    let key = own_key(&mut node)?;
    Ok((item(&node, "")?, key))
}

fn parse(text: &str, format: Format) -> Result<Node, String> {
    match format {
        Format::Json => parse_json_to_depth(text, MAX_LEVELS),
        Format::Toml => parse_toml(text),
        Format::Yaml => parse_yaml_to_depth(text, MAX_LEVELS),
    }
}

fn item(node: &Node, path: &str) -> Result<KeyNode, String> {
    let shown = if path.is_empty() { "/" } else { path };
    if let Some(text) = node.scalar_text() {
        return Ok(KeyNode { kind: KeyNodeKind::File(text.to_owned()), ttl: None, index: 0 });
    }
    let Node::Map(entries) = node else {
        return Err(format!("{shown} is a list; a store holds texts and directories"));
    };
    let mut ttl = None;
    let mut value = None;
    let mut children = BTreeMap::new();
    for (name, child) in entries {
        match name.as_str() {
            TTL => ttl = Some(seconds(child, shown)?),
            VALUE => {
                value = Some(child.scalar_text().ok_or_else(|| format!("{shown}: \"$value\" is not text"))?);
            }
            name => {
                let own = unescaped_name(name, shown)?;
                children.insert(own.to_owned(), item(child, &format!("{path}/{own}"))?);
            }
        }
    }
    let kind = match value {
        None => KeyNodeKind::Dir(children),
        Some(text) if children.is_empty() => KeyNodeKind::File(text.to_owned()),
        Some(_) => {
            return Err(format!(
                "{shown} has both \"$value\" and entries; it must be either a file or a directory"
            ));
        }
    };
    Ok(KeyNode { kind, ttl, index: 0 })
}

fn seconds(node: &Node, shown: &str) -> Result<u64, String> {
    let number = node.scalar_text().and_then(|text| text.parse().ok()).filter(|seconds| *seconds > 0);
    // The store counts in nanoseconds, in 63 bits.
    let fits = number.filter(|seconds| *seconds < 9_000_000_000);
    fits.ok_or_else(|| format!("{shown}: \"$ttl\" is a whole number of seconds above zero"))
}

fn unescaped_name<'n>(name: &'n str, shown: &str) -> Result<&'n str, String> {
    let own = match name.strip_prefix('$') {
        None => name,
        Some(own) if own.starts_with('$') => own,
        Some(_) => {
            return Err(format!("{shown}: {name:?}: write a key that begins with '$' with a second '$'"));
        }
    };
    if own.is_empty() || own == "." || own == ".." || own.contains('/') {
        return Err(format!("{shown}: {own:?} cannot be the name of a key"));
    }
    if own.starts_with('_') {
        return Err(format!(
            "{shown}: {own:?} would be hidden; the store does not list it, so a document cannot hold it"
        ));
    }
    Ok(own)
}
