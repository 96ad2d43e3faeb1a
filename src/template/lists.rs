//! Functions on lists, maps and values of any type.

#![expect(clippy::needless_pass_by_value, reason = "the engine hands a function its arguments by value")]

use std::collections::HashSet;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, Value};

use super::current;
use super::error::fail;
use super::number::{self, defined};
use super::registry::{List, Registry, Text};

pub(super) fn register(all: &mut Registry) {
    all.function("map", map);
    all.function("dict", map);
    all.function("list", |items: Rest<Value>| Value::from(items.0));
    all.both("contains", contains);
    all.function("reverse", |value: Value| match number::items(&value) {
        Ok(mut items) => {
            items.reverse();
            Value::from(items)
        }
        Err(_) => value,
    });
    all.both("sortByLength", |list: List| sorted_by_length(list.0, number::text));
    all.both("sortKVByLength", |list: List| {
        sorted_by_length(list.0, |pair| number::text(&pair.get_attr("key")?))
    });
    all.both("sortAlpha", |list: List| {
        let mut texts = list.0.iter().map(number::text).collect::<Result<Vec<_>, _>>()?;
        texts.sort();
        Ok::<_, Error>(Value::from(texts))
    });
    all.both("uniq", uniq);
    all.both("append", |list: List, item: Value| {
        let mut items = list.0;
        items.push(item);
        Value::from(items)
    });
    all.both("hasKey", |map: Value, key: Text| Ok::<_, Error>(map_get(&map, &key)?.is_some()));
    all.both("keys", |map: Value| Ok::<_, Error>(Value::from(keys(&map)?)));
    all.both("values", |map: Value| {
        let found = keys(&map)?.into_iter().map(|key| Ok(map_get(&map, &key)?.unwrap_or_default()));
        Ok::<_, Error>(Value::from(found.collect::<Result<Vec<_>, Error>>()?))
    });
    all.function("pluck", pluck);
    all.function("join", join);
    all.filter("join", join);
    all.function("default", |default: Value, value: Value| if empty(&value) { default } else { value });
    all.function("ternary", |yes: Value, no: Value, when: Value| ternary(when, yes, no));
    all.filter("ternary", |when: Value, yes: Value, no: Value| ternary(when, yes, no));
    all.function("coalesce", |values: Rest<Value>| {
        values.0.into_iter().find(|value| !empty(value)).unwrap_or(Value::UNDEFINED)
    });
    all.both("empty", |value: Value| empty(&value));
    all.function("required", |what: Text, value: Value| required(value, &what));
    all.filter("required", |value: Value, what: Text| required(value, &what));
    all.function("fail", |what: Text| -> Result<Value, Error> { Err(fail(what.0)) });
}

/// Returns whether a value is empty for Go's templates: none, false, zero, or without content.
fn empty(value: &Value) -> bool {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => true,
        ValueKind::Bool | ValueKind::Number => !value.is_true(),
        ValueKind::Plain => number::text(value).is_ok_and(|text| text.parse::<f64>() == Ok(0.0)),
        _ => value.len() == Some(0),
    }
}

fn required(value: Value, what: &str) -> Result<Value, Error> {
    let none = matches!(value.kind(), ValueKind::Undefined | ValueKind::None) || value.as_str() == Some("");
    if none { Err(fail(what.to_owned())) } else { Ok(value) }
}

fn ternary(when: Value, yes: Value, no: Value) -> Result<Value, Error> {
    match when.kind() {
        ValueKind::Bool => Ok(if when.is_true() { yes } else { no }),
        _ => Err(fail(format!("ternary: the condition is {}, not true or false", number::show(&when)))),
    }
}

