//! A glob over a file's name: `*`, `?` and `[a-z]`.

use regex::Regex;

/// The pattern for file names.
#[derive(Clone, Debug)]
pub(super) struct Glob(Option<Regex>);

impl Glob {
    /// Parses a pattern; the error is the reason.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        if pattern == "*" || pattern.is_empty() {
            return Ok(Self(None));
        }
        let mut expression = String::from("^(?s)");
        let mut rest = pattern.chars();
        while let Some(next) = rest.next() {
            match next {
                '*' => expression.push_str(".*"),
                '?' => expression.push('.'),
                '[' => {
                    let (class, after) =
                        rest.as_str().split_once(']').ok_or_else(|| "a `[` has no `]`".to_owned())?;
                    let (not, class) = match class.strip_prefix(['!', '^']) {
                        Some(class) => ("^", class),
                        None => ("", class),
                    };
                    let class = class.replace('\\', r"\\").replace('[', r"\[").replace('^', r"\^");
                    let class = class.replace('&', r"\&").replace('~', r"\~");
                    expression.push_str(&format!("[{not}{class}]"));
                    rest = after.chars();
                }
                other => expression.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
            }
        }
        expression.push('$');
        Regex::new(&expression).map(|regex| Self(Some(regex))).map_err(|_| "a `[…]` is not valid".to_owned())
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|regex| regex.is_match(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_and_classes_match_whole_names() {
        for (pattern, name, want) in [
            ("*", "x", true),
            ("*.yaml", "a.yaml", true),
            ("*.yaml", "a.yaml.bak", false),
            ("a?c", "abc", true),
            ("a.c", "abc", false),
            ("[0-9]*", "1x", true),
            ("[!0-9]*", "1x", false),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(name), want, "{pattern} {name}");
        }
        assert!(Glob::new("[a").is_err() && Glob::new("[]").is_err());
    }
}
