//! Time spans in Go's syntax, which `SERVICE_CHECK_INTERVAL` has had since Registrator.

use std::time::Duration;

/// Parses numbers with units (`10s`, `1m30s`, `500ms`, `1.5h`); a number alone is seconds. `None`: not a span, or too
/// long to represent.
pub(super) fn span(text: &str) -> Option<Duration> {
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return seconds(text, 1.0);
    }
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let unit = match unit {
            "ns" => 1e-9,
            // Go accepts two letters for micro: the micro sign and the Greek mu.
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total = total.checked_add(seconds(number, unit)?)?;
        rest = tail;
    }
    Some(total)
}

fn seconds(number: &str, unit: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()
}
