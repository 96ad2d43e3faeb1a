//! Finds names in a template that no function, filter or test has. The engine finds them only when it runs them, which
//! never happens without data.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use minijinja::{Environment, Template, context};
use regex::Regex;

use super::functions;

/// How a name was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Callable {
    /// `name(…)`.
    Function,
    /// `… | name`.
    Filter,
    /// `… is name`.
    Test,
}

impl std::fmt::Display for Callable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Function => "function",
            Self::Filter => "filter",
            Self::Test => "test",
        })
    }
}

/// A name that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// How it was used.
    pub used_as: Callable,
    /// The name.
    pub name: String,
    /// Its line, counted from one.
    pub line: usize,
}

/// The engine's own filters.
const BUILTIN_FILTERS: &str = "\
    abs attr batch bool capitalize chain count d default dictsort e escape first float format groupby \
    indent int items join last length lines list lower map max min pprint reject rejectattr replace \
    reverse round safe select selectattr slice sort split string sum title tojson trim unique upper \
    urlencode zip";

/// The engine's own tests.
const BUILTIN_TESTS: &str = "\
    boolean defined divisibleby endingwith eq equalto escaped even false filter float ge greaterthan gt \
    in int integer iterable le lessthan lower lt mapping ne none number odd safe sameas sequence \
    startingwith string test true undefined upper";

/// Names that a template may call and that no list contains.
const SPECIAL: [&str; 4] = ["caller", "loop", "self", "super"];

static CALLS: LazyLock<Regex> = LazyLock::new(|| pattern(r"([A-Za-z_][A-Za-z0-9_]*)\s*\("));
static FILTERS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:\||\{%[-+]?\s*filter\s)\s*([A-Za-z_][A-Za-z0-9_]*)"));
static TESTS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bis\s+(?:not\s+)?([A-Za-z_][A-Za-z0-9_]*)"));
static DEFINITIONS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(?:macro|set|as|import|for|with)\s+([A-Za-z_][A-Za-z0-9_]*(?:\s*,\s*[A-Za-z_][A-Za-z0-9_]*)*)",
    )
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant that a test compiles")
}

/// Returns the names to search for a similar one.
pub fn known_names(used_as: Callable) -> Vec<&'static str> {
    let registry = functions::filled();
    let (own, builtin) = match used_as {
        Callable::Function => (&registry.functions, "debug dict namespace range"),
        Callable::Filter => (&registry.filters, BUILTIN_FILTERS),
        Callable::Test => return BUILTIN_TESTS.split(' ').collect(),
    };
    own.iter().copied().chain(builtin.split(' ')).collect()
}

/// Returns the names that a template defines itself (macros, variables, imports): templates it includes may call them
/// too.
#[must_use]
pub fn defined_names(source: &str) -> BTreeSet<String> {
    let tags = tags_only(source);
    let lists = DEFINITIONS.captures_iter(&tags).map(|found| found[1].to_owned()).collect::<Vec<_>>();
    lists.iter().flat_map(|list| list.split(',')).map(|name| name.trim().to_owned()).collect()
}

/// Returns the names in a template that do not exist.
pub(super) fn unknown(env: &Environment<'_>, template: &Template<'_, '_>) -> Vec<UnknownName> {
    let tags = tags_only(template.source());
    let free = template.undeclared_variables(false);
    let globals: BTreeSet<&str> = env.globals().map(|(name, _)| name).collect();
    let is_method = |at: usize| tags[..at].trim_end().ends_with(['.', '|']);
    let calls = CALLS.captures_iter(&tags).filter_map(|found| found.get(1));
    let calls = calls
        .filter(|name| free.contains(name.as_str()) && !is_method(name.start()))
        .filter(|name| !globals.contains(name.as_str()) && !SPECIAL.contains(&name.as_str()))
        .map(|name| (Callable::Function, name));
    let named = |used_as, pattern: &'static Regex, known: &'static str| {
        let names = pattern.captures_iter(&tags).filter_map(|found| found.get(1));
        names
            .filter(|name| !is_known(env, known, name.as_str()))
            .map(|name| (used_as, name))
            .collect::<Vec<_>>()
    };
    let filters = named(Callable::Filter, &FILTERS, "name is filter");
    let tests = named(Callable::Test, &TESTS, "name is test");
    let line = |at: usize| 1 + tags.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
    calls
        .chain(filters)
        .chain(tests)
        .map(|(used_as, name)| UnknownName {
            used_as,
            name: name.as_str().to_owned(),
            line: line(name.start()),
        })
        .collect()
}

/// Checks a name with the engine's own test. A name that cannot be checked counts as known.
fn is_known(env: &Environment<'_>, question: &str, name: &str) -> bool {
    let asked = env.compile_expression(question).and_then(|asked| asked.eval(context! { name }));
    asked.map_or(true, |answer| answer.is_true())
}

