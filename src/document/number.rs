//! Numbers in another format than the one they were written in: the spelling stays where the format has it, else the
//! value does.

use std::borrow::Cow;

use super::yaml::is_number;
use super::{Node, parse_toml};

/// Returns a number as JSON has it, or `None` where JSON has no such number (infinity, too many digits for a change
/// of base).
#[must_use]
pub fn json_number(text: &str) -> Option<Cow<'_, str>> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let digits = rest.replace('_', "");
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = digits.strip_prefix(prefix) {
            return Some(format!("{sign}{}", u128::from_str_radix(digits, radix).ok()?).into());
        }
    }
    let (mantissa, exponent) = digits.split_at(digits.find(['e', 'E']).unwrap_or(digits.len()));
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(if fraction.is_empty() { "0" } else { fraction })),
        None => (mantissa, None),
    };
    if !whole.bytes().chain(fraction.unwrap_or_default().bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let plain = match fraction {
        Some(fraction) => format!("{sign}{whole}.{fraction}{exponent}"),
        None => format!("{sign}{whole}{exponent}"),
    };
    Some(if plain == text { Cow::Borrowed(text) } else { Cow::Owned(plain) })
}

/// Returns a number as TOML has it.
pub(super) fn toml_number(text: &str) -> Option<Cow<'_, str>> {
    let plain = json_number(text);
    if plain.as_deref() == Some(text) || is_toml(text) {
        return Some(Cow::Borrowed(text));
    }
    // Infinity and not a number, of YAML.
    plain.or_else(|| {
        Some(text.replace('.', "").to_ascii_lowercase().into()).filter(|word: &Cow<'_, str>| is_toml(word))
    })
}

/// Returns a number as YAML's core schema has it.
pub(super) fn yaml_number(text: &str) -> Option<Cow<'_, str>> {
    if is_number(text) {
        return Some(Cow::Borrowed(text));
    }
    // Infinity and not a number, of TOML.
    json_number(text).or_else(|| {
        let word = text.replace("inf", ".inf").replace("nan", ".nan");
        Some(Cow::Owned(word.trim_start_matches(['+', '-']).to_owned()))
            .filter(|word| word == ".nan")
            .or(Some(Cow::Owned(word)))
            .filter(|word| is_number(word))
    })
}

fn is_toml(text: &str) -> bool {
    let parsed = parse_toml(&format!("a={text}"));
    parsed.is_ok_and(|node| matches!(node.get("a"), Some(Node::Number(_))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_its_spelling_where_the_format_has_it_and_its_value_elsewhere() {
        for (text, json, yaml, toml) in [
            ("1.50", Some("1.50"), "1.50", "1.50"),
            ("-0", Some("-0"), "-0", "-0"),
            ("1e400", Some("1e400"), "1e400", "1e400"),
            ("10.", Some("10.0"), "10.", "10.0"),
            (".5", Some("0.5"), ".5", "0.5"),
            ("-.5e3", Some("-0.5e3"), "-.5e3", "-0.5e3"),
            ("010", Some("10"), "010", "10"),
            ("+7", Some("7"), "+7", "+7"),
            ("0x1F", Some("31"), "0x1F", "0x1F"),
            ("0o17", Some("15"), "0o17", "0o17"),
            ("0b11", Some("3"), "3", "0b11"),
            ("1_000", Some("1000"), "1000", "1_000"),
            (".inf", None, ".inf", "inf"),
            ("-.INF", None, "-.INF", "-inf"),
            ("inf", None, ".inf", "inf"),
            ("-nan", None, ".nan", "-nan"),
        ] {
            assert_eq!(json_number(text).as_deref(), json, "{text}");
            assert_eq!(yaml_number(text).as_deref(), Some(yaml), "{text}");
            assert_eq!(toml_number(text).as_deref(), Some(toml), "{text}");
        }
    }
}
