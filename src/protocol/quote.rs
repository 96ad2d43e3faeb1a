//! Text in quotes, as Go writes it into errors.

use std::fmt::Write as _;

/// Returns text in double quotes, as Go's `%q` writes it; every character beyond U+07FF counts as printable.
#[must_use]
pub fn quoted(text: &str) -> String {
    quote(text.as_bytes())
}

/// The same for bytes that may not be text.
pub(super) fn quote(text: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in text.utf8_chunks() {
        for letter in chunk.valid().chars() {
            let done = match letter {
                '"' | '\\' => write!(out, "\\{letter}"),
                '\x07' => write!(out, "\\a"),
                '\x08' => write!(out, "\\b"),
                '\x0c' => write!(out, "\\f"),
                '\n' => write!(out, "\\n"),
                '\r' => write!(out, "\\r"),
                '\t' => write!(out, "\\t"),
                '\x0b' => write!(out, "\\v"),
                _ if letter.is_ascii_control() => write!(out, "\\x{:02x}", letter as u32),
                _ if prints(letter) => write!(out, "{letter}"),
                _ => write!(out, "\\u{:04x}", letter as u32),
            };
            done.expect("text grows");
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}").expect("text grows");
        }
    }
    out.push('"');
    out
}

/// Returns Go's error of an invalid percent escape.
pub(super) fn bad_escape(escape: &[u8]) -> String {
    format!("invalid URL escape {}", quote(escape))
}

/// Returns whether Go considers a character printable, of those below U+0800.
const fn prints(letter: char) -> bool {
    matches!(
        letter as u32,
        0x20..=0x7e | 0xa1..=0xac | 0xae..=0x377 | 0x37a..=0x37f | 0x384..=0x38a | 0x38c | 0x38e..=0x3a1
            | 0x3a3..=0x52f | 0x531..=0x556 | 0x559..=0x58a | 0x58d..=0x58f | 0x591..=0x5c7 | 0x5d0..=0x5ea
            | 0x5ef..=0x5f4 | 0x606..=0x61b | 0x61e..=0x6dc | 0x6de..=0x70d | 0x710..=0x74a | 0x74d..=0x7b1
            | 0x7c0..=0x7fa | 0x7fd..=0x7ff | 0x800..
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_those_of_go() {
        assert_eq!(quoted("a\"b\\\n\u{1}\u{7f}é漢"), "\"a\\\"b\\\\\\n\\x01\\x7fé漢\"");
    }
}
