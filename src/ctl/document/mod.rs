//! A subtree as one document, in JSON, TOML or YAML.
//!
//! A directory is a map, a file is text. `{"$value": …, "$ttl": …}` is a file that expires; `$ttl` among a directory's
//! names means that the directory expires. `$key` at the top is the key that the document was read from. A name that
//! begins with `$` is written with a second `$`, so that it differs from these.

mod read;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

pub(super) use read::{read, read_at};
pub(super) use write::{write, write_at};

/// The deepest subtree of a document. A store of this program takes keys of about 2,900 levels; each level takes
/// stack, of which a call has enough for these.
pub(super) const MAX_LEVELS: usize = 3_000;

/// A file or a directory, with its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyNode {
    pub(super) kind: KeyNodeKind,
    /// Seconds to live.
    pub(super) ttl: Option<u64>,
    /// The index of its last write; 0 in a document.
    pub(super) index: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyNodeKind {
    File(String),
    Dir(BTreeMap<String, KeyNode>),
}

impl KeyNode {
    #[cfg(test)]
    pub(super) fn file(value: &str) -> Self {
        Self { kind: KeyNodeKind::File(value.to_owned()), ttl: None, index: 0 }
    }

    /// Returns whether it is a directory.
    pub(super) fn is_dir(&self) -> bool {
        matches!(self.kind, KeyNodeKind::Dir(_))
    }

    /// Returns how many files it is or contains.
    pub(super) fn files(&self) -> usize {
        match &self.kind {
            KeyNodeKind::File(_) => 1,
            KeyNodeKind::Dir(entries) => entries.values().map(Self::files).sum(),
        }
    }

    /// Returns whether both are the same, including the time of the last write; the remaining TTL does not matter.
    pub(super) fn is_same_version(&self, other: &Self) -> bool {
        self.index == other.index
            && match (&self.kind, &other.kind) {
                (KeyNodeKind::File(own), KeyNodeKind::File(others)) => own == others,
                (KeyNodeKind::Dir(own), KeyNodeKind::Dir(others)) => {
                    own.len() == others.len()
                        && own.iter().all(|(name, item)| {
                            others.get(name).is_some_and(|other| item.is_same_version(other))
                        })
                }
                _ => false,
            }
    }

    /// Returns this item as `wanted` would be written: with a TTL only if `wanted` has one, and then with its length.
    pub(super) fn with_ttls_of(&self, wanted: Option<&Self>) -> Self {
        let ttl = self.ttl.and_then(|_| wanted.and_then(|wanted| wanted.ttl));
        let kind = match &self.kind {
            KeyNodeKind::File(value) => KeyNodeKind::File(value.clone()),
            KeyNodeKind::Dir(entries) => {
                let others = match wanted.map(|wanted| &wanted.kind) {
                    Some(KeyNodeKind::Dir(others)) => Some(others),
                    _ => None,
                };
                let same = |(name, item): (&String, &Self)| {
                    (name.clone(), item.with_ttls_of(others.and_then(|others| others.get(name))))
                };
                KeyNodeKind::Dir(entries.iter().map(same).collect())
            }
        };
        Self { kind, ttl, index: self.index }
    }
}

/// The format of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Toml,
    Yaml,
}

impl Format {
    /// Returns the requested format, or that of the file's name; YAML for everything else, including JSON.
    pub(super) fn find(asked: &str, file: Option<&Path>) -> Result<Self, String> {
        let named = file.and_then(|file| file.extension()).and_then(|end| end.to_str());
        match (asked, named) {
            ("json", _) | ("", Some("json")) => Ok(Self::Json),
            ("toml", _) | ("", Some("toml")) => Ok(Self::Toml),
            ("yaml" | "yml" | "", _) => Ok(Self::Yaml),
            (other, _) => Err(format!("the format is json, toml or yaml, not {other:?}")),
        }
    }

