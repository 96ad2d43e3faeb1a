//! The store's clock: it follows the leader's clock and does not jump while the group runs.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::keyspace::Time;

/// How far a follower's clock may differ from the leader's, in nanoseconds: messages take time.
const MAX_CLOCK_DIFFERENCE: Time = 200_000_000;
/// The clock catches up on time without a leader at 1/100 of real speed; leases are shorter by that much meanwhile.
const CATCH_UP_DIVISOR: Time = 100;

/// Nanoseconds since 1970, counted by the monotonic clock, starting at the wall clock of the first leader.
///
/// A wall clock that is set by hand or by a time server could otherwise expire keys a day early or keep them a day
/// too long, and so could a new leader whose wall clock is wrong. Followers therefore adopt the leader's clock, and
/// a new leader continues from there. Time without a leader does not count at first, since nobody could refresh a
/// lease; the clock then runs slightly faster until it has caught up.
#[derive(Debug)]
pub(super) struct Clock {
    since: Instant,
    state: Mutex<ClockState>,
}

#[derive(Clone, Copy, Debug)]
struct ClockState {
    base: Time,
    /// How far the clock still has to catch up, and since when.
    behind: Time,
    behind_since: Time,
    /// When the last message of the leader arrived, on the monotonic clock.
    leader_heard_at: Time,
}

impl Clock {
    /// Starts at the wall clock, but never before `latest_time`, the latest time in the state: a clock that was set back
    /// while the store was down must not extend leases.
    pub(super) fn start(latest_time: Time) -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |span| span.as_nanos());
        let wall = Time::try_from(wall).unwrap_or(Time::MAX);
        let state =
            ClockState { base: wall.max(latest_time), behind: 0, behind_since: 0, leader_heard_at: 0 };
        Self { since: Instant::now(), state: Mutex::new(state) }
    }

    pub(super) fn now(&self) -> Time {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).at(self.passed())
    }

    /// Adopts `time`, which the leader sent.
    pub(super) fn adopt(&self, time: Time) {
        let passed = self.passed();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.leader_heard_at = passed;
        let own = state.at(passed);
        if time > own || own.saturating_sub(time) > MAX_CLOCK_DIFFERENCE {
            *state = ClockState {
                base: time.saturating_sub(passed),
                behind: 0,
                behind_since: passed,
                leader_heard_at: passed,
            };
        }
    }

    /// Records that this member no longer leads; until now its clock was current.
    pub(super) fn stop_leading(&self) {
        let passed = self.passed();
        self.state.lock().unwrap_or_else(PoisonError::into_inner).leader_heard_at = passed.max(1);
    }

    /// Returns whether this is the group's clock rather than only this host's.
    pub(super) fn settled(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).leader_heard_at != 0
    }

    /// Records that this member leads from now on. A live leader sends a message every `heartbeat`.
    pub(super) fn start_leading(&self, heartbeat: Duration) {
        let passed = self.passed();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let heartbeat = Time::try_from(heartbeat.as_nanos()).unwrap_or(Time::MAX);
        let without = passed.saturating_sub(state.leader_heard_at).saturating_sub(heartbeat).max(0);
        if state.leader_heard_at == 0 || without == 0 {
            state.leader_heard_at = passed.max(1);
            return;
        }
        let behind = without.saturating_add(state.left(passed));
        let now = state.at(passed).saturating_sub(without);
        *state = ClockState {
            base: now.saturating_sub(passed),
            behind,
            behind_since: passed,
            leader_heard_at: passed,
        };
    }

    fn passed(&self) -> Time {
        Time::try_from(self.since.elapsed().as_nanos()).unwrap_or(Time::MAX)
    }
}

impl ClockState {
    fn at(&self, passed: Time) -> Time {
        self.base.saturating_add(passed).saturating_add(self.caught_up(passed))
    }

    fn caught_up(&self, passed: Time) -> Time {
        self.behind.min(passed.saturating_sub(self.behind_since) / CATCH_UP_DIVISOR)
    }

    /// Returns how far the clock still has to catch up.
    fn left(&self, passed: Time) -> Time {
        self.behind - self.caught_up(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Time = 86_400_000_000_000;

    #[test]
    fn a_follower_adopts_the_leaders_clock_forwards_and_backwards() {
        for off in [-DAY, DAY] {
            let clock = Clock::start(0);
            let told = clock.now() + off;
            clock.adopt(told);
            assert!((clock.now() - told).abs() < 1_000_000_000, "{off}");
        }
    }

    #[test]
    fn a_new_term_does_not_move_the_clock_back() {
        let clock = Clock::start(0);
        clock.adopt(clock.now());
        clock.start_leading(Duration::from_millis(1));
        std::thread::park_timeout(Duration::from_millis(60));
        let before = clock.now();
        clock.stop_leading();
        clock.start_leading(Duration::from_millis(1));
        assert!(clock.now() >= before, "the time as a leader was taken for one without");
    }

    #[test]
    fn a_late_message_does_not_set_the_clock_back() {
        let clock = Clock::start(0);
        let before = clock.now();
        clock.adopt(before - MAX_CLOCK_DIFFERENCE / 2);
        assert!(clock.now() >= before);
    }

    #[test]
    fn time_without_a_leader_is_counted_later() {
        let mut state = ClockState { base: 0, behind: 0, behind_since: 0, leader_heard_at: 0 };
        (state.behind, state.behind_since) = (1_000, 50_000);
        assert_eq!(state.at(50_000), 50_000);
        assert_eq!(state.at(52_000), 52_000 + 20);
        assert_eq!(state.at(150_000), 151_000, "made up for in full");
    }

    #[test]
    fn a_clock_that_was_set_back_starts_at_the_latest_time_seen() {
        let far = Clock::start(0).now() + DAY;
        assert!(Clock::start(far).now() >= far);
    }
}
