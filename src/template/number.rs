//! How values print, and numbers that print as they were written.

use std::fmt;
use std::sync::Arc;

use jiff::Zoned;
use minijinja::value::{DynObject, Object, ObjectRepr, ValueKind};
use minijinja::{Error, ErrorKind, Output, Value};

use super::current;
use super::error::{fail, hidden, over_limit};
use super::item::ForEachItem;
use crate::document::{MAX_DEPTH, Node, json_number, json_string};

/// A number whose spelling no native number reproduces: `1.50`, `1e400`.
#[derive(Debug)]
pub(super) struct NumberLiteral(pub(super) Arc<str>);

impl Object for NumberLiteral {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        let other = other.downcast_ref::<Self>()?;
        let (left, right) = (self.0.parse::<f64>().ok()?, other.0.parse::<f64>().ok()?);
        Some(left.total_cmp(&right).then_with(|| self.0.cmp(&other.0)))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A moment; prints as RFC 3339, and can be formatted otherwise.
#[derive(Debug)]
pub(super) struct Date(pub(super) Zoned);

/// Converts a document's number to a value: a native one where that prints the same.
pub(super) fn from_spelling(text: &str) -> Value {
    if let Ok(number) = text.parse::<i128>()
        && number.to_string() == text
    {
        return match i64::try_from(number) {
            Ok(small) => Value::from(small),
            Err(_) => Value::from(number),
        };
    }
    if let Ok(number) = text.parse::<f64>() {
        let native = Value::from(number);
        if number.is_finite() && native.to_string() == text {
            return native;
        }
    }
    Value::from_object(NumberLiteral(text.into()))
}

/// Converts a document to a value.
pub(super) fn from_node(node: &Node) -> Value {
    match node {
        Node::Null => Value::from(()),
        Node::Bool(flag) => Value::from(*flag),
        Node::Number(text) => from_spelling(text),
        Node::Text(text) => Value::from(text.as_str()),
        Node::List(items) => Value::from(items.iter().map(from_node).collect::<Vec<_>>()),
        Node::Map(entries) => Value::from_pairs(
            entries.iter().map(|(name, node)| (Value::from(name.as_str()), from_node(node))),
        ),
    }
}

/// Converts a value to a document, so that it can be written as JSON, YAML or TOML.
pub(super) fn to_node(value: &Value) -> Result<Node, Error> {
    let mut budget = current::MAX_ITEMS;
    node(value, 0, &mut budget)
}

fn node(value: &Value, depth: usize, budget: &mut usize) -> Result<Node, Error> {
    if depth > MAX_DEPTH {
        return Err(over_limit(&format!("the value nests deeper than {MAX_DEPTH} levels")));
    }
    *budget = budget.checked_sub(1).ok_or_else(|| over_limit("the value has too many elements"))?;
    defined(value)?;
    Ok(match value.kind() {
        ValueKind::None => Node::Null,
        ValueKind::Bool => Node::Bool(value.is_true()),
        ValueKind::Number => Node::Number(value.to_string()),
        ValueKind::String => Node::Text(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Seq | ValueKind::Iterable => {
            let mut items = Vec::new();
            for item in value.try_iter()?.checked() {
                items.push(node(&item?, depth + 1, budget)?);
            }
            Node::List(items)
        }
        ValueKind::Map => {
            let mut entries = Vec::new();
            for key in value.try_iter()?.checked() {
                let key = key?;
                let item = value.get_item(&key)?;
                entries.push((text(&key)?, node(&item, depth + 1, budget)?));
            }
            Node::Map(entries)
        }
        _ => match value.downcast_object_ref::<NumberLiteral>() {
            Some(number) => Node::Number(number.0.to_string()),
            None => Node::Text(value.to_string()),
        },
    })
}

/// Returns the text that a value prints as.
pub(super) fn text(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Bool => Ok(if value.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::None => Ok("null".to_owned()),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => Ok(json(&to_node(value)?, None)),
        ValueKind::Invalid => Err(invalid(value)),
        _ => Ok(value.to_string()),
    }
}

/// Returns the error that a value carries, such as that of a binary datum.
fn invalid(value: &Value) -> Error {
    match value.try_iter() {
        Err(error) => error,
        Ok(_) => fail(value.to_string()),
    }
}

/// Prints a value into the output and counts its bytes.
pub(super) fn print(out: &mut Output<'_>, value: &Value) -> Result<(), Error> {
    // The usual case: values from the store are text.
    if let Some(plain) = value.as_str() {
        current::count(plain.len())?;
        return out.write_str(plain).map_err(Error::from);
    }
    if value.kind() == ValueKind::Plain && !is_printable(value) {
        return Err(fail(format!("{} cannot be printed; is it called without `()`?", show(value))));
    }
    let plain = text(value)?;
    current::count(plain.len())?;
    out.write_str(&plain).map_err(Error::from)
}

fn is_printable(value: &Value) -> bool {
    value.downcast_object_ref::<NumberLiteral>().is_some()
        || value.downcast_object_ref::<Date>().is_some()
        || value.downcast_object_ref::<ForEachItem>().is_some()
        || value.is_number()
}

/// Describes a value in a message: its kind, or a number itself.
pub(super) fn show(value: &Value) -> String {
    match value.kind() {
        ValueKind::String => hidden(value.as_str().unwrap_or_default()),
        ValueKind::Number => value.to_string(),
        ValueKind::Plain => match value.downcast_object_ref::<NumberLiteral>() {
            Some(number) => number.0.to_string(),
            None => "a function or an object".to_owned(),
        },
        kind => format!("a value of kind {kind}"),
    }
}

/// Returns the integer that a value is or spells.
pub(super) fn to_i64(value: &Value) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    if value.is_number() {
        let number = f64::try_from(value.clone()).ok()?;
        return (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
    }
    match value.downcast_object_ref::<NumberLiteral>() {
        Some(spelled) => spelled.0.parse().ok(),
        None => value.as_str()?.trim().parse().ok(),
    }
}

/// Rejects an undefined value.
pub(super) fn defined(value: &Value) -> Result<(), Error> {
    if value.is_undefined() { Err(Error::from(ErrorKind::UndefinedError)) } else { Ok(()) }
}

/// Returns the items of a list.
pub(super) fn items(value: &Value) -> Result<Vec<Value>, Error> {
    defined(value)?;
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Err(fail(format!("{} is not a list", show(value))));
    }
    current::check_item_count(value.len().unwrap_or(0), "this")?;
    let mut out = Vec::with_capacity(value.len().unwrap_or(0));
    for item in value.try_iter()?.checked() {
        current::check_item_count(out.len(), "this")?;
        out.push(item?);
    }
    Ok(out)
}

/// Returns a document as JSON, on one line or indented.
pub(super) fn json(node: &Node, indent: Option<usize>) -> String {
    let mut out = String::new();
    write_json(&mut out, node, indent, 0);
    out
}

fn write_json(out: &mut String, node: &Node, indent: Option<usize>, depth: usize) {
    let fresh_line = |out: &mut String, depth: usize| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    };
    match node {
        Node::Null => out.push_str("null"),
        Node::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Node::Number(text) => match json_number(text) {
            Some(number) => out.push_str(&number),
            None => out.push_str(&json_string(text)),
        },
        Node::Text(text) => out.push_str(&json_string(text)),
        Node::List(items) if items.is_empty() => out.push_str("[]"),
        Node::Map(entries) if entries.is_empty() => out.push_str("{}"),
        Node::List(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                fresh_line(out, depth + 1);
                write_json(out, item, indent, depth + 1);
            }
            fresh_line(out, depth);
            out.push(']');
        }
        Node::Map(entries) => {
            out.push('{');
            // Sorted, so that the same data always prints the same.
            let mut sorted: Vec<&(String, Node)> = entries.iter().collect();
            sorted.sort_by(|left, right| left.0.cmp(&right.0));
            for (position, (name, item)) in sorted.into_iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                fresh_line(out, depth + 1);
                out.push_str(&json_string(name));
                out.push_str(if indent.is_some() { ": " } else { ":" });
                write_json(out, item, indent, depth + 1);
            }
            fresh_line(out, depth);
            out.push('}');
        }
    }
}
