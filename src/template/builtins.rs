//! Replaces Jinja filters that could grow without bound, hide a mistake or print a value wrongly.

#![expect(clippy::needless_pass_by_value, reason = "the engine hands a function its arguments by value")]

use minijinja::value::{Kwargs, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Error, State, Value, filters};

use super::bounded;
use super::current;
use super::error::{fail, over_limit};
use super::number::{self, NumberLiteral, defined};
use super::registry::{Int, Registry, Text};

pub(super) fn register(all: &mut Registry) {
    all.filter("indent", indent);
    all.filter("format", format);
    all.filter("batch", batch);
    all.filter("slice", slice);
    all.filter("tojson", to_json);
    all.filter("string", |value: Value| {
        defined(&value)?;
        number::text(&value)
    });
    all.filter("int", int);
    all.filter("float", float);
    all.function("range", range);
    // No part of the language: the engine's operators are wrapped in it.
    all.env.add_function(bounded::FUNCTION, |value: Value| current::made(value));
    register_sized(all);
    register_growing(all);
}

/// Registers filters of the engine whose result may be several times as large as their input.
fn register_growing(all: &mut Registry) {
    all.engine_filter("escape", filters::escape);
    all.engine_filter("e", filters::escape);
    all.engine_filter("upper", filters::upper);
    all.engine_filter("lower", filters::lower);
    all.engine_filter("title", filters::title);
    all.engine_filter("capitalize", filters::capitalize);
    all.engine_filter("urlencode", filters::urlencode);
    all.engine_filter("pprint", filters::pprint);
    all.engine_filter("lines", filters::lines);
    all.engine_filter("items", filters::items);
    all.engine_filter("dictsort", filters::dictsort);
}

/// Registers filters that copy their input into memory: the engine repeats lists lazily, up to a hundred million
/// items.
fn register_sized(all: &mut Registry) {
    all.filter("list", |state: &State<'_, '_>, value: Value| filters::list(state, sized(value)?));
    all.filter("sort", |state: &State<'_, '_>, value: Value, named: Kwargs| {
        filters::sort(state, sized(value)?, named)
    });
    all.filter("unique", |state: &State<'_, '_>, value: Value, named: Kwargs| {
        filters::unique(state, sized(value)?, named)
    });
    all.filter("reverse", |value: Value| filters::reverse(&sized(value)?));
    all.filter("map", |state: &mut State<'_, '_>, value: Value, rest: Rest<ValueOrKwargs>| {
        filters::map(state, sized(value)?, rest)
    });
    all.filter(
        "select",
        |state: &mut State<'_, '_>, value: Value, test: Name<'_>, rest: Rest<ValueOrKwargs>| {
            filters::select(state, sized(value)?, test, rest)
        },
    );
    all.filter(
        "reject",
        |state: &mut State<'_, '_>, value: Value, test: Name<'_>, rest: Rest<ValueOrKwargs>| {
            filters::reject(state, sized(value)?, test, rest)
        },
    );
}

type Name<'n> = Option<std::borrow::Cow<'n, str>>;

fn sized(value: Value) -> Result<Value, Error> {
    defined(&value)?;
    current::check_item_count(value.len().unwrap_or(0), "this filter")?;
    Ok(value)
}

fn indent(
    value: Text,
    width: Option<Int>,
    first: Option<bool>,
    blank: Option<bool>,
    named: Kwargs,
) -> Result<String, Error> {
    let width = match width {
        Some(width) => width.0,
        None => named.get::<Option<i64>>("width")?.unwrap_or(4),
    };
    let first = first.or(named.get("first")?).unwrap_or(false);
    let blank = blank.or(named.get("blank")?).unwrap_or(false);
    named.assert_all_used()?;
    let width = usize::try_from(width).map_err(|_| fail("indent: a negative width"))?;
    let lines = value.matches('\n').count() + 1;
    current::check_size(width.checked_mul(lines).and_then(|more| more.checked_add(value.len())), "indent")?;
    let pad = " ".repeat(width);
    let body = value.strip_suffix('\n').unwrap_or(&value);
    let body = body.strip_suffix('\r').unwrap_or(body);
    let mut out = String::with_capacity(body.len() + lines * width);
    for (position, line) in body.split('\n').enumerate() {
        if position > 0 {
            out.push('\n');
        }
        let empty = line.is_empty() || line == "\r";
        if if position == 0 { first } else { blank || !empty } {
            out.push_str(&pad);
        }
        out.push_str(line);
    }
    Ok(out)
}

