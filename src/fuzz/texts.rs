//! Targets for texts that users and keys bring: templates, documents, placement expressions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use minijinja::Value;

use crate::document::{Node, parse_json, parse_toml, parse_yaml, to_toml, to_yaml};
use crate::placement::{Dialect, Expression, ExpressionKind};
use crate::template::{Engine, Limits};
use crate::values::{Datum, Scope, Values, View};

/// So low that no input takes longer than a fuzzer waits.
const LIMITS: Limits = Limits { fuel: 20_000, output: 64 << 10, depth: 10, memory: 1 << 20 };

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(Path::new("/nonexistent"), LIMITS));
static VIEW: LazyLock<View> = LazyLock::new(|| {
    let mut values = Values::default();
    let entries = [
        ("/a", "1"),
        ("/b/c", "text"),
        ("/b/d", "{\"x\": [1, 2.50, null]}"),
        ("/b/e/f", "10.0.0.1:80"),
        ("/long", &*"x".repeat(1000)),
    ];
    values.replace(entries.map(|(key, value)| (Arc::from(key), Datum::from_bytes(value.into()))));
    View { values: Arc::new(values), scope: Arc::new(Scope::new("/", &["/".to_owned()])) }
});

/// Renders the text as a template with a few keys.
pub(super) fn template(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else { return };
    if let Ok(rendered) = ENGINE.render_text(("fuzz", source), &VIEW, &BTreeMap::new(), "") {
        assert!(rendered.text.len() <= LIMITS.output, "{} bytes of output", rendered.text.len());
    }
}

/// Reads the text in every format; what was read and can be written is read back as the same.
pub(super) fn document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for parsed in [parse_json(text), parse_yaml(text), parse_toml(text)].into_iter().flatten() {
        let yaml = to_yaml(&parsed);
        let again = parse_yaml(&yaml);
        assert!(again.as_ref().is_ok_and(|again| same(again, &parsed)), "{yaml}: {again:?} for {parsed:?}");
        let vars = BTreeMap::from([("x".to_owned(), Value::from(&*yaml))]);
        if let Ok(json) = ENGINE.render_text(("fuzz", "{{ fromYaml(x) | toJson }}"), &VIEW, &vars, "") {
            assert!(parse_json(&json.text).is_ok(), "{} for {parsed:?}", json.text);
        }
        if let Ok(toml) = to_toml(&parsed) {
            let again = parse_toml(&toml);
            assert!(again.is_ok(), "{toml}: {again:?} for {parsed:?}");
        }
    }
}

/// Returns whether two documents have the same shape and texts; the kind of a scalar may differ (`1979-05-27`).
fn same(one: &Node, other: &Node) -> bool {
    match (one, other) {
        (Node::List(one), Node::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Node::Map(one), Node::Map(other)) => {
            let pairs = one.iter().zip(other);
            one.len() == other.len()
                && pairs.into_iter().all(|(one, other)| one.0 == other.0 && same(&one.1, &other.1))
        }
        _ => one.scalar_text().is_some() && one.scalar_text() == other.scalar_text(),
    }
}

/// Parses the first line as an expression and compares it with the other lines.
pub(super) fn placement(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    for dialect in [Dialect::Plain, Dialect::Swarm] {
        let (kind, expression) = ExpressionKind::of(first).unwrap_or((ExpressionKind::Constraint, first));
        if let Ok(expression) = Expression::parse(kind, expression, 0, dialect) {
            expression.matches(rest.lines());
            assert!(!expression.words().is_empty());
        }
    }
}
