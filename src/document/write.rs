//! Writes a tree as YAML or TOML.

use super::Node;
use super::number::{toml_number, yaml_number};
use super::yaml::is_number;

/// Returns the tree as block-style YAML with a final newline; text is quoted wherever it would read as something else.
#[must_use]
pub fn to_yaml(node: &Node) -> String {
    let mut out = String::new();
    match node {
        Node::List(items) if !items.is_empty() => yaml_list(&mut out, items, 0),
        Node::Map(entries) if !entries.is_empty() => yaml_map(&mut out, entries, 0),
        scalar => {
            yaml_scalar(&mut out, scalar);
            out.push('\n');
        }
    }
    out
}

/// YAML limits the key of a line `key: value` to 1,024 characters; escapes may take six for one byte.
const MAX_SIMPLE_KEY_BYTES: usize = 160;
/// The most levels of tables that a reader of TOML must take: most refuse more than 80.
const MAX_TOML_LEVELS: usize = 79;

fn pad(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn yaml_list(out: &mut String, items: &[Node], depth: usize) {
    for item in items {
        pad(out, depth);
        out.push('-');
        yaml_child(out, item, depth, true);
    }
}

fn yaml_map(out: &mut String, entries: &[(String, Node)], depth: usize) {
    for (name, node) in entries {
        pad(out, depth);
        let (start, is_long) = (out.len(), name.len() > MAX_SIMPLE_KEY_BYTES);
        yaml_text(out, name);
        if is_long {
            out.insert_str(start, "? ");
            out.push('\n');
            pad(out, depth);
        }
        out.push(':');
        yaml_child(out, node, depth, false);
    }
}

fn yaml_child(out: &mut String, node: &Node, depth: usize, in_list: bool) {
    match node {
        Node::Map(entries) if !entries.is_empty() && in_list => {
            // The first entry follows the dash, which is as wide as one indentation.
            out.push(' ');
            let start = out.len();
            yaml_map(out, entries, depth + 1);
            let indent = (depth + 1) * 2;
            out.replace_range(start..start + indent, "");
        }
        Node::Map(entries) if !entries.is_empty() => {
            out.push('\n');
            yaml_map(out, entries, depth + 1);
        }
        Node::List(items) if !items.is_empty() => {
            out.push('\n');
            yaml_list(out, items, depth + 1);
        }
        scalar => {
            out.push(' ');
            yaml_scalar(out, scalar);
            out.push('\n');
        }
    }
}

fn yaml_scalar(out: &mut String, node: &Node) {
    match node {
        Node::Null => out.push_str("null"),
        Node::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Node::Number(text) => match yaml_number(text) {
            Some(number) => out.push_str(&number),
            None => yaml_text(out, text),
        },
        Node::Text(text) => yaml_text(out, text),
        Node::List(_) => out.push_str("[]"),
        Node::Map(_) => out.push_str("{}"),
    }
}

fn yaml_text(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
    } else {
        // Every JSON string is a YAML string.
        out.push_str(&json_string(text));
    }
}

/// Returns whether unquoted text reads back unchanged, in YAML 1.2 and in the 1.1 that many daemons still use.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 11] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "~", "<<"];
    let Some(first) = text.bytes().next() else { return false };
    let starts_ok = first.is_ascii_alphabetic() || first == b'/' || first == b'_' || first >= 0x80;
    let inner_ok = text.chars().all(|c| {
        c.is_alphanumeric()
            || matches!(c, ' ' | '_' | '-' | '.' | '/' | '+' | '@' | '(' | ')' | ';' | ',' | ':' | '=')
    });
    starts_ok
        && inner_ok
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
        && !is_number(text)
}

/// Returns text as a JSON string, which is also valid in YAML and TOML.
#[must_use]
pub(crate) fn json_string(text: &str) -> String {
    let quoted = serde_json::Value::String(text.to_owned()).to_string();
    // JSON allows this control character unescaped, TOML does not.
    quoted.replace('\u{7f}', "\\u007f")
}

/// Returns the tree as TOML.
///
/// # Errors
/// The tree is not a map, it holds a null, which TOML does not have, or it has more levels than TOML's readers take.
pub fn to_toml(node: &Node) -> Result<String, String> {
    let Node::Map(entries) = node else { return Err("only a map can be written as TOML".to_owned()) };
    let mut out = String::new();
    toml_table(&mut out, entries, "", 0)?;
    Ok(out)
}

