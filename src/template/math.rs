//! Integer arithmetic as in Go, with errors for overflow and division by zero, and numbers from text.

#![expect(clippy::needless_pass_by_value, reason = "the engine hands a function its arguments by value")]

use minijinja::{Error, Value};

use super::current;
use super::error::{fail, hidden};
use super::number;
use super::registry::{Int, Registry, Text};

pub(super) fn register(all: &mut Registry) {
    all.both("add", |a: Int, b: Int| checked("add", a.0.checked_add(b.0)));
    all.both("sub", |a: Int, b: Int| checked("sub", a.0.checked_sub(b.0)));
    all.both("mul", |a: Int, b: Int| checked("mul", a.0.checked_mul(b.0)));
    all.both("div", |a: Int, b: Int| match b.0 {
        0 => Err(fail("div: division by zero")),
        b => checked("div", a.0.checked_div(b)),
    });
    all.both("mod", |a: Int, b: Int| match b.0 {
        0 => Err(fail("mod: modulo by zero")),
        b => checked("mod", a.0.checked_rem(b)),
    });
    all.function("seq", seq);
    all.both("atoi", |s: Text| parse_int(&s, "atoi"));
    all.both("parseInt", |s: Text| parse_int(&s, "parseInt"));
    all.both("parseFloat", |s: Text| parse_float(&s));
    all.both("toInt", |value: Value| {
        number::to_i64(&value)
            .ok_or_else(|| fail(format!("toInt: {} is not an integer", number::show(&value))))
    });
}

fn checked(name: &str, result: Option<i64>) -> Result<i64, Error> {
    result.ok_or_else(|| fail(format!("{name}: the result does not fit 64 bits")))
}

/// Returns the numbers from first to last, both included, up or down.
fn seq(first: Int, last: Int) -> Result<Value, Error> {
    let (first, last) = (first.0, last.0);
    let count = usize::try_from(first.abs_diff(last)).unwrap_or(usize::MAX);
    current::check_item_count(count, "seq")?;
    let numbers: Vec<i64> =
        if first <= last { (first..=last).collect() } else { (last..=first).rev().collect() };
    Ok(Value::from(numbers))
}

fn parse_int(text: &str, name: &str) -> Result<i64, Error> {
    text.parse().map_err(|error| fail(format!("{name}: {}: {error}", hidden(text))))
}

fn parse_float(text: &str) -> Result<f64, Error> {
    text.parse().map_err(|error| fail(format!("parseFloat: {}: {error}", hidden(text))))
}