/// Builds a map from alternating keys and values, or from named arguments.
fn map(items: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    if !items.0.len().is_multiple_of(2) {
        return Err(fail("invalid map call: it takes alternating keys and values"));
    }
    let mut pairs: Vec<(Value, Value)> = Vec::new();
    for pair in items.0.chunks_exact(2) {
        if pair[0].kind() != ValueKind::String {
            return Err(fail(format!("map keys must be strings, not {}", number::show(&pair[0]))));
        }
        pairs.push((pair[0].clone(), pair[1].clone()));
    }
    for name in named.args() {
        pairs.push((Value::from(name), named.get(name)?));
    }
    Ok(Value::from_pairs(pairs))
}

/// Returns whether a text contains another, or a list an item.
fn contains(whole: Value, part: Value) -> Result<bool, Error> {
    defined(&whole)?;
    defined(&part)?;
    if let Some(text) = whole.as_str() {
        return Ok(text.contains(&number::text(&part)?));
    }
    Ok(number::items(&whole)?.contains(&part))
}

fn sorted_by_length(
    items: Vec<Value>,
    text: impl Fn(&Value) -> Result<String, Error>,
) -> Result<Value, Error> {
    let lengths = items.into_iter().map(|item| Ok((text(&item)?.len(), item)));
    let mut lengths = lengths.collect::<Result<Vec<_>, Error>>()?;
    lengths.sort_by_key(|(length, _)| *length);
    Ok(Value::from(lengths.into_iter().map(|(_, item)| item).collect::<Vec<_>>()))
}

fn uniq(list: List) -> Result<Value, Error> {
    let mut seen = HashSet::new();
    let mut out = Vec::new();
    for item in list.0 {
        if seen.insert((item.kind() as u8, number::text(&item)?)) {
            out.push(item);
        }
    }
    Ok(Value::from(out))
}

fn a_map(value: &Value) -> Result<(), Error> {
    defined(value)?;
    if value.kind() == ValueKind::Map {
        Ok(())
    } else {
        Err(fail(format!("{} is not a map", number::show(value))))
    }
}

fn map_get(map: &Value, key: &str) -> Result<Option<Value>, Error> {
    a_map(map)?;
    let found = map.get_item(&Value::from(key))?;
    Ok(Some(found).filter(|found| !found.is_undefined()))
}

fn keys(map: &Value) -> Result<Vec<String>, Error> {
    a_map(map)?;
    let keys = map.try_iter()?.checked().map(|key| number::text(&key?));
    let mut keys = keys.collect::<Result<Vec<_>, Error>>()?;
    keys.sort();
    Ok(keys)
}

fn pluck(key: Text, maps: Rest<Value>) -> Result<Value, Error> {
    let mut out = Vec::new();
    for map in maps.0 {
        // A list of maps means the same as its maps as single arguments.
        let maps = if map.kind() == ValueKind::Seq { number::items(&map)? } else { vec![map] };
        for map in maps {
            out.extend(map_get(&map, &key)?);
        }
    }
    Ok(Value::from(out))
}

/// Joins the items into one text; `attribute` takes a field of each first, as in Jinja.
fn join(list: List, options: Rest<Value>, named: Kwargs) -> Result<String, Error> {
    let separator = match options.0.first() {
        Some(separator) => Some(separator.clone()),
        None => named.get::<Option<Value>>("d")?,
    };
    // Otherwise an undefined separator would silently count as an empty one.
    let separator = match separator {
        Some(separator) => {
            defined(&separator)?;
            number::text(&separator)?
        }
        None => String::new(),
    };
    let attribute = match options.0.get(1) {
        Some(attribute) => Some(number::text(attribute)?),
        None => named.get::<Option<String>>("attribute")?,
    };
    named.assert_all_used()?;
    let mut out = String::new();
    for (position, mut item) in list.0.into_iter().enumerate() {
        for name in attribute.iter().flat_map(|path| path.split('.')) {
            item = item.get_attr(name)?;
        }
        defined(&item)?;
        if position > 0 {
            out.push_str(&separator);
        }
        out.push_str(&number::text(&item)?);
        current::check_size(Some(out.len()), "join")?;
    }
    Ok(out)
}