fn toml_table(out: &mut String, entries: &[(String, Node)], path: &str, level: usize) -> Result<(), String> {
    if level > MAX_TOML_LEVELS {
        return Err(format!("TOML has at most {MAX_TOML_LEVELS} levels of tables"));
    }
    for (name, node) in entries {
        if !is_table(node) {
            out.push_str(&toml_key(name));
            out.push_str(" = ");
            toml_inline(out, node, name, level)?;
            out.push('\n');
        }
    }
    for (name, node) in entries {
        let path = if path.is_empty() { toml_key(name) } else { format!("{path}.{}", toml_key(name)) };
        let tables: &[Node] = match node {
            Node::Map(_) => std::slice::from_ref(node),
            Node::List(items) if is_table(node) => items,
            _ => continue,
        };
        let brackets = if matches!(node, Node::Map(_)) { ("[", "]") } else { ("[[", "]]") };
        for table in tables {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&format!("{}{path}{}\n", brackets.0, brackets.1));
            if let Node::Map(inner) = table {
                toml_table(out, inner, &path, level + 1)?;
            }
        }
    }
    Ok(())
}

/// Returns whether the node gets a header of its own: a map, or a list of nothing but maps.
fn is_table(node: &Node) -> bool {
    match node {
        Node::Map(_) => true,
        Node::List(items) => !items.is_empty() && items.iter().all(|item| matches!(item, Node::Map(_))),
        _ => false,
    }
}

fn toml_key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { name.to_owned() } else { json_string(name) }
}

fn toml_inline(out: &mut String, node: &Node, name: &str, level: usize) -> Result<(), String> {
    if level > MAX_TOML_LEVELS {
        return Err(format!("TOML has at most {MAX_TOML_LEVELS} levels of tables and lists"));
    }
    match node {
        Node::Null => return Err(format!("TOML has no null, which `{name}` holds")),
        Node::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Node::Number(text) => match toml_number(text) {
            Some(number) => out.push_str(&number),
            None => out.push_str(&json_string(text)),
        },
        Node::Text(text) => out.push_str(&json_string(text)),
        Node::List(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push_str(", ");
                }
                toml_inline(out, item, name, level + 1)?;
            }
            out.push(']');
        }
        Node::Map(entries) => {
            out.push('{');
            for (position, (key, item)) in entries.iter().enumerate() {
                out.push_str(if position > 0 { ", " } else { " " });
                out.push_str(&format!("{} = ", toml_key(key)));
                toml_inline(out, item, name, level + 1)?;
            }
            out.push_str(if entries.is_empty() { "}" } else { " }" });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{parse_json, parse_toml, parse_yaml};
    use super::*;

    const DOCUMENT: &str = r##"{"name": "a b", "list": [1, "yes", {"x": 1.50, "y": [[], {}]}], "empty": "",
        "odd": ["- x", "a: b", "0x1", "1e5", "# c", "null", "é", "line\nbreak", "\u007f", " lead", "*a", "a:"],
        "deep": {"k e": {"n": 12345678901234567890}}, "tables": [{"a": 1}, {"b": {"c": true}}]}"##;

    #[test]
    fn yaml_round_trips() {
        let node = parse_json(DOCUMENT).unwrap();
        let text = to_yaml(&node);
        assert_eq!(parse_yaml(&text).unwrap(), node, "{text}");
        assert_eq!(to_yaml(&Node::Text("off".into())), "\"off\"\n");
    }

    #[test]
    fn toml_round_trips() {
        let text = to_toml(&parse_json(DOCUMENT).unwrap()).unwrap();
        let again = parse_toml(&text).unwrap();
        assert_eq!(to_toml(&again).unwrap(), to_toml(&parse_toml(&text).unwrap()).unwrap());
        assert_eq!(again.get("odd"), parse_json(DOCUMENT).unwrap().get("odd"), "{text}");
        assert_eq!(again.get("tables"), parse_json(DOCUMENT).unwrap().get("tables"), "{text}");
        assert!(to_toml(&parse_json("{\"a\": null}").unwrap()).unwrap_err().contains("`a`"));
    }
}
