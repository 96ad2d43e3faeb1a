//! Functions that change, measure or quote a whole text.

#![expect(clippy::needless_pass_by_value, reason = "the engine hands a function its arguments by value")]

use minijinja::Error;

use super::current;
use super::error::fail;
use super::registry::{Int, Registry, Text};
use crate::protocol::{query_encoded, quoted};

pub(super) fn register(all: &mut Registry) {
    all.both("toUpper", |s: Text| s.to_uppercase());
    all.both("toLower", |s: Text| s.to_lowercase());
    all.function("trim", |s: Text| s.trim().to_owned());
    all.both("trimLeft", |s: Text, set: Option<Text>| trim(&s, set.as_deref(), true, false));
    all.both("trimRight", |s: Text, set: Option<Text>| trim(&s, set.as_deref(), false, true));
    all.both("trimAll", |s: Text, set: Option<Text>| trim(&s, set.as_deref(), true, true));
    all.both("trimPrefix", |s: Text, prefix: Text| s.strip_prefix(&*prefix).unwrap_or(&s).to_owned());
    all.both("trimSuffix", |s: Text, suffix: Text| s.strip_suffix(&*suffix).unwrap_or(&s).to_owned());
    all.both("hasPrefix", |s: Text, prefix: Text| s.starts_with(&*prefix));
    all.both("hasSuffix", |s: Text, suffix: Text| s.ends_with(&*suffix));
    all.both("replace", replace);
    all.function("repeat", |n: Int, s: Text| repeat(&s, n.0));
    all.filter("repeat", |s: Text, n: Int| repeat(&s, n.0));
    all.function("indent", |n: Int, s: Text| indent(&s, n.0));
    all.function("nindent", |n: Int, s: Text| nindent(&s, n.0));
    all.filter("nindent", |s: Text, n: Int| nindent(&s, n.0));
    all.both("quote", |s: Text| quoted(&s));
    all.both("squote", |s: Text| format!("'{}'", s.replace('\'', "''")));
    all.both("shellQuote", |s: Text| shell_quote(&s));
    all.both("nginxQuote", |s: Text| nginx_quote(&s));
    all.both("urlquery", |s: Text| query_encoded(s.as_bytes()));
    all.both("base", |s: Text| base(&s));
    all.both("dir", |s: Text| dir(&s));
}

fn trim(text: &str, set: Option<&str>, left: bool, right: bool) -> String {
    let unwanted = |character: char| match set {
        Some(set) => set.contains(character),
        None => character.is_whitespace(),
    };
    let text = if left { text.trim_start_matches(unwanted) } else { text };
    let text = if right { text.trim_end_matches(unwanted) } else { text };
    text.to_owned()
}

fn replace(s: Text, old: Text, new: Text, n: Option<Int>) -> Result<String, Error> {
    let most = n.and_then(|n| usize::try_from(n.0).ok()).unwrap_or(usize::MAX);
    let found = if old.is_empty() { s.chars().count() + 1 } else { s.matches(&*old).count() };
    let grown = found.min(most).checked_mul(new.len()).and_then(|grown| grown.checked_add(s.len()));
    current::check_size(grown, "replace")?;
    Ok(s.replacen(&*old, &new, most))
}

fn repeat(text: &str, times: i64) -> Result<String, Error> {
    let times = usize::try_from(times).unwrap_or(0);
    current::check_size(text.len().checked_mul(times), "repeat")?;
    Ok(text.repeat(times))
}

/// Indents every line, also the empty one after a final newline, as confd's successors do.
fn indent(text: &str, width: i64) -> Result<String, Error> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let width = usize::try_from(width).unwrap_or(0);
    let lines = text.matches('\n').count() + 1;
    current::check_size(width.checked_mul(lines).and_then(|more| more.checked_add(text.len())), "indent")?;
    let pad = " ".repeat(width);
    Ok(format!("{pad}{}", text.replace('\n', &format!("\n{pad}"))))
}

fn nindent(text: &str, width: i64) -> Result<String, Error> {
    Ok(format!("\n{}", indent(text, width)?))
}

fn nginx_quote(text: &str) -> Result<String, Error> {
    if text.contains(|character: char| character.is_control()) {
        return Err(fail("nginxQuote: the text holds a control character, which nginx cannot represent"));
    }
    if text.contains('$') {
        return Err(fail("nginxQuote: the text holds a `$`, which nginx reads as a variable even in quotes"));
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// Go's `path.Base`: the last element, `.` for an empty path, `/` for slashes alone.
fn base(path: &str) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return "/".to_owned();
    }
    trimmed.rsplit('/').next().unwrap_or(trimmed).to_owned()
}

/// Go's `path.Dir`: everything before the last slash, cleaned.
fn dir(path: &str) -> String {
    let Some((head, _)) = path.rsplit_once('/') else { return ".".to_owned() };
    let rooted = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for segment in head.split('/') {
        match segment {
            "" | "." => {}
            ".." if kept.last().is_some_and(|last| *last != "..") => {
                kept.pop();
            }
            ".." if rooted => {}
            other => kept.push(other),
        }
    }
    match (rooted, kept.is_empty()) {
        (true, _) => format!("/{}", kept.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => kept.join("/"),
    }
}

/// Returns text as one word of a POSIX shell, without quotes if it needs none.
fn shell_quote(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b'-');
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_and_dir_are_gos() {
        for (path, want_base, want_dir) in [
            ("", ".", "."),
            ("/", "/", "/"),
            ("/a", "a", "/"),
            ("/a/b/", "b", "/a/b"),
            ("a", "a", "."),
            ("a//b", "b", "a"),
            ("/a/../../b", "b", "/"),
            ("../a/b", "b", "../a"),
        ] {
            assert_eq!((base(path).as_str(), dir(path).as_str()), (want_base, want_dir), "{path:?}");
        }
    }

    #[test]
    fn indenting_includes_the_line_after_a_final_newline() {
        assert_eq!(indent("a\nb\n", 2).unwrap(), "  a\n  b\n  ");
        assert_eq!(indent("", 2).unwrap(), "");
        assert_eq!(indent("a", -3).unwrap(), "a");
    }

    #[test]
    fn quotes_escape_what_their_reader_would_misread() {
        assert_eq!(quoted("a\"b\\\n\u{1}\u{80}é"), "\"a\\\"b\\\\\\n\\x01\\u0080é\"");
        assert_eq!(nginx_quote("a\"b\\").unwrap(), r#""a\"b\\""#);
        assert!(nginx_quote("a$b").is_err() && nginx_quote("a\nb").is_err());
        assert_eq!(query_encoded("a b&é".as_bytes()), "a+b%26%C3%A9");
    }
}
