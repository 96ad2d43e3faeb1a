//! Builds the pairs of a v3 transaction from the JSON of etcd's gateway.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use json_event_parser::JsonEvent;

use super::json_reader::{Builder, Skip};
use super::v3_wire::{Header, Pair};

/// What a pair costs beside its bytes. A growing list has room for twice its pairs.
const PAIR_BYTES: usize = 2 * size_of::<Pair>();

/// The result of a transaction of ranges.
#[derive(Debug, Default)]
pub(super) struct Txn {
    pub(super) header: Header,
    /// The pairs of each range.
    pub(super) pairs: Vec<Vec<Pair>>,
}

/// An object or a list that is still open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Txn,
    Header,
    Responses,
    Response,
    Range,
    Pairs,
    Pair,
}

/// The name of the next value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Header,
    ClusterId,
    Revision,
    Responses,
    Range,
    Pairs,
    Key,
    Value,
    Modified,
    Unknown,
}

/// Builds a [`Txn`].
#[derive(Default)]
pub(super) struct TxnBuilder {
    txn: Txn,
    open: Vec<Open>,
    field: Option<Field>,
    skip: Skip,
    size: usize,
    complete: bool,
}

impl TxnBuilder {
    fn name(&self, name: &str) -> Field {
        match (self.open.last(), name) {
            (Some(Open::Txn), "header") => Field::Header,
            (Some(Open::Txn), "responses") => Field::Responses,
            (Some(Open::Header), "cluster_id") => Field::ClusterId,
            (Some(Open::Header), "revision") => Field::Revision,
            (Some(Open::Response), "response_range") => Field::Range,
            (Some(Open::Range), "kvs") => Field::Pairs,
            (Some(Open::Pair), "key") => Field::Key,
            (Some(Open::Pair), "value") => Field::Value,
            (Some(Open::Pair), "mod_revision") => Field::Modified,
            _ => Field::Unknown,
        }
    }

    fn unexpected<T>(&self, what: &str) -> Result<T, String> {
        Err(match self.field {
            Some(field) if !self.open.is_empty() => {
                format!("{what} as the {field:?} of a transaction").to_lowercase()
            }
            _ => format!("{what} where an object should be"),
        })
    }

    fn begin(&mut self, object: bool) -> Result<(), String> {
        let next = match (self.open.last(), self.field, object) {
            (None, _, true) => Open::Txn,
            (Some(Open::Txn), Some(Field::Header), true) => Open::Header,
            (Some(Open::Txn), Some(Field::Responses), false) => Open::Responses,
            (Some(Open::Responses), _, true) => Open::Response,
            (Some(Open::Response), Some(Field::Range), true) => {
                self.size += 2 * size_of::<Vec<Pair>>();
                self.txn.pairs.push(Vec::new());
                Open::Range
            }
            (Some(Open::Range), Some(Field::Pairs), false) => Open::Pairs,
            (Some(Open::Pairs), _, true) => {
                self.size += PAIR_BYTES;
                if let Some(pairs) = self.txn.pairs.last_mut() {
                    pairs.push(Pair::default());
                }
                Open::Pair
            }
            (Some(_), Some(Field::Unknown), _) => {
                self.skip.begin();
                return Ok(());
            }
            _ => return self.unexpected(if object { "an object" } else { "a list" }),
        };
        self.open.push(next);
        Ok(())
    }

    /// Takes a value that is no list or object; the gateway writes numbers as texts.
    fn text(&mut self, text: &str) -> Result<(), String> {
        let number = || text.parse::<u64>().map_err(|_| format!("{text:?} where a number should be"));
        let bytes = || STANDARD.decode(text).map_err(|error| format!("a text that is not base64: {error}"));
        let in_object = self.in_object();
        let pair = self.txn.pairs.last_mut().and_then(|pairs| pairs.last_mut());
        match (self.field, pair) {
            (Some(Field::ClusterId), _) => self.txn.header.cluster_id = number()?,
            (Some(Field::Revision), _) => self.txn.header.revision = number()?,
            (Some(Field::Modified), Some(pair)) => pair.modified = number()?,
            (Some(Field::Key), Some(pair)) => {
                pair.key = bytes()?;
                self.size += pair.key.len();
            }
            (Some(Field::Value), Some(pair)) => {
                pair.value = bytes()?;
                self.size += pair.value.len();
            }
            (Some(Field::Unknown), _) if in_object => {}
            _ => return self.unexpected("a text"),
        }
        Ok(())
    }

