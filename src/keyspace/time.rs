//! Instants and time spans as commands carry them.

/// Nanoseconds since 1970 in UTC, by the clock of the member that took the request.
pub type Time = i64;

/// 2000-01-01: etcd takes an earlier expiration of a key that is set or created to mean "never". Updates and swaps do
/// not ask.
pub(super) const EARLIEST: Time = 946_684_800 * 1_000_000_000;

/// When a key with `ttl` seconds to live, written at `now`, expires. Seconds times 10⁹ wraps in 64 bits, as in etcd:
/// huge TTLs may give a time that is past.
#[must_use]
pub fn expiry(now: Time, ttl: u64) -> Time {
    let span = (ttl as i64).wrapping_mul(1_000_000_000);
    now.wrapping_add(span)
}

/// The whole seconds from `now` to `expires`, rounded up; negative when it is past.
#[must_use]
pub fn remaining(now: Time, expires: Time) -> i64 {
    let left = expires.saturating_sub(now);
    left.div_euclid(1_000_000_000) + i64::from(left.rem_euclid(1_000_000_000) > 0)
}
