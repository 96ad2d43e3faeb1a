//! Structured text (JSON, YAML, TOML) as one tree in which every scalar keeps its own spelling.
//!
//! Owns the three parsers and their bounds. Promises that `1.50` stays `1.50` and `1000000` stays `1000000`, that YAML
//! and JSON mappings keep the order of the text, and that no input nests, expands or grows without bound. Also owns the
//! names with which an exported subtree states its key and its times to live. Leaves out how templates use the tree
//! (`number`, `encode`) and how a source turns it into keys.

mod exported;
mod json;
mod number;
mod toml;
mod write;
mod yaml;

pub use exported::{KEY, TTL, VALUE, own_key};
pub use json::{parse_json, parse_json_to_depth};
pub use number::json_number;
pub use toml::{parse_toml, toml_message};
pub(crate) use write::json_string;
pub use write::{to_toml, to_yaml};
pub use yaml::{parse_yaml, parse_yaml_to_depth};

/// The deepest nesting of a document, except one of a subtree of a store.
pub const MAX_DEPTH: usize = 128;
/// The most nodes in a document, with its aliases expanded.
pub const MAX_NODES: usize = 2_000_000;
/// The most bytes of text in a document, with its aliases expanded.
pub const MAX_TEXT_BYTES: usize = 64 << 20;

/// One value of a parsed document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// No value: `null`, `~`, an empty YAML value.
    Null,
    /// True or false.
    Bool(bool),
    /// A number as it was written: `1.50`, `1e400`, `0x1F`.
    Number(String),
    /// A string; dates too.
    Text(String),
    /// Items in order.
    List(Vec<Self>),
    /// Entries in the order they were written (TOML: by key); no key occurs twice.
    Map(Vec<(String, Self)>),
}

impl Node {
    /// Returns the text of a scalar as it was written (`true`, `1.50`; `null` is empty), `None` for a list or a map.
    #[must_use]
    pub fn scalar_text(&self) -> Option<&str> {
        match self {
            Self::Null => Some(""),
            Self::Bool(true) => Some("true"),
            Self::Bool(false) => Some("false"),
            Self::Number(text) | Self::Text(text) => Some(text),
            Self::List(_) | Self::Map(_) => None,
        }
    }

    /// Returns the entry of a map.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_spelling_in_every_format() {
        for spelling in ["1000000", "3.0", "1.50", "12345678901234567890", "-0.0", "1e5"] {
            let want = Node::Number(spelling.to_owned());
            assert_eq!(parse_json(&format!("{{\"n\": {spelling}}}")).unwrap().get("n"), Some(&want), "json");
            assert_eq!(parse_yaml(&format!("n: {spelling}\n")).unwrap().get("n"), Some(&want), "yaml");
            assert_eq!(parse_toml(&format!("n = {spelling}\n")).unwrap().get("n"), Some(&want), "toml");
        }
        assert_eq!(parse_json("1e400").unwrap(), Node::Number("1e400".into()));
        assert_eq!(parse_json("1E+9").unwrap(), Node::Number("1E+9".into()));
    }

    #[test]
    fn deep_nesting_is_an_error_in_every_format_and_never_a_crash() {
        let deep = "[".repeat(100_000);
        assert!(parse_json(&deep).is_err());
        assert!(parse_yaml(&deep).is_err());
        assert!(parse_toml(&format!("a = {deep}")).is_err());
        assert!(parse_yaml(&"- ".repeat(20_000)).is_err());
        assert!(parse_toml(&format!("{} = 1", vec!["a"; 100_000].join("."))).is_err());
    }
}
