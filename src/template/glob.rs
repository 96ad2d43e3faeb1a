//! Patterns for keys, as Go's `path.Match` reads them.

use thiserror::Error;

/// A malformed pattern: an open `[`, an empty range, a lone backslash at the end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid pattern \"{0}\": syntax error in pattern")]
pub struct BadPattern(pub String);

/// Returns whether a whole key matches: `*` and `?` stop at `/`, `[a-z]` and `[^a]` match one character, a backslash
/// makes the next character literal.
///
/// # Errors
/// The pattern is malformed, even if the key already failed to match before the malformed part.
pub fn glob_matches(pattern: &str, key: &str) -> Result<bool, BadPattern> {
    // Most patterns are a directory and a star, which need no parsing.
    if let Some(dir) = pattern.strip_suffix("/*")
        && !dir.contains(['*', '?', '[', '\\'])
    {
        let name = key.strip_prefix(dir).and_then(|rest| rest.strip_prefix('/'));
        return Ok(name.is_some_and(|name| !name.contains('/')));
    }
    let pieces = pieces(pattern)?;
    let key: Vec<char> = key.chars().collect();
    Ok(matches(&pieces, &key))
}

/// Returns the part of a pattern before its first special character, and whether that is the whole pattern.
pub(super) fn literal_head(pattern: &str) -> (&str, bool) {
    match pattern.find(['*', '?', '[', '\\']) {
        Some(at) => (&pattern[..at], false),
        None => (pattern, true),
    }
}

/// Escapes text so that it matches only itself.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

enum GlobToken {
    Literal(char),
    One,
    Star,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

fn pieces(pattern: &str) -> Result<Vec<GlobToken>, BadPattern> {
    let bad = || BadPattern(pattern.to_owned());
    let mut out = Vec::new();
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        out.push(match character {
            '*' => GlobToken::Star,
            '?' => GlobToken::One,
            '\\' => GlobToken::Literal(rest.next().ok_or_else(bad)?),
            '[' => {
                let negated = rest.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                loop {
                    if !ranges.is_empty() && rest.next_if_eq(&']').is_some() {
                        break;
                    }
                    let low = class_character(&mut rest).ok_or_else(bad)?;
                    let high = match rest.next_if_eq(&'-') {
                        Some(_) => class_character(&mut rest).ok_or_else(bad)?,
                        None => low,
                    };
                    ranges.push((low, high));
                }
                GlobToken::Class { negated, ranges }
            }
            other => GlobToken::Literal(other),
        });
    }
    Ok(out)
}

fn class_character(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match rest.next()? {
        '-' | ']' => None,
        '\\' => rest.next(),
        other => Some(other),
    }
}

/// Backtracks only to the last star, so the cost is at most the product of both lengths.
fn matches(pieces: &[GlobToken], key: &[char]) -> bool {
    let (mut piece, mut at) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let fits = match pieces.get(piece) {
            Some(GlobToken::Star) => {
                retry = Some((piece, at));
                piece += 1;
                continue;
            }
            Some(one) => key.get(at).is_some_and(|character| takes(one, *character)),
            None if at == key.len() => return true,
            None => false,
        };
        if fits {
            piece += 1;
            at += 1;
            continue;
        }
        // The last star takes one more character, unless that is a boundary.
        match retry {
            Some((star, from)) if key.get(from).is_some_and(|character| *character != '/') => {
                retry = Some((star, from + 1));
                piece = star + 1;
                at = from + 1;
            }
            _ => return false,
        }
    }
}

fn takes(piece: &GlobToken, character: char) -> bool {
    match piece {
        GlobToken::Literal(literal) => *literal == character,
        GlobToken::One => character != '/',
        GlobToken::Star => false,
        GlobToken::Class { negated, ranges } => {
            ranges.iter().any(|(low, high)| (*low..=*high).contains(&character)) != *negated
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_gos_path_match_does() {
        for (pattern, key, want) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[^b-d]", "abc", false),
            ("ab[^c]", "abd", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("a?b", "a/b", false),
            ("a*b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[\\-x]", "x", true),
            ("*x", "xxx", true),
            ("", "", true),
            ("/app/*", "/app/x", true),
            ("/app/*", "/app/x/y", false),
            ("/app/*", "/apple", false),
            ("/app/*", "/app/", true),
            ("/*/*", "/a/b", true),
            ("/*/*", "/a", false),
        ] {
            assert_eq!(glob_matches(pattern, key), Ok(want), "{pattern:?} {key:?}");
        }
    }

    #[test]
    fn a_malformed_pattern_is_an_error_whatever_the_key() {
        for pattern in ["[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "a[", "a\\", "[^bc"] {
            assert!(glob_matches(pattern, "a").is_err(), "{pattern:?}");
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_the_product_of_the_lengths() {
        let pattern = "*a".repeat(500) + "b";
        assert_eq!(glob_matches(&pattern, &"a".repeat(5_000)), Ok(false));
    }

    #[test]
    fn an_escaped_text_matches_itself_alone() {
        assert_eq!(glob_matches(&escape("/a[1]*?\\"), "/a[1]*?\\"), Ok(true));
        assert_eq!(glob_matches(&escape("/a*"), "/ab"), Ok(false));
    }
}
