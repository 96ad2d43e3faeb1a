//! JSON with its order and spelling, without the parts that may differ between two servers.

/// A value with its parts in the order and spelling of the text.
enum Json<'t> {
    Object(Vec<(&'t str, Self)>),
    Array(Vec<Self>),
    Scalar(&'t str),
}

/// A body without the parts that may differ, and those parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Normalized {
    pub text: String,
    /// Nanoseconds since 1970, in text order.
    pub expirations: Vec<i128>,
    /// In text order.
    pub ttls: Vec<i64>,
}

/// The compared parts of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Everything, including the order of `nodes`.
    Ordered,
    /// Everything but the order of `nodes`.
    Unordered,
    /// Names, nesting and the types of values.
    Shape,
    /// Nothing.
    Nothing,
}

/// Removes times from every line that is JSON; other lines are unchanged.
pub fn normalize(body: &[u8], comparison: Comparison) -> Normalized {
    let mut normal = Normalized::default();
    if comparison == Comparison::Nothing {
        return normal;
    }
    let text = String::from_utf8_lossy(body);
    for line in text.split_inclusive('\n') {
        let (content, end) = line.strip_suffix('\n').map_or((line, ""), |content| (content, "\n"));
        match parse(content) {
            Some(mut json) => {
                if comparison == Comparison::Unordered {
                    json.sort();
                }
                json.write(&mut normal, comparison == Comparison::Shape);
            }
            None => normal.text.push_str(content),
        }
        normal.text.push_str(end);
    }
    normal
}

impl Json<'_> {
    fn sort(&mut self) {
        match self {
            Self::Object(members) => {
                for (name, value) in members {
                    value.sort();
                    if let ("\"nodes\"", Self::Array(items)) = (*name, value) {
                        items.sort_by_cached_key(Self::text);
                    }
                }
            }
            Self::Array(items) => items.iter_mut().for_each(Self::sort),
            Self::Scalar(_) => {}
        }
    }

    fn text(&self) -> String {
        let mut normal = Normalized::default();
        self.write(&mut normal, false);
        normal.text
    }

    fn write(&self, out: &mut Normalized, shape: bool) {
        match self {
            Self::Object(members) => {
                out.text.push('{');
                for (name, value) in members {
                    out.text.push_str(name);
                    out.text.push(':');
                    value.write_member(name, out, shape);
                    out.text.push(',');
                }
                out.text.push('}');
            }
            Self::Array(items) => {
                out.text.push('[');
                for item in items {
                    item.write(out, shape);
                    out.text.push(',');
                }
                out.text.push(']');
            }
            Self::Scalar(text) if !shape => out.text.push_str(text),
            Self::Scalar(text) => out.text.push_str(match text.as_bytes()[0] {
                b'"' => "TEXT",
                b't' | b'f' => "BOOLEAN",
                _ => "NUMBER",
            }),
        }
    }

    fn write_member(&self, name: &str, out: &mut Normalized, shape: bool) {
        let Self::Scalar(text) = self else { return self.write(out, shape) };
        let time = || text.trim_matches('"').parse::<jiff::Timestamp>().ok();
        match name {
            "\"expiration\"" if time().is_some() => {
                out.expirations.extend(time().map(jiff::Timestamp::as_nanosecond));
                out.text.push_str("TIME");
            }
            "\"ttl\"" if text.parse::<i64>().is_ok() => {
                out.ttls.extend(text.parse::<i64>());
                out.text.push_str("TTL");
            }
            _ => self.write(out, shape),
        }
    }
}

/// Returns `None` unless the whole text is one value. White space is not expected: servers write none.
fn parse(text: &str) -> Option<Json<'_>> {
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let (json, rest) = value(text)?;
    rest.is_empty().then_some(json)
}

fn value(text: &str) -> Option<(Json<'_>, &str)> {
    if let Some(rest) = text.strip_prefix('{') {
        let (members, rest) = list(rest, '}', |text| {
            let (name, rest) = scalar(text)?;
            let (value, rest) = value(rest.strip_prefix(':')?)?;
            Some(((name, value), rest))
        })?;
        return Some((Json::Object(members), rest));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (items, rest) = list(rest, ']', value)?;
        return Some((Json::Array(items), rest));
    }
    scalar(text).map(|(scalar, rest)| (Json::Scalar(scalar), rest))
}

type Item<'t, T> = fn(&'t str) -> Option<(T, &'t str)>;

fn list<'t, T>(mut text: &'t str, close: char, item: Item<'t, T>) -> Option<(Vec<T>, &'t str)> {
    let mut items = Vec::new();
    if let Some(rest) = text.strip_prefix(close) {
        return Some((items, rest));
    }
    loop {
        let (one, rest) = item(text)?;
        items.push(one);
        if let Some(rest) = rest.strip_prefix(close) {
            return Some((items, rest));
        }
        text = rest.strip_prefix(',')?;
    }
}

fn scalar(text: &str) -> Option<(&str, &str)> {
    let end = if text.starts_with('"') {
        let mut escaped = false;
        let quote = text.char_indices().skip(1).find(|(_, letter)| {
            let found = *letter == '"' && !escaped;
            escaped = *letter == '\\' && !escaped;
            found
        });
        quote?.0 + 1
    } else {
        text.find([',', '}', ']']).unwrap_or(text.len())
    };
    (end > 0).then(|| text.split_at(end))
}
