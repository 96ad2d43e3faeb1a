//! Time spans in Go's syntax, which `SERVICE_CHECK_INTERVAL` has had since Registrator.

use std::time::Duration;

use crate::scalar;

/// Parses numbers with units (`10s`, `1m30s`, `500ms`, `1.5h`); a number alone is seconds. `None`: not a span, or too
/// long to represent.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Duration::try_from_secs_f64(text.parse().ok()?).ok();
    }
    scalar::span(text, scalar::go_unit)
}
