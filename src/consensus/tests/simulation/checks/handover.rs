//! A leader that transfers its leadership has a successor within an election timeout.

use std::collections::BTreeMap;

use super::super::member::{ELECTION_TIMEOUT, Member};

/// The limit in milliseconds.
pub(in super::super) const LIMIT_MS: u64 = ELECTION_TIMEOUT.as_millis() as u64;

/// Returns the current leader, if it is not `before`.
pub(in super::super) fn successor(members: &BTreeMap<u64, Member>, before: u64) -> Option<u64> {
    let leads = |member: &&Member| member.life.as_ref().is_some_and(|life| life.driver.replica.is_leader());
    let leaders: Vec<u64> = members.values().filter(leads).map(|member| member.id).collect();
    leaders.iter().copied().find(|id| *id != before).filter(|_| !leaders.contains(&before))
}
