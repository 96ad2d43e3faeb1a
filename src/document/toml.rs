//! Reads TOML and keeps the spelling of its numbers.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{MAX_DEPTH, Node};

/// Parses one TOML document; dates become text.
///
/// # Errors
/// The mistake and its place.
pub fn parse_toml(text: &str) -> Result<Node, String> {
    let table = DeTable::parse(text).map_err(|error| {
        let message = toml_message(text, &error);
        error.span().map_or_else(|| message.clone(), |span| at_line(&message, text, span.start))
    })?;
    entries(table.get_ref(), text, 0)
}

fn at_line(message: &str, text: &str, at: usize) -> String {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    format!("{message} at line {line} of the TOML")
}

/// Returns the parser's message, with the key that it leaves out. Its own display would quote the line, including a
/// password.
#[must_use]
pub fn toml_message(text: &str, error: &toml::de::Error) -> String {
    let key =
        error.span().and_then(|span| text.get(span)).filter(|key| !key.is_empty() && !key.contains('\n'));
    match (error.message(), key) {
        ("duplicate key", Some(key)) => format!("the key `{key}` occurs twice in one table"),
        (message, _) => message.to_owned(),
    }
}

fn entries(table: &DeTable<'_>, text: &str, depth: usize) -> Result<Node, String> {
    if depth > MAX_DEPTH {
        return Err(format!("the TOML nests deeper than {MAX_DEPTH} levels"));
    }
    let list = table
        .iter()
        .map(|(name, value)| Ok((name.get_ref().to_string(), node(value, text, depth + 1)?)))
        .collect::<Result<_, String>>()?;
    Ok(Node::Map(list))
}

fn node(value: &Spanned<DeValue<'_>>, text: &str, depth: usize) -> Result<Node, String> {
    if depth > MAX_DEPTH {
        return Err(format!("the TOML nests deeper than {MAX_DEPTH} levels"));
    }
    Ok(match value.get_ref() {
        DeValue::String(text) => Node::Text(text.to_string()),
        // The parser takes `1q0` for a number and leaves the refusal to whoever converts it.
        DeValue::Integer(number) if is_integer(number.as_str(), number.radix()) => {
            Node::Number(number.to_string())
        }
        DeValue::Float(number) if number.as_str().parse::<f64>().is_ok() => Node::Number(number.to_string()),
        DeValue::Integer(_) | DeValue::Float(_) => {
            let number = text.get(value.span()).unwrap_or_default();
            return Err(at_line(&format!("`{number}` is not a number"), text, value.span().start));
        }
        DeValue::Boolean(flag) => Node::Bool(*flag),
        DeValue::Datetime(date) => Node::Text(date.to_string()),
        DeValue::Array(items) => {
            Node::List(items.iter().map(|item| node(item, text, depth + 1)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => entries(table, text, depth)?,
    })
}

/// Returns whether it has a sign or none, and only digits of the base. It may be too large for any type.
fn is_integer(number: &str, radix: u32) -> bool {
    let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
    !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_arrays_and_dates_become_one_tree() {
        let node =
            parse_toml("when = 2024-02-29T12:00:00Z\n[db]\nports = [1, 0x1F]\n[[list]]\nx = true\n").unwrap();
        assert_eq!(node.get("when"), Some(&Node::Text("2024-02-29T12:00:00Z".into())));
        let ports = node.get("db").and_then(|db| db.get("ports"));
        assert_eq!(ports, Some(&Node::List(vec![Node::Number("1".into()), Node::Number("0x1F".into())])));
        let Some(Node::List(list)) = node.get("list") else { panic!("{node:?}") };
        assert_eq!(list[0].get("x"), Some(&Node::Bool(true)));
    }

    #[test]
    fn a_duplicate_key_is_named() {
        for (text, key, line) in
            [("a = 1\nb = 1\na = 2\n", "a", 3), ("[t]\n'x y' = 1\n\"x y\" = 2\n", "\"x y\"", 3)]
        {
            let says = format!("the key `{key}` occurs twice in one table at line {line} of the TOML");
            assert_eq!(parse_toml(text).unwrap_err(), says);
        }
        assert!(parse_toml("[a]\nx = 1\n[a]\n").unwrap_err().starts_with("the key `a` occurs twice"));
    }

    #[test]
    fn a_word_that_only_begins_as_a_number_is_refused() {
        for (text, number) in [
            ("a = 1\nb = 1_0q0\n", "1_0q0"),
            ("\nb = 0x1G", "0x1G"),
            ("\nb = 1.5.2", "1.5.2"),
            ("\nb = [1, 2e]", "2e"),
        ] {
            let error = parse_toml(text).unwrap_err();
            assert!(
                error.contains(number) || error.contains("number") || error.contains("expected"),
                "{error}"
            );
            assert!(error.ends_with("at line 2 of the TOML"), "{error}");
        }
        let good = "a = [1_000, -0x1F, 0b11, 0o17, 1e5, -1.5, inf, -nan, 123456789012345678901234567890]";
        let node = parse_toml(&good.replace("-0x1F", "0x1F")).unwrap();
        assert!(matches!(node.get("a"), Some(Node::List(list)) if list.len() == 9));
    }

    #[test]
    fn an_error_names_its_line() {
        assert!(parse_toml("a = 1\nb = = 2\n").unwrap_err().contains("line 2"));
    }
}
