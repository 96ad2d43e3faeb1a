//! Reads JSON strictly, and keeps the spelling of numbers and the order of keys.

use super::{MAX_DEPTH, Node};
use std::collections::HashSet;

/// Parses one JSON document.
///
/// # Errors
/// The mistake, with its line and column.
pub fn parse_json(text: &str) -> Result<Node, String> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_space();
    let node = reader.value(0)?;
    reader.skip_space();
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(reader.error("unexpected text after the JSON value")),
    }
}

// serde_json turns `1e5` into `1e+5` even with arbitrary precision, and sorts the keys; it is used for strings only.
struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn error(&self, what: &str) -> String {
        if self.at >= self.text.len() {
            return "unexpected end of JSON input".to_owned();
        }
        let before = &self.text.as_bytes()[..self.at];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
        format!("{what} at line {line} column {column} of the JSON")
    }

    fn value(&mut self, depth: usize) -> Result<Node, String> {
        if depth > MAX_DEPTH {
            return Err(format!("the JSON nests deeper than {MAX_DEPTH} levels"));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Node::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                for (word, node) in
                    [("null", Node::Null), ("true", Node::Bool(true)), ("false", Node::Bool(false))]
                {
                    if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
                        self.at += word.len();
                        return Ok(node);
                    }
                }
                Err(self.error("expected a value"))
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node, String> {
        self.at += 1;
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut seen = HashSet::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Node::Map(entries));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.error("expected a name in double quotes"));
            }
            let name = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.error("expected `:`"));
            }
            self.at += 1;
            self.skip_space();
            let node = self.value(depth + 1)?;
            // As in Go and most parsers, the last value wins; it keeps the position of the first.
            if seen.insert(name.clone()) {
                entries.push((name, node));
            } else if let Some(entry) = entries.iter_mut().find(|(known, _)| *known == name) {
                entry.1 = node;
            }
            if self.ends(b'}')? {
                return Ok(Node::Map(entries));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Node, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Node::List(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1)?);
            if self.ends(b']')? {
                return Ok(Node::List(items));
            }
        }
    }

    /// Skips a comma (false) or the closing bracket (true).
    fn ends(&mut self, close: u8) -> Result<bool, String> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.error(&format!("expected `,` or `{}`", char::from(close)))),
        }
    }

    fn string(&mut self) -> Result<String, String> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                // A backslash never starts a multi-byte character, and the byte after it is skipped with it.
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(self.error("unfinished string")),
            }
        }
        self.at += 1;
        let raw = &self.text[start..self.at];
        serde_json::from_str(raw).map_err(|error| {
            let end = self.at;
            self.at = start;
            let said = self.error(&format!("bad string ({})", plain_cause(&error)));
            self.at = end;
            said
        })
    }

    fn number(&mut self) -> Result<Node, String> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.error("expected a digit")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(Node::Number(self.text[start..self.at].to_owned()))
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), String> {
        let start = self.at;
        self.digits();
        if self.at == start { Err(self.error("expected a digit")) } else { Ok(()) }
    }
}

/// Returns serde's message without its position, which counts from the start of the string alone.
fn plain_cause(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_json_is_refused_with_its_place() {
        for (text, want) in [
            ("", "unexpected end"),
            ("{", "unexpected end"),
            ("{\"a\":1,}", "expected a name in double quotes at line 1 column 8"),
            ("[1 2]", "expected `,` or `]` at line 1 column 4"),
            ("01", "unexpected text after"),
            ("1.", "unexpected end"),
            ("[\n tru]", "expected a value at line 2 column 2"),
            ("\"\\x\"", "bad string"),
            ("\"a\\", "unexpected end"),
            ("\"\u{1}\"", "bad string"),
            ("é", "expected a value"),
        ] {
            let error = parse_json(text).unwrap_err();
            assert!(error.contains(want), "{text:?}: {error}");
        }
    }

    #[test]
    fn objects_keep_their_order_and_the_last_of_two_equal_names_wins() {
        let node = parse_json(r#"{"b": 1, "a": [true, null, "\u00e9\ud83d\ude00"], "b": 2}"#).unwrap();
        assert_eq!(
            node,
            Node::Map(vec![
                ("b".into(), Node::Number("2".into())),
                ("a".into(), Node::List(vec![Node::Bool(true), Node::Null, Node::Text("é😀".into())])),
            ])
        );
    }
}
