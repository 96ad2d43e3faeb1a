//! What a render would change, for people and for programs. It changes nothing itself.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::Serialize;

use super::error::ReloaderError;
use super::expand::{DestinationOwners, expand};
use super::generation::Generation;
use super::journal::{JournalEntry, JournalFile, ReloadJournal};
use super::manifest::Manifest;
use super::once::{fetch, problems_of};
use super::outcome::{DestOutcome, ReportLine};
use super::prepare::{PrepareMode, Prepared, ReadyFile, prepare_all};
use super::record::belongs_to;
use super::redact::{MASK, MASK_LINE, Redactor};
use super::reload::ReloadAction;
use super::settings::Settings;
use crate::diff::LineDiff;
use crate::source::Source;

/// What would happen to one destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedChange {
    /// The file would be created.
    Create,
    /// Its text would change.
    Update,
    /// Only its mode or owner would change.
    Attributes,
    /// The file would be removed: its `for_each` entry is gone.
    Remove,
    /// Nothing would change.
    #[default]
    None,
    /// Unknown: it fails to render.
    Error,
}

/// One destination of a plan.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Planned {
    /// The resource's name.
    pub resource: String,
    /// The destination.
    pub dest: String,
    /// What would happen.
    pub change: PlannedChange,
    /// Mode or owner that would change, as text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<String>,
    /// The unified diff, secrets masked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub diff: String,
    /// The command that would be run afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload: Option<String>,
    /// Why it cannot be rendered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What would prevent the write, although the text is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
}

/// A reload that an earlier run left: its files are in place, and the service has not been reloaded.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedReload {
    /// The command or signal.
    pub reload: String,
    /// The destinations it is for.
    pub dests: Vec<String>,
}

/// Everything a render would change.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Plan {
    /// Every destination, changed or not.
    pub resources: Vec<Planned>,
    /// The reloads that a render would run although no file changes.
    pub pending: Vec<PlannedReload>,
}

impl Plan {
    /// Returns whether a render would change anything or run a pending reload.
    #[must_use]
    pub fn differs(&self) -> bool {
        !self.pending.is_empty() || self.resources.iter().any(|planned| planned.change != PlannedChange::None)
    }

    /// Returns whether any resource cannot be rendered.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.resources.iter().any(|planned| planned.change == PlannedChange::Error)
    }

    /// Returns the plan as unified diffs, one after the other, with a line for what a diff cannot show.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for planned in &self.resources {
            // Writing to a String cannot fail.
            for change in &planned.attributes {
                let _ = writeln!(out, "# {}: {change}", planned.dest);
            }
            if planned.change == PlannedChange::Remove {
                let _ = writeln!(out, "# {} would be removed", planned.dest);
            }
            if let Some(error) = &planned.error {
                let _ =
                    writeln!(out, "# {} ({}) cannot be rendered: {error}", planned.dest, planned.resource);
            }
            if let Some(obstacle) = &planned.obstacle {
                let _ = writeln!(out, "# {}: a render would fail: {obstacle}", planned.dest);
            }
            out.push_str(&planned.diff);
        }
        for PlannedReload { reload, dests } in &self.pending {
            let dests = dests.join(", ");
            let _ = writeln!(
                out,
                "# reload pending: {reload} (for {dests}): the service has not taken the file in place; the next render \
                 runs it, and a running watch tries it again"
            );
        }
        out
    }
}

/// Makes the plan. `context` is the number of unchanged lines around each change.
///
/// # Errors
/// When the source does not respond or there is no confdir.
pub async fn plan(settings: Arc<Settings>, source: &Source, context: usize) -> Result<Plan, ReloaderError> {
    let generation = Generation::load(&settings);
    let report = problems_of(&generation)?;
    let values = Arc::new(fetch(&settings, source, &generation).await?);
    let redactor = Redactor::new(&settings.redact, &values);
    let state_dir = settings.state_dir.as_deref();
    let unusable = |error| ReloaderError::state(state_dir, error);
    let manifest = Manifest::peek(state_dir, &settings.confdir).map_err(unusable)?;
    let journal = ReloadJournal::peek(state_dir, &settings.confdir).map_err(unusable)?;
    let pending =
        journal.left_over().iter().filter_map(|entry| pending(entry, &generation, &redactor)).collect();
    let mut plan = Plan { resources: report.lines.into_iter().map(unreadable).collect(), pending };
    let due = (0..generation.confdir.resources.len()).collect();
    let expanded = expand(&generation, &values, &due, &manifest, &mut DestinationOwners::default());
    plan.resources.extend(expanded.failed.into_iter().map(unreadable));
    plan.resources.extend(expanded.gone.iter().filter(|gone| gone.dest.exists()).map(|gone| Planned {
        reload: gone.action().map(|action| action.describe()),
        ..Planned::new(&gone.resource.name, &gone.dest.display().to_string(), PlannedChange::Remove)
    }));
    let jobs = expanded.jobs;
    let work = move || prepare_all(&generation, &values, jobs, PrepareMode::Compare);
    let prepared = tokio::task::spawn_blocking(work).await.expect("rendering does not panic");
    plan.resources.extend(prepared.into_iter().map(|one| planned(one, &redactor, context)));
    Ok(plan)
}