/// Formats with bounded widths: the engine pads to any width; one of seven digits is a mistake or an attack.
fn format(state: &mut State<'_, '_>, text: &Value, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let spec = text.as_str().unwrap_or_default();
    let mut digits = 0;
    for byte in spec.bytes() {
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        if digits > 6 {
            return Err(over_limit("format: the width is too large"));
        }
    }
    current::check_size(spec.matches('%').count().checked_mul(1_000), "format")?;
    filters::format(state, text, arguments)
}

fn batch(value: Value, count: Int, fill: Option<Value>) -> Result<Value, Error> {
    let items = number::items(&value)?;
    let count =
        usize::try_from(count.0).ok().filter(|count| *count > 0).ok_or_else(|| fail("batch: no count"))?;
    current::check_item_count(count, "batch")?;
    let mut rows: Vec<Vec<Value>> = items.chunks(count).map(<[Value]>::to_vec).collect();
    if let (Some(fill), Some(last)) = (fill, rows.last_mut()) {
        last.resize(count, fill);
    }
    Ok(Value::from(rows.into_iter().map(Value::from).collect::<Vec<_>>()))
}

fn slice(value: Value, count: Int, fill: Option<Value>) -> Result<Value, Error> {
    let items = number::items(&value)?;
    let count =
        usize::try_from(count.0).ok().filter(|count| *count > 0).ok_or_else(|| fail("slice: no count"))?;
    current::check_item_count(count, "slice")?;
    let (each, longer) = (items.len() / count, items.len() % count);
    let mut rest = items.into_iter();
    let mut columns = Vec::with_capacity(count);
    for column in 0..count {
        let mut part: Vec<Value> = rest.by_ref().take(each + usize::from(column < longer)).collect();
        if let Some(fill) = fill.as_ref().filter(|_| column >= longer && longer > 0) {
            part.push(fill.clone());
        }
        columns.push(Value::from(part));
    }
    Ok(Value::from(columns))
}

fn to_json(value: Value, indent: Option<Value>, named: Kwargs) -> Result<Value, Error> {
    let indent = indent.or(named.get("indent")?);
    named.assert_all_used()?;
    let indent = match indent {
        Some(width) if width.kind() == ValueKind::Bool => width.is_true().then_some(2),
        Some(width) => {
            Some(number::to_i64(&width).and_then(|width| usize::try_from(width).ok()).unwrap_or(2))
        }
        None => None,
    };
    if indent.is_some_and(|indent| indent > 16) {
        return Err(over_limit("tojson: the indentation is too large"));
    }
    let text = number::json(&number::to_node(&value)?, indent);
    // Jinja escapes it for a script inside HTML.
    let text = super::convert::escape_html(&text).replace('\'', "\\u0027");
    Ok(Value::from_safe_string(text))
}

fn plain(value: &Value) -> Value {
    match value.downcast_object_ref::<NumberLiteral>() {
        Some(number) => Value::from(&*number.0),
        None => value.clone(),
    }
}

fn int(
    state: &State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    named: Kwargs,
) -> Result<Value, Error> {
    filters::int(state, &plain(value), default, base, named)
}

fn float(
    state: &State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    named: Kwargs,
) -> Result<Value, Error> {
    filters::float(state, &plain(value), default, named)
}

/// Jinja's range, with a check of the time limit at each item: nested loops could run for ever.
fn range(lower: isize, upper: Option<isize>, step: Option<isize>) -> Result<Value, Error> {
    let (from, to) = upper.map_or((0, lower), |upper| (lower, upper));
    let step = step.unwrap_or(1);
    let count = match step {
        0 => return Err(fail("range: the step must not be 0")),
        1.. if from < to => from.abs_diff(to).div_ceil(step.unsigned_abs()),
        ..=-1 if from > to => from.abs_diff(to).div_ceil(step.unsigned_abs()),
        _ => 0,
    };
    current::check_item_count(count, "range")?;
    current::check_deadline()?;
    Ok(Value::make_iterable(move || Steps { next: from, step, left: count }))
}

struct Steps {
    next: isize,
    step: isize,
    left: usize,
}

impl Iterator for Steps {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        self.left = self.left.checked_sub(1)?;
        let now = self.next;
        self.next = now.wrapping_add(self.step);
        match current::tick() {
            Ok(()) => Some(Value::from(now)),
            Err(error) => Some(Value::from(error)),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Steps {}