    fn in_object(&self) -> bool {
        !matches!(self.open.last(), None | Some(Open::Responses | Open::Pairs))
    }
}

impl Builder for TxnBuilder {
    type Built = Txn;

    fn take(&mut self, part: JsonEvent<'_>) -> Result<(), String> {
        if self.skip.covers(&part) {
            return Ok(());
        }
        match part {
            JsonEvent::ObjectKey(name) => self.field = Some(self.name(&name)),
            JsonEvent::StartObject => return self.begin(true),
            JsonEvent::StartArray => return self.begin(false),
            JsonEvent::EndObject | JsonEvent::EndArray => {
                self.open.pop();
                // What follows a list in a list has no name.
                self.field = None;
                self.complete = self.open.is_empty();
            }
            JsonEvent::String(text) => return self.text(&text),
            JsonEvent::Number(_) | JsonEvent::Boolean(_)
                if self.field == Some(Field::Unknown) && self.in_object() => {}
            JsonEvent::Number(_) => return self.unexpected("a number"),
            JsonEvent::Boolean(_) => return self.unexpected("a truth value"),
            JsonEvent::Null if self.in_object() => {}
            JsonEvent::Null => return self.unexpected("null"),
            JsonEvent::Eof => {}
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.size
    }

    fn finish(self) -> Result<Txn, String> {
        if self.complete { Ok(self.txn) } else { Err("it is incomplete".to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::json_reader::{JsonError, read};
    use super::*;

    fn whole(text: &str, limit: usize) -> Result<Txn, JsonError> {
        read(TxnBuilder::default(), text.as_bytes(), limit)
    }

    #[test]
    fn a_transaction_is_read_with_each_range() {
        let txn = whole(
            r#"{"header":{"cluster_id":"12","member_id":"1","revision":"7","raft_term":"2"},"succeeded":true,
            "responses":[{"response_range":{"header":{"revision":"7"},"kvs":[
            {"key":"L2E=","create_revision":"2","mod_revision":"3","version":"1","value":"MQ=="},{"key":"L2I="}],
            "count":"2","more":{"deep":[[{}]]}}},{"response_range":{"header":{"revision":"7"}}}]}"#,
            1 << 20,
        )
        .unwrap();
        assert_eq!((txn.header.cluster_id, txn.header.revision, txn.pairs.len()), (12, 7, 2));
        let [a, b] = &txn.pairs[0][..] else { panic!("{txn:?}") };
        assert_eq!((a.key.as_slice(), a.value.as_slice(), a.modified), (&b"/a"[..], &b"1"[..], 3));
        assert!(b.key == b"/b" && b.value.is_empty() && txn.pairs[1].is_empty());
    }

    #[test]
    fn what_is_not_a_transaction_is_an_error() {
        for (text, why) in [
            ("[]", "a list where an object"),
            (r#"{"header":{"revision":7}}"#, "a number as the revision"),
            (r#"{"header":{"revision":"x"}}"#, "where a number should be"),
            (r#"{"responses":[1]}"#, "a number"),
            (r#"{"responses":[{"response_range":{"kvs":[{"key":"L2E"}]}}]}"#, "not base64"),
            (r#"{"responses":{"#, "an object as the responses"),
        ] {
            let Err(JsonError::Invalid(said)) = whole(text, 1 << 20) else { panic!("{text}") };
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn the_limit_counts_what_small_pairs_take() {
        let pairs = "{},".repeat(20_000);
        let text = format!("{{\"responses\":[{{\"response_range\":{{\"kvs\":[{pairs}{{}}]}}}}]}}");
        assert!(text.len() < 100_000);
        assert_eq!(whole(&text, 1 << 20).unwrap_err(), JsonError::TooLarge);
    }
}