    /// Returns the file name extension.
    pub(super) const fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Toml => "toml",
            Self::Yaml => "yaml",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> KeyNode {
        let dir = |entries: Vec<(&str, KeyNode)>| KeyNode {
            kind: KeyNodeKind::Dir(entries.into_iter().map(|(name, item)| (name.to_owned(), item)).collect()),
            ttl: None,
            index: 0,
        };
        dir(vec![
            ("a", KeyNode::file("1.50")),
            ("text", KeyNode::file("line\nnext\t\u{1}\"é: # 'x'\r\n")),
            ("empty", KeyNode::file("")),
            ("no", KeyNode::file("yes")),
            ("$ttl", KeyNode::file("a name, not a time")),
            ("$$", KeyNode::file("null")),
            ("with space.and.dots", dir(vec![("x", KeyNode::file(" lead"))])),
            ("void", dir(vec![])),
            ("dies", KeyNode { ttl: Some(60), ..KeyNode::file("soon") }),
            ("dying", KeyNode { ttl: Some(5), ..dir(vec![("k", KeyNode::file("v"))]) }),
        ])
    }

    #[test]
    fn every_format_round_trips() {
        for format in [Format::Json, Format::Toml, Format::Yaml] {
            let text = write(&tree(), format).unwrap();
            assert_eq!(read(&text, format).unwrap(), tree(), "{text}");
            assert_eq!(write(&read(&text, format).unwrap(), format).unwrap(), text, "the output is stable");
        }
    }

    #[test]
    fn a_document_records_its_key_whatever_it_holds() {
        for item in [tree(), KeyNode::file("80"), KeyNode { ttl: Some(9), ..KeyNode::file("80") }] {
            for format in [Format::Json, Format::Toml, Format::Yaml] {
                let text = write_at(&item, "/app/$x", format).unwrap();
                assert_eq!(
                    read_at(&text, format).unwrap(),
                    (item.clone(), Some("/app/$x".to_owned())),
                    "{text}"
                );
            }
        }
        assert_eq!(
            write_at(&tree(), "/", Format::Json),
            write(&tree(), Format::Json),
            "all keys need no key"
        );
        assert_eq!(read_at("{a: 1}", Format::Yaml).unwrap().1, None);
        for wrong in ["{$key: [1]}", "{$key: app}", "{$key: /a/../b}", "{a: {$key: /b}}"] {
            assert!(read_at(wrong, Format::Yaml).unwrap_err().contains("$key"), "{wrong}");
        }
        assert!(read("{$key: /a, b: 1}", Format::Yaml).unwrap_err().contains("$key"));
    }

    #[test]
    fn a_single_value_is_a_document_where_the_format_allows_it() {
        for format in [Format::Json, Format::Yaml] {
            let text = write(&KeyNode::file("off"), format).unwrap();
            assert_eq!(read(&text, format).unwrap(), KeyNode::file("off"), "{text}");
        }
        assert!(write(&KeyNode::file("off"), Format::Toml).is_err());
    }

    #[test]
    fn scalars_become_the_text_they_were_written_as() {
        let item = read("a: 1.50\nb: true\nc:\nd: 0x1F\n", Format::Yaml).unwrap();
        let KeyNodeKind::Dir(entries) = item.kind else { panic!("a map") };
        let values: Vec<KeyNode> = entries.into_values().collect();
        assert_eq!(values, ["1.50", "true", "", "0x1F"].map(KeyNode::file));
    }

    #[test]
    fn a_name_that_no_store_can_hold_is_refused() {
        for (text, says) in [
            ("a: [1]", "/a is a list"),
            ("a: {b/c: 1}", "\"b/c\""),
            ("a: {'': 1}", "/a"),
            ("a: {'..': 1}", "\"..\""),
            ("_x: 1", "\"_x\""),
            ("$x: 1", "\"$x\""),
            ("a: {$value: 1, b: 2}", "/a"),
            ("a: {$value: 1, $ttl: soon}", "/a"),
            ("a: {$value: {b: 1}}", "/a"),
        ] {
            let message = read(text, Format::Yaml).unwrap_err();
            assert!(message.contains(says), "{text}: {message}");
        }
    }
}
