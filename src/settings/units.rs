//! Parses durations, sizes, numbers and switches as people write them. Each error says what to write instead.

use std::time::Duration;

use crate::scalar;

/// Longer durations are mistakes, and would overflow a clock sooner or later.
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);

/// Parses whole seconds (`600`), or numbers with units as in Go (`10s`, `1h30m`, `250ms`, `1.5s`).
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let trimmed = text.trim();
    if let Ok(seconds) = trimmed.parse::<u64>() {
        return bounded(text, Duration::from_secs(seconds));
    }
    let unit = |name: &str| match name.trim() {
        "d" => Some(86400.0),
        name => scalar::unit(name),
    };
    bounded(text, scalar::span(trimmed, unit).ok_or_else(|| no_span(text))?)
}

fn bounded(text: &str, span: Duration) -> Result<Duration, String> {
    if span > MAX_DURATION { Err(format!("{text:?} is longer than a year")) } else { Ok(span) }
}

fn no_span(text: &str) -> String {
    format!("{text:?} is not a duration; write seconds (10) or a number with a unit (250ms, 10s, 5m, 1h30m)")
}

/// Parses bytes, with `k`, `m` or `g` for powers of 1024.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let wrong = || format!("{text:?} is not a size; write bytes (65536) or a number with k, m or g (64m)");
    let lower = text.trim().to_ascii_lowercase();
    let bare = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let (number, shift) = match bare.chars().last() {
        Some('k') => (&bare[..bare.len() - 1], 10),
        Some('m') => (&bare[..bare.len() - 1], 20),
        Some('g') => (&bare[..bare.len() - 1], 30),
        _ => (bare, 0),
    };
    let number: usize = number.trim().parse().map_err(|_| wrong())?;
    match number.checked_mul(1 << shift) {
        Some(0) => Err(format!("{text:?} leaves no room; write at least 1")),
        Some(size) => Ok(size),
        None => Err(wrong()),
    }
}

/// Parses an unsigned integer.
pub(super) fn number(text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| format!("{text:?} is not a whole number"))
}

/// Parses a boolean: Go's words, and those that are common in environments.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    scalar::boolean(text.trim()).ok_or_else(|| format!("{text:?} is neither true nor false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_or_gos_units() {
        for (text, millis) in [
            ("10", 10_000),
            ("0", 0),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("1.5s", 1500),
            ("1d", 86_400_000),
        ] {
            assert_eq!(span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn meaningless_durations_are_refused() {
        for text in ["", "s", "10x", "-5", "1.2.3s", "10s5", "99999999999999999999s", "NaNs", "inf", "400d"] {
            assert!(span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_accept_powers_of_1024_and_do_not_overflow() {
        for (text, want) in
            [("65536", 65536), ("64k", 65536), ("64M", 64 << 20), ("1GiB", 1 << 30), ("2mb", 2 << 20)]
        {
            assert_eq!(bytes(text), Ok(want), "{text}");
        }
        for text in ["", "m", "-1", "1t", "99999999999999999999g", "18446744073709551615g", "0", "1.5m"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn switches_accept_gos_words() {
        for text in ["1", "t", "T", "TRUE", "true", "yes"] {
            assert_eq!(switch(text), Ok(true));
        }
        for text in ["0", "f", "F", "FALSE", "false", "no"] {
            assert_eq!(switch(text), Ok(false));
        }
        assert!(switch("2").is_err());
    }
}
