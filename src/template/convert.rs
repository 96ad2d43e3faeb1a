//! Conversions between text and data: JSON, YAML, TOML, base64, booleans.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use minijinja::{Error, Value};

use super::current;
use super::error::{fail, hidden};
use super::number;
use super::registry::{Registry, Text};
use crate::document::{self, Node};
use crate::scalar;

pub(super) fn register(all: &mut Registry) {
    all.both("json", |s: Text| match parsed("json", document::parse_json(&s))? {
        node @ Node::Map(_) => Ok(number::from_node(&node)),
        _ => Err(fail("json: the value is not an object; jsonArray takes lists, fromJson anything")),
    });
    all.both("jsonArray", |s: Text| match parsed("jsonArray", document::parse_json(&s))? {
        node @ Node::List(_) => Ok(number::from_node(&node)),
        _ => Err(fail("jsonArray: the value is not a list; json takes objects, fromJson anything")),
    });
    all.both("fromJson", |s: Text| {
        Ok::<_, Error>(number::from_node(&parsed("fromJson", document::parse_json(&s))?))
    });
    all.both("fromYaml", |s: Text| {
        Ok::<_, Error>(number::from_node(&parsed("fromYaml", document::parse_yaml(&s))?))
    });
    all.both("fromToml", |s: Text| {
        Ok::<_, Error>(number::from_node(&parsed("fromToml", document::parse_toml(&s))?))
    });
    all.both("toJson", |value: Value| {
        Ok::<_, Error>(escape_html(&number::json(&number::to_node(&value)?, None)))
    });
    all.both("toPrettyJson", |value: Value| {
        Ok::<_, Error>(escape_html(&number::json(&number::to_node(&value)?, Some(2))))
    });
    all.both("toYaml", |value: Value| Ok::<_, Error>(document::to_yaml(&number::to_node(&value)?)));
    all.both("toToml", |value: Value| parsed("toToml", document::to_toml(&number::to_node(&value)?)));
    all.both("base64Encode", |s: Text| STANDARD.encode(&*s));
    all.both("base64Decode", |s: Text| decoded("base64Decode", STANDARD.decode(&*s)));
    all.both("b64urlEncode", |s: Text| URL_SAFE.encode(&*s));
    all.both("b64urlDecode", |s: Text| {
        decoded("b64urlDecode", URL_SAFE_NO_PAD.decode(s.trim_end_matches('=')))
    });
    all.both("parseBool", |s: Text| {
        scalar::go_boolean(&s)
            .ok_or_else(|| fail(format!("parseBool: {} is neither true nor false", hidden(&s))))
    });
}

fn parsed<T>(function: &str, result: Result<T, String>) -> Result<T, Error> {
    current::check_deadline()?;
    result.map_err(|error| fail(format!("{function}: {error}")))
}

/// Applies the escapes with which Go makes JSON safe inside HTML.
pub(super) fn escape_html(json: &str) -> String {
    if !json.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return json.to_owned();
    }
    let mut out = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        match character {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
    out
}

fn decoded(function: &str, result: Result<Vec<u8>, base64::DecodeError>) -> Result<String, Error> {
    let bytes = result.map_err(|error| fail(format!("{function}: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        fail(format!("{function}: the content is not UTF-8 (byte {})", error.utf8_error().valid_up_to()))
    })
}
