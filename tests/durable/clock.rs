//! A wall clock that jumps by a day while the member runs: leases last for the real time.

use std::time::{Duration, Instant};

use super::member::Member;
use super::wire::Wire;
use crate::support::fake_time::FakeTime;
use crate::support::scaled;

const TTL: u64 = 3;
/// Expiry is a separate command, proposed every half second; the rest allows for a busy machine.
const MAX_EXPIRY_DELAY: Duration = Duration::from_millis(1500);

fn put(wire: &mut Wire, key: &str, ttl: u64) -> String {
    let answer = wire.request("PUT", &format!("/v2/keys{key}"), Some(&format!("value=1&ttl={ttl}"))).unwrap();
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
    answer.json()["node"]["expiration"].as_str().unwrap_or_default().to_owned()
}

/// Returns when the key was gone, counted from `begun`, and the highest and lowest `ttl` until then.
fn lifetime(wire: &mut Wire, key: &str, begun: Instant) -> (Duration, i64, i64) {
    let (mut high, mut low) = (i64::MIN, i64::MAX);
    loop {
        let answer = wire.get(&format!("/v2/keys{key}")).unwrap();
        if answer.status == 404 {
            return (begun.elapsed(), high, low);
        }
        let ttl = answer.json()["node"]["ttl"].as_i64().unwrap_or(0);
        (high, low) = (high.max(ttl), low.min(ttl));
        assert!(
            begun.elapsed() < Duration::from_secs(TTL) + 4 * scaled(MAX_EXPIRY_DELAY),
            "{key} lives on: {}",
            answer.text()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn assert_expired_in_time(what: &str, (lived, high, low): (Duration, i64, i64)) {
    let real = Duration::from_secs(TTL);
    assert!(lived + Duration::from_millis(50) >= real, "{what}: it vanished after {lived:?}");
    assert!(lived <= real + scaled(MAX_EXPIRY_DELAY), "{what}: it lived for {lived:?}");
    assert!(high <= i64::try_from(TTL).unwrap() && low >= -2, "{what}: it showed a ttl from {low} to {high}");
}

/// Returns the day of an RFC 3339 time, as a number of days.
fn day(time: &str) -> i64 {
    let date: jiff::civil::Date = time.split('T').next().unwrap_or_default().parse().unwrap();
    (date - jiff::civil::date(2000, 1, 1)).get_days().into()
}

#[test]
fn leases_last_their_ttl_while_the_clock_jumps() {
    let Some(mut member) = Member::of_ours(&[]) else { return };
    let Some(clock) = FakeTime::new(&member.path("")) else { return };
    for (name, value) in clock.env() {
        member.env(name, &value);
    }
    member.start();
    let mut wire = member.wire();
    let begun = Instant::now();
    put(&mut wire, "/before", TTL);
    clock.set("+1d");
    assert_expired_in_time("a jump forwards", lifetime(&mut wire, "/before", begun));
    let begun = Instant::now();
    put(&mut wire, "/between", TTL);
    clock.set("-1d");
    assert_expired_in_time("a jump backwards by two days", lifetime(&mut wire, "/between", begun));
    let begun = Instant::now();
    put(&mut wire, "/after", TTL);
    clock.set("+0s");
    assert_expired_in_time("the way back", lifetime(&mut wire, "/after", begun));
    assert!(!member.log().contains("panicked"), "{}", member.log());
}

/// Shows that the member uses this clock: one that starts with the other clock follows it.
#[test]
fn the_member_reads_the_clock_that_jumps() {
    let Some(mut member) = Member::of_ours(&[]) else { return };
    let Some(clock) = FakeTime::new(&member.path("")) else { return };
    for (name, value) in clock.env() {
        member.env(name, &value);
    }
    let mut days = Vec::new();
    for offset in ["+0s", "+10d"] {
        clock.set(offset);
        member.start();
        days.push(day(&put(&mut member.wire(), "/k", 100)));
        member.kill();
    }
    assert!((9..=11).contains(&(days[1] - days[0])), "{days:?}");
}

/// The rest of a lease after a restart: the remaining time by the wall clock, as in etcd.
#[test]
fn a_lease_continues_after_a_restart() {
    let Some(mut member) = Member::new(&[]) else { return };
    member.start();
    let begun = Instant::now();
    put(&mut member.wire(), "/k", TTL);
    put(&mut member.wire(), "/long", 100);
    member.kill();
    member.start();
    assert_expired_in_time("a restart", lifetime(&mut member.wire(), "/k", begun));
    let left = member.wire().get("/v2/keys/long").unwrap().json()["node"]["ttl"].as_i64().unwrap();
    assert!((80..=98).contains(&left), "{left}");
}
