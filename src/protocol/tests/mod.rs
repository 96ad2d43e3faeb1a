//! What the room promises, rule by rule, and that no bytes upset it.

mod codes;
mod fuzz;
mod json;
mod params;
mod path;

use super::*;

/// A cause as text.
fn cause(fault: &ErrorBody) -> String {
    String::from_utf8(fault.cause.clone()).expect("a cause of ASCII")
}
