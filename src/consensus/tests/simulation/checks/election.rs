//! At most one member leads in a term.

use std::collections::BTreeMap;

use super::{Check, ensure};

/// The leader of each term.
#[derive(Default)]
pub(in super::super) struct Election(BTreeMap<u64, u64>);

impl Election {
    /// `id` claims to lead in `term`. Returns whether that is new.
    pub(in super::super) fn leads(&mut self, id: u64, term: u64) -> Result<bool, String> {
        let new = !self.0.contains_key(&term);
        let known = *self.0.entry(term).or_insert(id);
        ensure(known == id, || format!("election: {known:x} and {id:x} both lead in term {term}"))?;
        Ok(new)
    }

    /// Returns the number of terms with a leader.
    pub(in super::super) fn count(&self) -> usize {
        self.0.len()
    }
}

#[test]
fn two_leaders_in_a_term_are_detected() {
    let mut election = Election::default();
    let check: Check = election.leads(1, 1).and(election.leads(2, 2)).and(election.leads(1, 1)).map(drop);
    assert_eq!(check, Ok(()));
    assert!(election.leads(1, 2).is_err());
}
