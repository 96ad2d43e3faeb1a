//! Keys and values from the user's own templates.
//!
//! The operator writes the templates; containers supply the values. So each rendering has a limit on steps and on
//! output bytes. The language can also double a text in a loop that keeps state, before it writes any byte: the
//! function that keeps state across loops is removed, and macros have a nesting limit. A single repetition can still
//! use 100 MB for a moment; the template engine offers no limit for that.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;

use minijinja::value::Object;
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value, context};

use super::facts::{MAX_VALUE_BYTES, ServiceFacts};

/// The step limit of one rendering.
const RENDER_FUEL: u64 = 10_000;
const MAX_DEPTH: usize = 12;
/// The longest rendered path in bytes, checked before it is validated as a key.
const MAX_PATH_BYTES: usize = 4 << 10;
const KEY: &str = "the key's template";
const VALUE: &str = "the value's template";
/// The variables that a template may use.
const NAMES: [&str; 14] = [
    "name",
    "id",
    "ip",
    "port",
    "address",
    "private_port",
    "protocol",
    "tags",
    "attrs",
    "node",
    "container",
    "container_name",
    "image",
    "prefix",
];

/// The templates of a layout, parsed.
pub(super) struct Templates<'t> {
    environment: Environment<'t>,
    with_value: bool,
}

impl<'t> Templates<'t> {
    /// Parses them. An error says what is wrong, and where.
    pub(super) fn new(key: &'t str, value: Option<&'t str>) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(RENDER_FUEL));
        environment.set_recursion_limit(MAX_DEPTH);
        environment.remove_global("namespace");
        // Its output shows all variables.
        environment.remove_global("debug");
        environment.set_debug(false);
        environment.add_template(KEY, key).map_err(|error| explain(&error))?;
        if let Some(value) = value {
            environment.add_template(VALUE, value).map_err(|error| explain(&error))?;
        }
        Ok(Self { environment, with_value: value.is_some() })
    }

    /// Returns the path below the prefix, and the value if it has a template.
    pub(super) fn render(
        &self,
        facts: &ServiceFacts<'_>,
        prefix: &str,
    ) -> Result<(String, Option<String>), String> {
        self.render_all(facts, prefix, Value::from_pairs(facts.attributes.clone()))
    }

    /// Renders for a sample service that has every possible attribute.
    pub(super) fn sample(
        &self,
        facts: &ServiceFacts<'_>,
        prefix: &str,
    ) -> Result<(String, Option<String>), String> {
        self.render_all(facts, prefix, Value::from_object(AnyAttribute))
    }

    /// Checks that they use only known variables, also in branches that a sample would not reach.
    pub(super) fn check(&self) -> Result<(), String> {
        let globals = self.environment.globals().map(|(name, _)| name.to_owned());
        let known: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).chain(globals).collect();
        for template in self.names() {
            let parsed = self.environment.get_template(template).map_err(|error| explain(&error))?;
            let asked: BTreeSet<String> = parsed.undeclared_variables(false).into_iter().collect();
            if let Some(unknown) = asked.difference(&known).next() {
                let names = NAMES.join(", ");
                return Err(format!("{template} uses {unknown}, which does not exist; it can use {names}"));
            }
        }
        Ok(())
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        [KEY, VALUE].into_iter().take(1 + usize::from(self.with_value))
    }

    fn render_all(
        &self,
        facts: &ServiceFacts<'_>,
        prefix: &str,
        attrs: Value,
    ) -> Result<(String, Option<String>), String> {
        let given = context! {
            name => facts.name,
            id => facts.id,
            ip => facts.ip,
            port => facts.port,
            address => facts.address.as_str(),
            private_port => facts.private_port,
            protocol => facts.protocol,
            tags => facts.tags.clone(),
            attrs => attrs,
            node => facts.node,
            container => facts.container,
            container_name => facts.container_name,
            image => facts.image,
            prefix => prefix,
        };
        let path = self.render_one(KEY, &given, MAX_PATH_BYTES)?;
        let value =
            if self.with_value { Some(self.render_one(VALUE, &given, MAX_VALUE_BYTES)?) } else { None };
        Ok((path, value))
    }

    fn render_one(&self, template: &str, given: &Value, limit: usize) -> Result<String, String> {
        let mut out = BoundedWriter { bytes: Vec::new(), limit, full: false };
        let parsed = self.environment.get_template(template).map_err(|error| explain(&error))?;
        let rendered = parsed.render_captured_to(given.clone(), &mut out).map(drop);
        match rendered {
            _ if out.full => Err(format!("{template} writes more than {limit} bytes")),
            Err(error) => Err(explain(&error)),
            Ok(()) => String::from_utf8(out.bytes).map_err(|_| format!("{template} does not write text")),
        }
    }
}

/// Formats an engine error in one line, without values that it could reveal.
fn explain(error: &Error) -> String {
    let place = match (error.name(), error.line()) {
        (Some(name), Some(line)) => format!("{name}, line {line}"),
        _ => "a template of the layout".to_owned(),
    };
    match error.detail() {
        Some(detail) => format!("{place}: {}: {detail}", error.kind()),
        None => format!("{place}: {}", error.kind()),
    }
}

/// A map that has every attribute.
#[derive(Debug)]
struct AnyAttribute;

impl Object for AnyAttribute {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from("1"))
    }
}

/// A writer with a size limit.
struct BoundedWriter {
    bytes: Vec<u8>,
    limit: usize,
    full: bool,
}

impl Write for BoundedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.full = true;
            return Err(io::Error::other("full"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
