//! Members agree on the list of members, raft's own list matches the state, a removed member never comes back, and
//! one that joined gets its vote. (Two halves that decide separately would break `matching`.)

use std::collections::BTreeSet;

use super::super::super::super::replica::Replica;
use super::super::super::super::roster::Roster;
use super::{Check, ensure};

/// The removed members.
#[derive(Default)]
pub(in super::super) struct Membership {
    left: BTreeSet<u64>,
}

impl Membership {
    /// Checks that member `id` has `roster`, and that `replica` uses the same list.
    pub(in super::super) fn holds(&mut self, id: u64, roster: &Roster, replica: &Replica) -> Check {
        let wanted = roster.members.values().filter(|member| !member.learner).map(|member| member.id);
        let wanted: BTreeSet<u64> = wanted.collect();
        let voters: BTreeSet<u64> = replica.voters().into_iter().collect();
        // A member removed while it led is leaving, and only drops itself from raft's list at the end.
        let leaves = roster.removed.contains(&id);
        ensure(leaves || wanted == voters, || {
            format!("membership: on {id:x} {wanted:x?} have a vote, raft counts {voters:x?}")
        })?;
        self.left.extend(&roster.removed);
        let back = roster.removed.iter().find(|gone| roster.members.contains_key(gone));
        ensure(back.is_none(), || format!("membership: on {id:x} {back:x?} is a member and was removed"))
    }

    /// Checks the end of a run, when `leader` leads the group of `roster`.
    pub(in super::super) fn end(&self, leader: u64, roster: &Roster) -> Check {
        ensure(!self.left.contains(&leader), || format!("membership: {leader:x} leads and was removed"))?;
        let late = roster.members.values().find(|member| member.learner && member.incarnation != 0);
        ensure(late.is_none(), || format!("membership: no vote for {late:x?}"))
    }

    /// Returns whether `id` was removed.
    pub(in super::super) fn left(&self, id: u64) -> bool {
        self.left.contains(&id)
    }
}
