//! Reads JSON strictly, and keeps the spelling of numbers and the order of keys.

use std::collections::HashMap;

use super::{MAX_DEPTH, Node};

/// Parses one JSON document.
///
/// # Errors
/// The mistake, with its line and column.
pub fn parse_json(text: &str) -> Result<Node, String> {
    parse_json_to_depth(text, MAX_DEPTH)
}

/// Parses one JSON document of at most so many levels. Reading a level takes stack.
///
/// # Errors
/// The mistake, with its line and column.
pub fn parse_json_to_depth(text: &str, max_depth: usize) -> Result<Node, String> {
    let mut reader = Reader { text, at: 0, max_depth };
    let node = reader.value(0)?;
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(reader.error("unexpected text after the JSON value")),
    }
}

// serde_json is used for strings only. Even with arbitrary precision it turns `1e5` into `1e+5`, and it hands a number to
// a visitor as a map with a private key, which a document may contain.
struct Reader<'t> {
    text: &'t str,
    at: usize,
    max_depth: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// Skips white space and returns the byte after it.
    fn peek(&mut self) -> Option<u8> {
        self.at = self.text.len() - self.rest().trim_start_matches([' ', '\t', '\n', '\r']).len();
        self.rest().bytes().next()
    }

    /// Skips the next byte if it is one of these.
    fn accept(&mut self, bytes: &[u8]) -> bool {
        let found = self.rest().bytes().next().is_some_and(|byte| bytes.contains(&byte));
        self.at += usize::from(found);
        found
    }

    /// Skips white space, and this byte if it comes next.
    fn skip(&mut self, byte: u8) -> bool {
        self.peek();
        self.accept(&[byte])
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
        if depth > self.max_depth {
            return Err(format!("the JSON nests deeper than {} levels", self.max_depth));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => {
                let mut list = Vec::new();
                self.items(b']', |reader| reader.value(depth + 1).map(|node| list.push(node)))?;
                Ok(Node::List(list))
            }
            Some(b'"') => self.string().map(Node::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                let words = [("null", Node::Null), ("true", Node::Bool(true)), ("false", Node::Bool(false))];
                let found = words.into_iter().find(|(word, _)| self.rest().starts_with(word));
                let (word, node) = found.ok_or_else(|| self.error("expected a value"))?;
                self.at += word.len();
                Ok(node)
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node, String> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut places = HashMap::new();
        self.items(b'}', |reader| {
            if reader.peek() != Some(b'"') {
                return Err(reader.error("expected a name in double quotes"));
            }
            let name = reader.string()?;
            if !reader.skip(b':') {
                return Err(reader.error("expected `:`"));
            }
            let node = reader.value(depth + 1)?;
            // Go and most readers let the last one win; so do we, at the place of the first.
            let place = *places.entry(name.clone()).or_insert(entries.len());
            match entries.get_mut(place) {
                Some(entry) => entry.1 = node,
                None => entries.push((name, node)),
            }
            Ok(())
        })?;
        Ok(Node::Map(entries))
    }

    /// Reads what lies between brackets, separated by commas.
    fn items(
        &mut self,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        self.at += 1;
        if self.skip(close) {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.skip(close) {
                return Ok(());
            }
            if !self.skip(b',') {
                return Err(self.error(&format!("expected `,` or `{}`", char::from(close))));
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        let mut strings = serde_json::Deserializer::from_str(self.rest()).into_iter();
        match strings.next() {
            Some(Ok(text)) => {
                self.at += strings.byte_offset();
                Ok(text)
            }
            Some(Err(error)) if !error.is_eof() => {
                // Its position counts from the start of the string.
                let text = error.to_string();
                let cause = text.split(" at line").next().unwrap_or_default();
                Err(self.error(&format!("bad string ({cause})")))
            }
            _ => {
                self.at = self.text.len();
                Err(self.error("unfinished string"))
            }
        }
    }

    fn number(&mut self) -> Result<Node, String> {
        let start = self.at;
        self.accept(b"-");
        if !self.accept(b"0") {
            self.digits()?;
        }
        if self.accept(b".") {
            self.digits()?;
        }
        if self.accept(b"eE") {
            self.accept(b"+-");
            self.digits()?;
        }
        Ok(Node::Number(self.text[start..self.at].to_owned()))
    }

    /// Skips digits, at least one.
    fn digits(&mut self) -> Result<(), String> {
        let count = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.at += count;
        if count == 0 { Err(self.error("expected a digit")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_json_is_refused_with_its_position() {
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
