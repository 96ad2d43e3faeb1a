//! How long keys outlive their registrar.

use std::time::Duration;

use super::super::reader::Reader;
use crate::registrar::Lease;

/// Reads the time to live; the refresh interval is derived from it.
pub(super) fn read(read: &mut Reader<'_>) -> Lease {
    let base = Lease::default();
    let ttl = match read.span("ttl") {
        None => base.ttl,
        Some(span) if span.is_zero() => None,
        Some(span) if span.subsec_nanos() > 0 => {
            read.report("ttl", "stores count whole seconds; write at least 1s, or 0 for ever");
            base.ttl
        }
        Some(span) => Some(span),
    };
    let refresh = read.span("ttl-refresh");
    match (ttl, refresh) {
        (None, None) => Lease { ttl, ..base },
        (None, Some(_)) => {
            read.report("ttl-refresh", "with --ttl 0 there is nothing to renew; keep one of the two");
            base
        }
        (Some(ttl), None) => Lease { ttl: Some(ttl), refresh: third(ttl) },
        (Some(_), Some(refresh)) if refresh.is_zero() => {
            read.report("ttl-refresh", "must be more than 0");
            base
        }
        (Some(ttl), Some(refresh)) if refresh >= ttl => {
            let message = format!(
                "keys that live {ttl:?} have to be renewed sooner than that; a third of it leaves room for one failure"
            );
            read.report("ttl-refresh", message);
            base
        }
        (Some(ttl), Some(refresh)) => Lease { ttl: Some(ttl), refresh },
    }
}

/// Two renewals may fail before a key expires. In whole milliseconds, like the default.
fn third(ttl: Duration) -> Duration {
    Duration::from_millis(u64::try_from(ttl.as_millis() / 3).unwrap_or(u64::MAX))
}
