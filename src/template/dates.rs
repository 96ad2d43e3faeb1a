//! Dates: the clock, and formatting stored dates.

use std::fmt;
use std::sync::Arc;

use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned, civil};
use minijinja::value::{Object, ObjectRepr, from_args};
use minijinja::{Error, ErrorKind, State, Value};

use super::current;
use super::error::{fail, hidden};
use super::number::{self, Date};
use super::registry::{Registry, Text};

pub(super) fn register(all: &mut Registry) {
    all.function("datetime", now);
    all.function("now", now);
    all.both("toDate", |text: Value, layout: Option<Text>| {
        Ok::<_, Error>(Value::from_object(Date(date(&text, layout.as_deref())?)))
    });
    all.both("dateFormat", |value: Value, layout: Text| formatted(&date(&value, None)?, &layout));
    all.both("unixTime", |value: Option<Value>| match value {
        Some(value) => Ok::<_, Error>(date(&value, None)?.timestamp().as_second()),
        None => {
            current::volatile()?;
            Ok(Timestamp::now().as_second())
        }
    });
}

impl Object for Date {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "format" | "Format" => {
                let (layout,): (Text,) = from_args(args)?;
                formatted(&self.0, &layout).map(Value::from)
            }
            "unix" | "Unix" => {
                let () = from_args(args)?;
                Ok(Value::from(self.0.timestamp().as_second()))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = strtime::format("%Y-%m-%dT%H:%M:%S%:z", &self.0).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

fn now() -> Result<Value, Error> {
    current::volatile()?;
    Ok(Value::from_object(Date(Zoned::now())))
}

fn formatted(date: &Zoned, layout: &str) -> Result<String, Error> {
    // Padding widths of a layout multiply; no date needs a long one.
    if layout.len() > 1_000 || layout.as_bytes().windows(4).any(|four| four.iter().all(u8::is_ascii_digit)) {
        return Err(fail(format!(
            "the date layout \"{}\" is not a strftime layout such as %Y-%m-%d",
            clip(layout)
        )));
    }
    strtime::format(layout, date)
        .map_err(|error| fail(format!("the date layout \"{}\": {error}", clip(layout))))
}

fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Parses a date, seconds since 1970, or text; without an offset of its own it is UTC.
fn date(value: &Value, layout: Option<&str>) -> Result<Zoned, Error> {
    if let Some(date) = value.downcast_object_ref::<Date>() {
        return Ok(date.0.clone());
    }
    let text = number::text(value)?;
    let text = text.trim();
    let read = match layout {
        Some(layout) => with_layout(layout, text),
        None => guess(text),
    };
    read.ok_or_else(|| fail(format!("{} is not a date in a known format", hidden(text))))
}

fn with_layout(layout: &str, text: &str) -> Option<Zoned> {
    let parts = strtime::parse(layout, text).ok()?;
    if let Ok(zoned) = parts.to_zoned() {
        return Some(zoned);
    }
    if let Ok(moment) = parts.to_timestamp() {
        return Some(moment.to_zoned(TimeZone::UTC));
    }
    let day = parts.to_date().ok()?;
    let time = parts.to_time().unwrap_or(civil::Time::midnight());
    day.to_datetime(time).to_zoned(TimeZone::UTC).ok()
}

fn guess(text: &str) -> Option<Zoned> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(Timestamp::from_second(seconds).ok()?.to_zoned(TimeZone::UTC));
    }
    if let Ok(zoned) = text.parse::<Zoned>() {
        return Some(zoned);
    }
    // A parsed timestamp loses the offset of its text, so parse that too.
    if let Ok(zoned) = strtime::parse("%Y-%m-%dT%H:%M:%S%.f%:z", text).and_then(|parts| parts.to_zoned()) {
        return Some(zoned);
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment.to_zoned(TimeZone::UTC));
    }
    if let Ok(zoned) = jiff::fmt::rfc2822::parse(text) {
        return Some(zoned);
    }
    text.parse::<civil::DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()
}
