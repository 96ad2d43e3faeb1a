//! Which resources are due for a render, and when: debounce, `max_wait`, and retries.
//!
//! Resources that share a reload wait together: a burst that touches twenty of them causes one wait and one reload.
//! Pure: time comes in as an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::pending::retry_backoff;
use crate::backoff::Backoff;

/// How long a resource waits after a change for further ones, and the longest wait in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Debounce {
    pub(super) debounce: Duration,
    pub(super) max_wait: Duration,
}

/// Resources that wait together.
#[derive(Debug)]
struct DebounceGroup {
    first: Instant,
    last: Instant,
    /// The merged setting of all resources in the group.
    debounce: Debounce,
    resources: BTreeSet<usize>,
}

impl DebounceGroup {
    /// Returns the end of the wait: `debounce` after the last change, at most `max_wait` after the first.
    fn at(&self) -> Instant {
        let Debounce { debounce, max_wait } = self.debounce;
        (self.last + debounce).min(self.first + max_wait.max(debounce))
    }
}

/// The resources that wait for a render or a retry.
#[derive(Debug, Default)]
pub(super) struct RenderSchedule {
    waiting: BTreeMap<usize, DebounceGroup>,
    retries: BTreeMap<usize, (Backoff, Instant)>,
    /// The time of the oldest waiting change; kept when the resources are reread.
    since: Option<Instant>,
}

impl RenderSchedule {
    /// Marks a resource after something it reads changed. `group` is its debounce group.
    pub(super) fn mark(&mut self, resource: usize, group: usize, added: Debounce, now: Instant) {
        let first = self.since.unwrap_or(now);
        let waiting = self.waiting.entry(group).or_insert_with(|| DebounceGroup {
            first,
            last: now,
            debounce: added,
            resources: BTreeSet::new(),
        });
        waiting.last = now;
        // The longest debounce of the group, and the lowest `max_wait` of those that debounce at all.
        let (debounce, max_wait) = (waiting.debounce.debounce, waiting.debounce.max_wait);
        waiting.debounce.max_wait = match (debounce.is_zero(), added.debounce.is_zero()) {
            (false, false) => max_wait.min(added.max_wait),
            (true, false) => added.max_wait,
            (_, true) => max_wait,
        };
        waiting.debounce.debounce = debounce.max(added.debounce);
        waiting.resources.insert(resource);
    }

    /// Schedules the retry of a failed resource, with increasing delays, whether or not anything changes.
    pub(super) fn failed(&mut self, resource: usize, now: Instant) -> Duration {
        let (backoff, at) = self.retries.entry(resource).or_insert_with(|| (retry_backoff(), now));
        let wait = backoff.next();
        *at = now + wait;
        wait
    }

    /// Ends the retries of a resource.
    pub(super) fn succeeded(&mut self, resource: usize) {
        self.retries.remove(&resource);
    }

    /// Forgets everything after the resources were reread. Only the time of the oldest waiting change is kept, so that
    /// endless edits cannot postpone a render for ever.
    pub(super) fn clear(&mut self) {
        let first = self.waiting.values().map(|waiting| waiting.first);
        let since = first.chain(self.since).min();
        *self = Self { since, ..Self::default() };
    }

    /// Takes out every resource whose wait is over.
    pub(super) fn take_due(&mut self, now: Instant) -> BTreeSet<usize> {
        let over: Vec<usize> =
            self.waiting.iter().filter(|(_, waiting)| waiting.at() <= now).map(|(group, _)| *group).collect();
        let mut ready: BTreeSet<usize> = over
            .iter()
            .filter_map(|group| self.waiting.remove(group))
            .flat_map(|waiting| waiting.resources)
            .collect();
        if self.waiting.is_empty() {
            self.since = None;
        }
        for (index, (_, at)) in &mut self.retries {
            if *at <= now {
                ready.insert(*index);
                // Not due again until its outcome is known.
                *at = now + Duration::from_secs(3600);
            }
        }
        ready
    }

    /// Returns when the next resource will be due.
    pub(super) fn next(&self) -> Option<Instant> {
        let waiting = self.waiting.values().map(DebounceGroup::at);
        waiting.chain(self.retries.values().map(|(_, at)| *at)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBOUNCED: Debounce =
        Debounce { debounce: Duration::from_millis(100), max_wait: Duration::from_millis(250) };
    const NONE: Debounce = Debounce { debounce: Duration::ZERO, max_wait: Duration::ZERO };

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_is_one_render_after_quiet_and_never_later_than_the_maximum() {
        let (mut schedule, start) = (RenderSchedule::default(), Instant::now());
        for step in 0..10 {
            schedule.mark(7, 7, DEBOUNCED, start + ms(step * 50));
            let ready = schedule.take_due(start + ms(step * 50));
            assert_eq!(
                !ready.is_empty(),
                step == 5,
                "only the ceiling ends a burst without quiet, at step {step}"
            );
        }
        assert_eq!(schedule.next(), Some(start + ms(550)));
        assert_eq!(schedule.take_due(start + ms(550)), BTreeSet::from([7]));
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn without_debounce_a_change_is_due_at_once() {
        let (mut schedule, now) = (RenderSchedule::default(), Instant::now());
        schedule.mark(1, 1, NONE, now);
        assert_eq!(schedule.take_due(now), BTreeSet::from([1]));
    }

    #[test]
    fn resources_that_share_a_reload_become_due_together() {
        let (mut schedule, start) = (RenderSchedule::default(), Instant::now());
        schedule.mark(1, 9, DEBOUNCED, start);
        schedule.mark(2, 9, NONE, start + ms(80));
        schedule.mark(3, 3, DEBOUNCED, start);
        assert_eq!(
            schedule.take_due(start + ms(100)),
            BTreeSet::from([3]),
            "the others saw a change 20 ms ago"
        );
        assert_eq!(schedule.take_due(start + ms(180)), BTreeSet::from([1, 2]));
    }

    #[test]
    fn of_resources_that_wait_together_the_lowest_maximum_counts() {
        let (mut schedule, start) = (RenderSchedule::default(), Instant::now());
        let noisy = Debounce { debounce: ms(200), max_wait: ms(5000) };
        schedule.mark(1, 9, DEBOUNCED, start);
        for step in 0..10 {
            schedule.mark(2, 9, noisy, start + ms(step * 20));
        }
        assert_eq!(schedule.take_due(start + ms(250)), BTreeSet::from([1, 2]));
    }

    #[test]
    fn endless_edits_do_not_delay_a_render_for_ever() {
        let (mut schedule, start) = (RenderSchedule::default(), Instant::now());
        for step in 0..5 {
            schedule.clear();
            schedule.mark(1, 1, DEBOUNCED, start + ms(step * 50));
        }
        assert_eq!(
            schedule.take_due(start + ms(250)),
            BTreeSet::from([1]),
            "the ceiling counts from the first"
        );
    }

    #[test]
    fn a_failure_is_retried_with_growing_delays_until_it_succeeds() {
        let (mut schedule, mut now) = (RenderSchedule::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..4 {
            let wait = schedule.failed(3, now);
            waits.push(wait);
            assert!(schedule.take_due(now).is_empty());
            now += wait;
            assert_eq!(schedule.take_due(now), BTreeSet::from([3]));
        }
        assert!(waits[3] > waits[0], "{waits:?}");
        schedule.succeeded(3);
        assert_eq!(schedule.next(), None);
    }
}
