//! Whose a debt is: taking up what earlier runs left, and following resources through their edits.
//!
//! A debt names destinations, not only the command that would have paid it: when somebody corrects a wrong
//! `reload_cmd`, it is the correct one that is owed from then on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::deliver::Deliverer;
use super::generation::Generation;
use super::job::writes;
use super::outcome::Report;
use super::owed::{Debt, Swapped};
use super::reload::Action;
use super::resource::Resource;
use super::settle::Owed;
use super::want::{Content, Want, unrendered};

impl Deliverer {
    /// Files each want under its reload; one that needs neither reload nor verification is done.
    pub(super) fn owe_all(&mut self, wants: Vec<Want>, report: &mut Report) {
        for want in wants {
            // A reload that cannot be made was refused before the swap.
            let action = Action::of(&want.resource, &want.dest).ok().flatten();
            if self.settings.sync_only || (action.is_none() && want.resource.verify.is_none()) {
                report.lines.extend(want.done());
            } else {
                self.owe(want, action);
            }
        }
    }

    /// Files one want under its reload.
    pub(super) fn owe(&mut self, want: Want, action: Option<Action>) {
        let (key, debt) = match &action {
            Some(action) => {
                let key = action.key();
                let debt = self.ledger.find(&key).unwrap_or_else(|| Debt::new(key.clone()));
                (key, Some(debt))
            }
            None => (format!("verify {}", want.dest.display()), None),
        };
        self.owed.entry(key).or_insert_with(|| Owed::new(action)).add(want, debt);
    }

    /// Takes up the debts that earlier runs left for the resources that are due. When all are due, what is left
    /// over is nobody's any more.
    pub(super) fn adopt(&mut self, generation: &Generation, due: &BTreeSet<usize>) {
        if self.inherited.is_empty() {
            return;
        }
        let resources = &generation.confdir.resources;
        let mut left = Vec::new();
        for mut debt in std::mem::take(&mut self.inherited) {
            let (mine, others): (Vec<_>, Vec<_>) = debt
                .files
                .drain(..)
                .partition(|file| due.iter().any(|index| is_of(file, &resources[*index])));
            for file in mine {
                let owner = due.iter().find(|index| is_of(&file, &resources[**index]));
                if let Some(&index) = owner {
                    self.take_up(&debt, file, index, &resources[index]);
                }
            }
            debt.files = others;
            if !debt.files.is_empty() {
                left.push(debt);
            }
        }
        let complete = due.len() == resources.len() && self.settings.only.is_empty();
        if complete && generation.confdir.problems.is_empty() {
            for debt in left.drain(..) {
                tracing::warn!("no resource wants the owed {} any more; it is struck off", debt.action);
                self.ledger.paid(&debt).ok();
            }
        }
        self.inherited = left;
    }

    fn take_up(&mut self, debt: &Debt, file: Swapped, index: usize, resource: &Arc<Resource>) {
        let content = if file.digest.is_empty() { Content::Removed } else { Content::Swapped(file.digest) };
        let dest: PathBuf = file.dest;
        let want = Want::unrendered(index, resource, dest, content);
        match Action::of(resource, &want.dest) {
            Ok(Some(action)) => {
                tracing::warn!("{} is owed from an earlier run", action.describe());
                self.refile(want, action, &debt.action);
            }
            // It needs no reload any more.
            _ => self.release(&debt.action, &want.dest),
        }
    }

    /// The resources were read again: each debt stays with its destination, under the resource's new number and
    /// its present reload. One whose resource went waits on paper: an editor may be writing its file anew. The next
    /// start strikes it off if it is still nobody's.
    pub(super) fn renumber(&mut self, generation: &Generation) {
        let resources = &generation.confdir.resources;
        for (key, mut owed) in std::mem::take(&mut self.owed) {
            for mut want in owed.take_wants() {
                let Some(index) = resources.iter().position(|resource| is_wanted_by(&want, resource)) else {
                    tracing::warn!(
                        "{} has no resource any more; its owed reload waits for one",
                        want.dest.display()
                    );
                    let debt = Debt { files: vec![want.on_paper()], ..Debt::new(key.clone()) };
                    self.orphans.push(debt);
                    continue;
                };
                want.index = Some(index);
                want.resource = Arc::clone(&resources[index]);
                want.verify = unrendered(&want.resource);
                match Action::of(&want.resource, &want.dest) {
                    Ok(Some(action)) if action.key() == key => owed.add_waiting(want),
                    Ok(Some(action)) => self.refile(want, action, &key),
                    Ok(None) if want.resource.verify.is_some() => self.owe(want, None),
                    _ => self.release(&key, &want.dest),
                }
            }
            // Another debt may have come under this reload a moment ago.
            for want in self.owed.remove(&key).map(|mut other| other.take_wants()).unwrap_or_default() {
                owed.add(want, None);
            }
            if owed.is_wanted() {
                self.owed.insert(key, owed);
            }
        }
        for debt in std::mem::take(&mut self.orphans) {
            let found = debt.files.first().and_then(|file| {
                resources.iter().position(|resource| is_of(file, resource)).map(|index| (index, file.clone()))
            });
            match found {
                Some((index, file)) => self.take_up(&debt, file, index, &resources[index]),
                None => self.orphans.push(debt),
            }
        }
        self.held.clear();
    }

    /// Writes a want down under its present reload, and takes it off the paper of the reload it stood on.
    fn refile(&mut self, want: Want, action: Action, before: &str) {
        let key = action.key();
        let mut debt = Debt::new(key.clone());
        debt.files.push(want.on_paper());
        if let Err(error) = self.ledger.owe(&debt) {
            tracing::warn!("the owed {} could not be written down: {error}", action.describe());
        }
        if before != key {
            self.release(before, &want.dest);
        }
        self.owe(want, Some(action));
    }

    fn release(&self, action: &str, dest: &Path) {
        if let Err(error) = self.ledger.release(action, dest) {
            tracing::warn!("{}: its debt stays on paper and will be paid once more: {error}", dest.display());
        }
    }
}

/// Whether a file on paper belongs to a resource: by its name, or, should that have changed, by its destination.
pub(super) fn is_of(file: &Swapped, resource: &Resource) -> bool {
    file.resource == resource.name || writes(resource, &file.dest)
}

fn is_wanted_by(want: &Want, resource: &Resource) -> bool {
    want.resource.name == resource.name || writes(resource, &want.dest)
}
