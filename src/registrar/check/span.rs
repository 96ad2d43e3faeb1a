//! Time spans as Go writes them, for that is what is in `SERVICE_CHECK_INTERVAL` since Registrator.

use std::time::Duration;

use crate::scalar;

/// Reads numbers with units (`10s`, `1m30s`, `500ms`, `1.5h`), and a number alone as seconds. `None`: it is none, or none
/// that could be counted.
pub(super) fn span(text: &str) -> Option<Duration> {
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Duration::try_from_secs_f64(text.parse().ok()?).ok();
    }
    scalar::span(text, scalar::go_unit)
}