/// Returns the part of a journal entry that belongs to the current resources.
fn pending(entry: &JournalEntry, generation: &Generation, redactor: &Redactor) -> Option<PlannedReload> {
    let resources = &generation.confdir.resources;
    let wanted = |file: &&JournalFile| resources.iter().any(|resource| belongs_to(file, resource));
    let files: Vec<_> = entry.files.iter().filter(wanted).collect();
    let dests = files.iter().map(|file| file.dest.display().to_string()).collect();
    (!files.is_empty()).then(|| PlannedReload { reload: redactor.mask(&entry.describe()), dests })
}

impl Planned {
    fn new(resource: &str, dest: &str, change: PlannedChange) -> Self {
        Self { resource: resource.to_owned(), dest: dest.to_owned(), change, ..Self::default() }
    }
}

fn unreadable(line: ReportLine) -> Planned {
    let error = if let DestOutcome::Failed { text, .. } = line.outcome { Some(text) } else { None };
    Planned { error, ..Planned::new(&line.resource, &line.dest.display().to_string(), PlannedChange::Error) }
}

fn planned(prepared: Prepared, redactor: &Redactor, context: usize) -> Planned {
    let Prepared { job, result, .. } = prepared;
    let named = |change| Planned::new(&job.resource.name, &job.dest_text(), change);
    match result {
        Err(DestOutcome::Failed { text, .. }) => {
            Planned { error: Some(redactor.mask(&text)), ..named(PlannedChange::Error) }
        }
        Err(_) => named(PlannedChange::None),
        Ok(ready) if ready.difference.none() => named(PlannedChange::None),
        Ok(ready) => {
            let change = match (ready.difference.missing, ready.difference.bytes) {
                (true, _) => PlannedChange::Create,
                (false, true) => PlannedChange::Update,
                (false, false) => PlannedChange::Attributes,
            };
            let (reload, unusable) = match ReloadAction::of(&job.resource, &job.dest) {
                Ok(action) => (action.map(|action| action.describe()), None),
                Err(text) => (None, Some(format!("reload_cmd: {text}"))),
            };
            Planned {
                attributes: attributes(&ready),
                diff: diff(&ready, &job.dest_text(), redactor, context),
                reload,
                obstacle: ready.obstacle.clone().or(unusable),
                ..named(change)
            }
        }
    }
}

fn attributes(ready: &ReadyFile) -> Vec<String> {
    let difference = &ready.difference;
    let mode = difference.mode.map(|(have, want)| format!("mode {have:04o} would become {want:04o}"));
    let uid = difference.uid.map(|(have, want)| format!("owner {have} would become {want}"));
    let gid = difference.gid.map(|(have, want)| format!("group {have} would become {want}"));
    [mode, uid, gid].into_iter().flatten().collect()
}

fn diff(ready: &ReadyFile, dest: &str, redactor: &Redactor, context: usize) -> String {
    if !ready.difference.missing && !ready.difference.bytes {
        return String::new();
    }
    let old = match ready.target.read() {
        Ok(old) => old.unwrap_or_default(),
        Err(error) => return format!("# {dest}: the present file cannot be shown: {error}\n"),
    };
    let (Ok(old), Ok(new)) = (String::from_utf8(old), std::str::from_utf8(&ready.bytes)) else {
        return format!("Binary files {dest} and its rendering differ\n");
    };
    if ready.difference.missing && new.is_empty() {
        return format!("# {dest}: an empty file would be created\n");
    }
    let masked_new = redactor.mask(new);
    let masked_old = hide_replaced(&redactor.mask(&old), &masked_new);
    if masked_old == masked_new {
        return format!("# {dest}: only a redacted value changes\n");
    }
    let from = if ready.difference.missing { "/dev/null".to_owned() } else { format!("a{dest}") };
    LineDiff::new(&masked_old, &masked_new).unified(context, &from, &format!("b{dest}"))
}

/// Masks the old lines that a line with a secret replaces: they held the secret's earlier value, which no source knows
/// any more.
fn hide_replaced(old: &str, new: &str) -> String {
    let diff = LineDiff::new(old, new);
    let mut out = String::with_capacity(old.len());
    let mut at = 0;
    for (before, after) in diff.changes() {
        out.push_str(&diff.before()[at..before.start].concat());
        at = before.end;
        let before = &diff.before()[before];
        if after.iter().any(|line| line.contains(MASK)) {
            out.extend(before.iter().map(|line| if line.ends_with('\n') { MASK_LINE } else { MASK }));
        } else {
            out.push_str(&before.concat());
        }
    }
    out.push_str(&diff.before()[at..].concat());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_a_secret_is_hidden_and_its_neighbours_are_not() {
        let old = "host a\npass old\nport 1\n";
        let new = format!("host a\npass {MASK}\nport 2\nuser x\n");
        assert_eq!(hide_replaced(old, &new), format!("host a\n{MASK}\n{MASK}\n"));
        assert_eq!(hide_replaced("a\nb\n", "a\nc\n"), "a\nb\n");
    }
}
