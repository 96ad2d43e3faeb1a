//! Finds what a template reads: keys and other templates named by string literals.
//!
//! A computed name does not show here; a render with `--data` finds it.

use std::sync::LazyLock;

use regex::Regex;

use super::fields::line_of;

/// Something a template names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TemplateRef {
    /// A key, directory or glob.
    Key {
        /// The line.
        line: usize,
        /// As the template spells it.
        asked: String,
        /// Whether only names are listed, so that a directory above the resource's keys is valid.
        listing: bool,
    },
    /// Another template.
    Template(String),
}

static KEYS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"\b(getv|getvs|getb64|gets|get|exists|lsdir|ls|backends)\(\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*[,)]"#,
    )
    .expect("the pattern is a constant that a test compiles")
});
static TEMPLATES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?:\binclude\(|\{%[-+]?\s*(?:include|extends|import|from))\s*(?:"([^"\\]*)"|'([^'\\]*)')"#)
        .expect("the pattern is a constant that a test compiles")
});
static COMMENTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?s)\{#.*?#\}").expect("the pattern is a constant that a test compiles"));

/// Returns every literal name in a template's text, comments left out.
pub(super) fn scan(text: &str) -> Vec<TemplateRef> {
    // Comments become blanks of equal length, so that line numbers stay the same.
    let text = COMMENTS.replace_all(text, |found: &regex::Captures<'_>| {
        found[0].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect::<String>()
    });
    let text = text.as_ref();
    let literal = |found: &regex::Captures<'_>, first: usize| {
        found.get(first).or_else(|| found.get(first + 1)).map_or("", |name| name.as_str()).to_owned()
    };
    let keys = KEYS.captures_iter(text).map(|found| {
        let line = line_of(text, found.get(0).map_or(0, |all| all.start()));
        let listing = found[1].starts_with("ls") || &found[1] == "backends";
        TemplateRef::Key { line, asked: literal(&found, 2), listing }
    });
    let templates = TEMPLATES.captures_iter(text).map(|found| TemplateRef::Template(literal(&found, 1)));
    keys.chain(templates)
        .filter(|found| !matches!(found, TemplateRef::Template(name) if name.is_empty()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_names_are_found_with_their_lines() {
        let text = "{{ getv(\"/a\") }}\n{# getv('/no') #}\n{% for x in ls('/b') %}{% include 'p.j2' %}\n{{ getv('/c', 'd') }}";
        let key = |line, asked: &str, listing| TemplateRef::Key { line, asked: asked.into(), listing };
        assert_eq!(
            scan(text),
            [
                key(1, "/a", false),
                key(3, "/b", true),
                key(4, "/c", false),
                TemplateRef::Template("p.j2".into())
            ]
        );
    }

    #[test]
    fn computed_names_are_skipped() {
        assert!(scan("{{ getv('/a' ~ x) }}{{ getv(name) }}").is_empty());
    }
}
