//! The room's rules, one by one, and any input bytes.

mod codes;
mod fuzz;
mod json;
mod params;
mod path;

use super::*;

/// Returns a cause as text.
fn cause(fault: &ErrorBody) -> String {
    String::from_utf8(fault.cause.clone()).expect("a cause of ASCII")
}
