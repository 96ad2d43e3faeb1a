//! Instants and time spans in commands.

/// Nanoseconds since 1970 in UTC, by the clock of the member that received the request.
pub type Time = i64;

/// 2000-01-01: For a key that is set or created, etcd treats an earlier expiration as "never". Updates and swaps do
/// not check this.
pub(super) const MIN_EXPIRATION: Time = 946_684_800 * 1_000_000_000;

/// Returns when a key with a TTL of `ttl` seconds, written at `now`, expires. Seconds times 10⁹ wraps in 64 bits,
/// as in etcd: huge TTLs may give a time in the past.
#[must_use]
pub fn expiry(now: Time, ttl: u64) -> Time {
    let span = (ttl as i64).wrapping_mul(1_000_000_000);
    now.wrapping_add(span)
}

/// Returns the whole seconds from `now` to `expires`, rounded up; negative when it is in the past.
#[must_use]
pub fn remaining(now: Time, expires: Time) -> i64 {
    let left = expires.saturating_sub(now);
    left.div_euclid(1_000_000_000) + i64::from(left.rem_euclid(1_000_000_000) > 0)
}