/// Returns the text with everything outside tags, and every quoted text inside them, replaced by blanks. Lines stay
/// where they are.
fn tags_only(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{{").into_iter().chain(rest.find("{%")).chain(rest.find("{#")).min() {
        blank(&mut out, &rest[..at]);
        rest = &rest[at..];
        if rest.starts_with("{#") {
            let end = rest.find("#}").map_or(rest.len(), |end| end + 2);
            blank(&mut out, &rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let end = end_of_tag(rest);
        let tag = &rest[..end];
        blank_quotes(&mut out, tag);
        rest = &rest[end..];
        if tag.trim_start_matches(['{', '%', '-', '+']).trim_start().starts_with("raw") {
            let end = rest.find("endraw").map_or(rest.len(), |end| rest[..end].rfind("{%").unwrap_or(end));
            blank(&mut out, &rest[..end]);
            rest = &rest[end..];
        }
    }
    blank(&mut out, rest);
    out
}

fn blank(out: &mut String, text: &str) {
    out.extend(text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
}

/// Returns where a tag ends; brackets in quotes do not end it.
fn end_of_tag(tag: &str) -> usize {
    let close = if tag.starts_with("{{") { "}}" } else { "%}" };
    let mut quote = None;
    let mut characters = tag.char_indices().skip(2);
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (Some(_), '\\') => drop(characters.next()),
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, _) if tag[at..].starts_with(close) => return at + close.len(),
            (None, _) => {}
        }
    }
    tag.len()
}

fn blank_quotes(out: &mut String, tag: &str) {
    let mut quote = None;
    let mut escaped = false;
    for character in tag.chars() {
        let shown = match quote {
            Some(open) => {
                let ends = character == open && !escaped;
                escaped = character == '\\' && !escaped;
                quote = if ends { None } else { quote };
                if ends || character == '\n' { character } else { ' ' }
            }
            None => {
                quote = matches!(character, '"' | '\'').then_some(character);
                character
            }
        };
        out.push(shown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Vec<(Callable, String, usize)> {
        let env = functions::build();
        let template = env.template_from_str(source).unwrap();
        unknown(&env, &template).into_iter().map(|one| (one.used_as, one.name, one.line)).collect()
    }

    #[test]
    fn unknown_names_are_found_with_their_lines() {
        let source = "{{ getvv('/x') }}\n{{ getv('/x') | uper }}\n{% if x is defind %}{% endif %}\n{% filter trimm %}{% endfilter %}";
        let want = [
            (Callable::Function, "getvv", 1),
            (Callable::Filter, "uper", 2),
            (Callable::Filter, "trimm", 4),
            (Callable::Test, "defind", 3),
        ];
        let want: Vec<_> = want.into_iter().map(|(kind, name, line)| (kind, name.to_owned(), line)).collect();
        assert_eq!(found(source), want);
    }

    #[test]
    fn known_names_are_not_reported_as_unknown() {
        for source in [
            "{% macro row(x) %}{{ x | upper }}{% endmacro %}{{ row(1) }}",
            "{% for x in ls('/a') %}{{ loop.cycle('a', 'b') }}{{ x.upper() }}{% endfor %}",
            "{% set f = getv %}{{ f('/x') }}",
            "{% raw %}{{ nothing(1) | nothing is nothing }}{% endraw %}",
            "{# {{ nothing(1) }} #} nothing(1) | nothing is nothing",
            "{{ \"nothing(1) | nothing is nothing }}\" }}{{ 'it\\'s | nothing' }}",
            "{% if (1 == 1) and not (2 is odd) and 3 is not divisibleby(2) and x is undefined %}{% endif %}",
            "{% import 'm' as m %}{{ m.row(1) }}{% from 'm' import row, cell as c %}{{ row(1) }}{{ c(2) }}",
            "{% macro row() %}{{ caller() }}{% endmacro %}{% call(x) row() %}{{ x }}{% endcall %}",
            "{{ namespace(a=1) }}{{ range(3) | list | join(', ') }}{{ dict(a=1) }}",
        ] {
            assert_eq!(found(source), [], "{source}");
        }
    }

    #[test]
    fn the_engine_knows_every_name_of_the_lists() {
        let env = functions::build();
        for (question, names) in [("name is filter", BUILTIN_FILTERS), ("name is test", BUILTIN_TESTS)] {
            for name in names.split(' ') {
                assert!(is_known(&env, question, name), "{name}");
            }
            assert!(!is_known(&env, question, "nothing"));
        }
    }

    #[test]
    fn names_defined_by_an_including_template_are_known() {
        let made = defined_names(
            "{% macro row(x) %}{% endmacro %}{% set a, b = 1, 2 %}{% from 'x' import y as z %}set q",
        );
        for name in ["row", "a", "b", "y", "z"] {
            assert!(made.contains(name), "{name}: {made:?}");
        }
        assert!(!made.contains("q"));
    }
}
