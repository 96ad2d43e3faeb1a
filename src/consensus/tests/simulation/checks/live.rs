//! Once the network is healed and all members are up, there is soon a leader, every request gets a result, and all
//! members are equal: ready, with the same entries, and without expired keys.

use std::collections::BTreeMap;

use super::super::member::Member;

/// The limit in milliseconds; a request that could not be completed takes seven seconds to fail.
pub(in super::super) const LIMIT_MS: u64 = 20_000;

/// Returns the leader, or why the members are not level yet.
pub(in super::super) fn level(members: &BTreeMap<u64, Member>) -> Result<u64, String> {
    let up = || members.values().filter(|member| !member.left);
    let lives = up().filter_map(|member| Some((member.id, member.life.as_ref()?)));
    let leader = lives
        .filter(|(_, life)| life.driver.replica.is_leader())
        .max_by_key(|(_, life)| life.driver.replica.term());
    let Some((leader, led)) = leader else { return Err("nobody leads".to_owned()) };
    let state = led.shared.read();
    if !state.roster.members.contains_key(&leader) {
        return Err(format!("{leader:x} leads, was removed and has not left"));
    }
    let (applied, roster) = (state.applied, &state.roster);
    for id in roster.members.keys() {
        let Some(member) = members.get(id) else { continue };
        let Some(life) = &member.life else { return Err(format!("{id:x} is down")) };
        let at = if *id == leader { applied } else { life.shared.read().applied };
        if at != applied {
            return Err(format!(
                "{id:x} is at entry {}, the leader {leader:x} at {}",
                at.index, applied.index
            ));
        }
        if life.driver.replica.leader() != leader {
            return Err(format!("{id:x} follows {:x}, {leader:x} leads", life.driver.replica.leader()));
        }
        if !life.ready {
            return Err(format!("{id:x} is not ready"));
        }
        if roster.members[id].learner {
            return Err(format!("{id:x} has no vote yet"));
        }
    }
    if let Some(due) = state.keyspace.next_expiry() {
        return Err(format!("a key whose time came at {due} is still there"));
    }
    Ok(leader)
}
