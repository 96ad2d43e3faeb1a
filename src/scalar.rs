//! Durations, booleans and bytes as text.
//!
//! Owns: the sum of numbers with units (`1h30m`, `1.5s`), the words for true and false, and hexadecimal digits. The caller chooses the
//! units and the set of words: the programs that retune replaces differ in them.
//! Promises: no text makes it panic or overflow; an unknown text is `None`.
//! Leaves out: limits, and error messages, which say what to write instead.

use std::time::Duration;

/// Parses a sum of one or more numbers with units; `unit` returns the seconds of a unit.
pub fn span(text: &str, unit: impl Fn(&str) -> Option<f64>) -> Option<Duration> {
    let (mut total, mut rest) = (Duration::ZERO, text);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (name, tail) = tail.split_at(end);
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit(name)?).ok()?;
        total = total.saturating_add(part);
        rest = tail;
    }
    Some(total)
}

/// Returns the seconds of the common units: `ms`, `s`, `m`, `h`.
#[must_use]
pub fn unit(name: &str) -> Option<f64> {
    Some(match name {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

/// Returns the seconds of Go's units: the common ones, `us` and `ns`.
#[must_use]
pub fn go_unit(name: &str) -> Option<f64> {
    match name {
        "ns" => Some(1e-9),
        // Go accepts two letters: the micro sign and the Greek one.
        "us" | "\u{b5}s" | "\u{3bc}s" => Some(1e-6),
        _ => unit(name),
    }
}

/// Parses a boolean in any case: Go's words, and those that are common in environments.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "yes" | "on" => Some(true),
        "0" | "f" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Parses a boolean in Go's words only, as Go spells them.
#[must_use]
pub fn go_boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Returns bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_summed_in_the_units_of_their_dialect() {
        for (text, people, go) in [
            ("1h30m", Some(5_400_000_000), Some(5_400_000_000)),
            ("1.5s.5s", Some(2_000_000), Some(2_000_000)),
            ("1s250ms", Some(1_250_000), Some(1_250_000)),
            ("3us", None, Some(3)),
            ("3\u{3bc}s", None, Some(3)),
            ("1s 1s", None, None),
            ("5", None, None),
            ("s", None, None),
            ("-1s", None, None),
            ("1d", None, None),
            ("1.1.1s", None, None),
            ("", None, None),
        ] {
            assert_eq!(span(text, unit), people.map(Duration::from_micros), "{text}");
            assert_eq!(span(text, go_unit), go.map(Duration::from_micros), "{text}");
        }
        let huge = "9".repeat(400);
        assert_eq!(span(&format!("{huge}h"), unit), None, "more than can be counted");
        assert_eq!(
            span(&"5000000000000000h".repeat(3), unit),
            Some(Duration::MAX),
            "the sum stays at the end"
        );
    }

    #[test]
    fn only_gos_dialect_accepts_gos_words_for_booleans() {
        for (text, people, go) in [
            ("TRUE", Some(true), Some(true)),
            ("tRUE", Some(true), None),
            ("On", Some(true), None),
            ("0", Some(false), Some(false)),
            ("no", Some(false), None),
            ("", None, None),
            ("2", None, None),
        ] {
            assert_eq!((boolean(text), go_boolean(text)), (people, go), "{text}");
        }
    }
}
