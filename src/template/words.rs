//! Functions on the words of a text: its case, its spaces, its parts.

#![expect(clippy::needless_pass_by_value, reason = "the engine hands a function its arguments by value")]

use minijinja::{Error, Value};

use super::current;
use super::registry::{Int, Registry, Text};

pub(super) fn register(all: &mut Registry) {
    all.function("title", |s: Text| title(&s));
    all.both("nospace", |s: Text| s.split_whitespace().collect::<String>());
    all.both("snakecase", |s: Text| words(&s).join("_"));
    all.both("kebabcase", |s: Text| words(&s).join("-"));
    all.both("camelcase", |s: Text| words(&s).iter().map(|word| capitalized(word)).collect::<String>());
    all.both("split", split);
    all.both("splitN", |s: Text, sep: Text, n: Int| split(s, Some(sep), Some(Int(n.0.saturating_sub(1)))));
}

fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut start = true;
    for character in text.chars() {
        if start {
            out.extend(character.to_uppercase());
        } else {
            out.push(character);
        }
        start = character.is_whitespace();
    }
    out
}

fn capitalized(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// Returns the words of an identifier in lower case: `HTTPServerName` and `http-server name` have the same three.
fn words(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let mut out: Vec<String> = Vec::new();
    let mut word = String::new();
    for (position, &character) in characters.iter().enumerate() {
        if matches!(character, '_' | '-') || character.is_whitespace() {
            out.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
            continue;
        }
        let before = position.checked_sub(1).map(|at| characters[at]);
        let after = characters.get(position + 1);
        let begins = character.is_uppercase()
            && (before.is_some_and(|before| before.is_lowercase() || before.is_numeric())
                || (before.is_some_and(char::is_uppercase)
                    && after.is_some_and(|after| after.is_lowercase())));
        if begins && !word.is_empty() {
            out.push(std::mem::take(&mut word));
        }
        word.extend(character.to_lowercase());
    }
    out.extend(Some(word).filter(|word| !word.is_empty()));
    out
}

/// Splits as Go does, or without a separator at any whitespace; at most `max` cuts.
fn split(s: Text, sep: Option<Text>, max: Option<Int>) -> Result<Value, Error> {
    let cuts = max.and_then(|max| usize::try_from(max.0).ok()).unwrap_or(usize::MAX - 1);
    let mut out: Vec<Value> = Vec::new();
    let mut push = |part: &str| {
        out.push(Value::from(part));
        current::check_item_count(out.len(), "split")
    };
    match sep.as_deref() {
        Some("") => s.chars().try_for_each(|character| push(character.encode_utf8(&mut [0; 4])))?,
        Some(sep) => s.splitn(cuts + 1, sep).try_for_each(&mut push)?,
        None => {
            let mut rest = s.trim_start();
            let mut made = 0;
            while !rest.is_empty() {
                let end = if made == cuts {
                    rest.len()
                } else {
                    rest.find(char::is_whitespace).unwrap_or(rest.len())
                };
                push(&rest[..end])?;
                rest = rest[end..].trim_start();
                made += 1;
            }
        }
    }
    Ok(Value::from(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acronym_is_one_word() {
        assert_eq!(words("HTTPServerName"), ["http", "server", "name"]);
        assert_eq!(words("http-server_name x2Y"), ["http", "server", "name", "x2", "y"]);
        assert!(words("--").is_empty());
    }

    #[test]
    fn splitting_follows_go_with_a_separator_and_jinja_without() {
        let parts = |text: &str, sep: Option<&str>, max: Option<i64>| {
            split(Text(text.into()), sep.map(|sep| Text(sep.into())), max.map(Int)).unwrap().to_string()
        };
        assert_eq!(parts("", Some(","), None), "['']");
        assert_eq!(parts("a,b,", Some(","), None), "['a', 'b', '']");
        assert_eq!(parts("a,b,c", Some(","), Some(1)), "['a', 'b,c']");
        assert_eq!(parts(" a  b c", None, Some(1)), "['a', 'b c']");
        assert_eq!(parts("ab", Some(""), None), "['a', 'b']");
    }
}
