//! Delivers renderings: checks each staged file, records the reloads in the journal, swaps the files in.
//!
//! This order makes sure that no reload is lost. A file is swapped only after its check passed and after its reload is
//! on disk as a journal entry; `run_pending` then runs the reloads. A step that fails leaves the old file in service.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::command_text::{self, CommandPaths};
use super::error::ReloaderError;
use super::expand::{DestinationOwners, Expanded, expand};
use super::fault_log::FaultLog;
use super::generation::Generation;
use super::job::Job;
use super::journal::{JournalEntry, JournalFile, ReloadJournal};
use super::log_text::one_line;
use super::manifest::Manifest;
use super::outcome::{DestOutcome, FailedStep, Report, ReportLine};
use super::pending::PendingReload;
use super::place::{CheckedFile, OrphanedFile, SwapBatch, place_all, waits_for};
use super::prepare::{PrepareMode, Prepared, ReadyFile, prepare_all};
use super::probe::Verify;
use super::redact::Redactor;
use super::reload::{ReloadAction, run_command};
use super::request::{ReloadRequest, line};
use super::settings::Settings;
use super::state_file::digest;
use crate::command::Program;
use crate::stop::Stop;
use crate::template::Reads;
use crate::values::Values;

/// What one pass leaves for the next: journal entries, refused contents, owned files.
pub(super) struct Deliverer {
    pub(super) settings: Arc<Settings>,
    pub(super) journal: ReloadJournal,
    /// Journal entries of earlier runs that no resource has adopted yet.
    pub(super) left_over: Vec<JournalEntry>,
    pub(super) pending: BTreeMap<String, PendingReload>,
    /// Journal entries of this run whose resource was deleted: they stay on disk, are not retried, and are adopted if
    /// the resource comes back.
    pub(super) orphans: Vec<JournalEntry>,
    /// Digests of contents that failed their verification, by destination: not tried again until the content changes.
    pub(super) rejected: HashMap<PathBuf, String>,
    /// When each throttled action last ran.
    pub(super) last_run: HashMap<String, Instant>,
    pub(super) redactor: Redactor,
    pub(super) stop: Stop,
    /// Whether the program ends after one pass, so that a failed step waits for the next run.
    pub(super) one_shot: bool,
    pub(super) manifest: Manifest,
    pub(super) faults: FaultLog,
    owners: DestinationOwners,
    /// Destinations known to be mounts, so that each is logged once.
    mounts: BTreeSet<PathBuf>,
}

/// What a pass did: the report, and what each rendered resource read.
#[derive(Default)]
pub(super) struct PassOutcome {
    pub(super) report: Report,
    pub(super) reads: BTreeMap<usize, Reads>,
}

/// Decides about one rendering: returns the digest of what goes in service if its check passes, or the outcome.
/// `rejected` is the digest of the content that failed its verification before.
fn decide(settings: &Settings, ready: &ReadyFile, rejected: Option<&String>) -> Result<String, DestOutcome> {
    if ready.difference.none() {
        return Err(DestOutcome::InSync);
    }
    if let Some(obstacle) = &ready.obstacle {
        return Err(DestOutcome::failed(FailedStep::Stage, obstacle));
    }
    if settings.noop {
        return Err(DestOutcome::WouldChange);
    }
    let digest = digest(&ready.bytes);
    if rejected == Some(&digest) {
        let text = "the same content failed its verification before; waiting for another";
        return Err(DestOutcome::failed(FailedStep::Verify, text));
    }
    Ok(digest)
}

impl Deliverer {
    pub(super) fn new(settings: Arc<Settings>, stop: Stop) -> Result<Self, ReloaderError> {
        let open = |dir: Option<&Path>| -> std::io::Result<_> {
            Ok((ReloadJournal::open(dir, &settings.confdir)?, Manifest::open(dir, &settings.confdir)?))
        };
        let (journal, manifest) = match open(settings.state_dir.as_deref()) {
            Ok(opened) => opened,
            Err(error) => {
                let error = ReloaderError::state(settings.state_dir.as_deref(), error);
                if !settings.state_dir_may_fail {
                    return Err(error);
                }
                tracing::warn!(
                    "{error}; until then, a reload that is pending when this run ends is forgotten"
                );
                open(None).map_err(|error| ReloaderError::state(None, error))?
            }
        };
        let runs_reloads = !settings.noop && !settings.sync_only;
        let left_over = if runs_reloads { journal.left_over() } else { Vec::new() };
        Ok(Self {
            settings,
            journal,
            left_over,
            pending: BTreeMap::new(),
            orphans: Vec::new(),
            rejected: HashMap::new(),
            last_run: HashMap::new(),
            redactor: Redactor::default(),
            stop,
            one_shot: false,
            manifest,
            faults: FaultLog::default(),
            owners: DestinationOwners::default(),
            mounts: BTreeSet::new(),
        })
    }

    /// Runs one pass over the resources that are due.
    pub(super) async fn pass(
        &mut self,
        generation: &Generation,
        values: &Arc<Values>,
        due: &BTreeSet<usize>,
    ) -> PassOutcome {
        self.redactor = Redactor::new(&self.settings.redact, values);
        let Expanded { jobs, gone, failed, reads } =
            expand(generation, values, due, &self.manifest, &mut self.owners);
        let mut passed = PassOutcome { report: Report { lines: failed }, reads };
        self.adopt(generation, due);
        // Also those that will have no line here: a swapped file reports after its reload.
        for resource in due.iter().filter_map(|&index| generation.confdir.resources.get(index)) {
            self.faults.tried(&resource.name);
        }
        let mut accepted = Vec::new();
        for one in self.prepare(generation, values, jobs).await {
            passed.reads.entry(one.job.index).or_default().merge(one.reads.clone());
            if self.stop.requested() {
                let why = "stopped before the swap; the next run does it".to_owned();
                passed.report.lines.push(one.line_for(DestOutcome::Skipped { why }));
                continue;
            }
            let Prepared { job, result, .. } = one;
            let (index, resource, dest) = (job.index, Arc::clone(&job.resource), job.dest.clone());
            let accepting = match result {
                Ok(ready) => self.accept(job, ready).await,
                Err(outcome) => Err(outcome),
            };
            match accepting {
                Ok(file) => accepted.push(file),
                Err(outcome) => passed.report.lines.push(line(index, &resource, &dest, outcome)),
            }
        }
        if !self.stop.requested() {
            let gone = keep_until_replaced(gone, &mut passed.report);
            let gone = keep_without_reload(gone, &mut passed.report);
            let requests = self.place(accepted, gone, &mut passed.report).await;
            self.record_all(requests, &mut passed.report);
        }
        self.log_failures(&mut passed.report);
        passed.report.lines.extend(self.run_due_reloads().await);
        passed
    }

    async fn prepare(&self, generation: &Generation, values: &Arc<Values>, jobs: Vec<Job>) -> Vec<Prepared> {
        if jobs.is_empty() {
            return Vec::new();
        }
        // With `keep_stage_file`, even a noop run stages its files.
        let only_compare = self.settings.noop && !self.settings.keep_stage_file;
        let mode = if only_compare { PrepareMode::Compare } else { PrepareMode::Stage };
        let (generation, values) = (generation.clone(), Arc::clone(values));
        let work = move || prepare_all(&generation, &values, jobs, mode);
        // A panic in a template function is a defect worth a crash: hiding it would render nothing for ever.
        tokio::task::spawn_blocking(work).await.expect("rendering does not panic")
    }

    /// Carries out the decision about one prepared file, and checks it. The error is its outcome, if it is not to be
    /// swapped in.
    async fn accept(&mut self, job: Job, ready: ReadyFile) -> Result<CheckedFile, DestOutcome> {
        let action = ReloadAction::of(&job.resource, &job.dest)
            .map_err(|text| DestOutcome::failed(FailedStep::Resource, format!("reload_cmd: {text}")))?;
        let dest = job.dest.display();
        let decision = decide(&self.settings, &ready, self.rejected.get(&job.dest));
        if decision == Err(DestOutcome::InSync) {
            tracing::debug!("Target config {dest} in sync");
            self.in_sync(&job, ready.verify, action);
            return Err(DestOutcome::InSync);
        }
        if decision == Err(DestOutcome::WouldChange) {
            tracing::warn!("Noop mode enabled. {dest} will not be modified");
            tracing::info!("Target config {dest} out of sync ({})", ready.difference);
            if let Some(staged) = ready.staged {
                // Outside the macro: its arguments are not evaluated when the level is off.
                let kept = staged.keep();
                tracing::info!("Keeping staged file: {}", kept.display());
            }
            return Err(DestOutcome::WouldChange);
        }
        let digest = decision?;
        if self.faults.fails(&job.resource.name, &job.dest) {
            tracing::debug!("Target config {dest} out of sync ({})", ready.difference);
        } else {
            tracing::info!("Target config {dest} out of sync ({})", ready.difference);
        }
        let staged = ready.staged.expect("what differs was staged, unless only a comparison was asked for");
        let check = self.check_command(&job, staged.path())?;
        if let Err(text) = run_check(check).await {
            let advice = if self.settings.keep_stage_file {
                format!("the staged file is kept: {}", staged.keep().display())
            } else {
                "to look at the staged file, render with --keep-stage-file".to_owned()
            };
            self.faults.refused(&job.dest, digest);
            return Err(DestOutcome::failed(FailedStep::Check, refused(&text, &advice)));
        }
        let (target, verify) = (ready.target, ready.verify);
        Ok(CheckedFile { job, target, staged, digest, verify, action, keep_previous: false })
    }

    /// Notes that a destination has the wanted content, and requests a reload where one is forced.
    fn in_sync(&mut self, job: &Job, verify: Option<Arc<Verify>>, action: Option<ReloadAction>) {
        self.record_owned(job);
        self.set_probe(&job.dest, verify.as_ref());
        // The wanted content differs from the refused one: if that one comes back later, it is tried again.
        self.rejected.remove(&job.dest);
        if self.settings.force_reload && !self.settings.noop {
            let present = ReloadRequest::present(job.index, &job.resource, &job.dest);
            self.record(ReloadRequest { verify, ..present }, action);
        }
    }

    /// Records a `for_each` file that is already in sync as ours, whoever wrote it first.
    fn record_owned(&self, job: &Job) {
        if job.resource.for_each.is_none() || self.settings.noop {
            return;
        }
        if let Err(error) = self.manifest.add(&job.resource.name, vec![job.dest.clone()]) {
            tracing::warn!("cannot record {} in the list of our files: {error}", job.dest.display());
        }
    }

    /// Returns the check of a staged file, if it has one to run.
    fn check_command(&self, job: &Job, staged: &Path) -> Result<Option<Check>, DestOutcome> {
        let Some(check) = job.resource.check.as_ref().filter(|_| !self.settings.sync_only) else {
            return Ok(None);
        };
        let paths = CommandPaths { src: staged, dest: &job.dest };
        let program = command_text::fill(&check.program, paths)
            .map_err(|text| DestOutcome::failed(FailedStep::Resource, format!("check_cmd: {text}")))?;
        Ok(Some(Check { program, env: paths.env(), timeout: check.timeout }))
    }

    /// Masks and logs the failures so far, each distinct one once. `run_pending` logs its own, with the wait before the
    /// next try.
    fn log_failures(&mut self, report: &mut Report) {
        for line in &mut report.lines {
            let (resource, dest) = (&line.resource, line.dest.display());
            match &mut line.outcome {
                DestOutcome::Failed { step, text } => {
                    *text = self.redactor.mask(text);
                    if *step == FailedStep::Check {
                        *text = one_line(text);
                    }
                    if self.faults.is_new(resource, &line.dest, Some(*step), text) {
                        tracing::error!(%resource, %dest, %step, "{text}");
                    } else {
                        tracing::debug!(%resource, %dest, %step, "{text}");
                    }
                }
                DestOutcome::Skipped { why } => {
                    *why = self.redactor.mask(why);
                    if self.faults.is_new(resource, &line.dest, None, why) {
                        tracing::info!(%resource, %dest, "left as it is: {why}");
                    } else {
                        tracing::debug!(%resource, %dest, "left as it is: {why}");
                    }
                }
                DestOutcome::InSync
                | DestOutcome::WouldChange
                | DestOutcome::Updated
                | DestOutcome::Removed
                | DestOutcome::Pending { .. } => {}
            }
        }
        self.faults.end_pass();
    }

    /// Swaps in everything that was accepted. Returns the destinations that need a reload.
    async fn place(
        &mut self,
        mut accepted: Vec<CheckedFile>,
        gone: Vec<OrphanedFile>,
        report: &mut Report,
    ) -> Vec<ReloadRequest> {
        if accepted.is_empty() && gone.is_empty() {
            return Vec::new();
        }
        if self.settings.noop {
            for gone in gone {
                tracing::info!("Target config {} would be removed", gone.dest.display());
                report.lines.push(line(gone.index, &gone.resource, &gone.dest, DestOutcome::WouldChange));
            }
            return Vec::new();
        }
        let entries =
            if self.settings.sync_only { BTreeMap::new() } else { self.entries_for(&accepted, &gone) };
        let verified = self.verified_actions(&accepted, &gone);
        for one in &mut accepted {
            let shared = one.action.as_ref().is_some_and(|action| verified.contains(&action.key()));
            one.keep_previous = shared || one.job.resource.verify.is_some();
        }
        let swap = SwapBatch {
            accepted,
            gone,
            entries,
            journal: self.journal.clone(),
            keep_staged: self.settings.keep_stage_file,
            manifest: self.manifest.clone(),
        };
        let swapped = tokio::task::spawn_blocking(move || place_all(swap));
        let swapped = swapped.await.expect("placing does not panic");
        for dest in swapped.in_place {
            if !self.mounts.contains(&dest) {
                tracing::warn!(
                    "{} is a mount of its own: it is written in place, not swapped",
                    dest.display()
                );
                self.mounts.insert(dest);
            }
        }
        report.lines.extend(swapped.failed);
        swapped.requests
    }

    /// Builds the journal entries of these swaps, one for each distinct reload.
    fn entries_for(&self, accepted: &[CheckedFile], gone: &[OrphanedFile]) -> BTreeMap<String, JournalEntry> {
        let swaps = accepted.iter().map(|one| {
            let resource = one.job.resource.name.clone();
            (
                one.action.clone(),
                JournalFile { dest: one.job.dest.clone(), digest: one.digest.clone(), resource },
            )
        });
        let removals = gone.iter().map(|gone| {
            let file = JournalFile {
                dest: gone.dest.clone(),
                digest: String::new(),
                resource: gone.resource.name.clone(),
            };
            (gone.action(), file)
        });
        let mut entries = BTreeMap::<String, JournalEntry>::new();
        for (action, file) in swaps.chain(removals) {
            let Some(key) = action.map(|action| action.key()) else { continue };
            entries.entry(key.clone()).or_insert_with(|| JournalEntry::new(key)).files.push(file);
        }
        entries
    }

    /// Returns the reloads with at least one verified destination: all files they cover may have to be rolled back.
    fn verified_actions(&self, accepted: &[CheckedFile], gone: &[OrphanedFile]) -> BTreeSet<String> {
        let new = accepted.iter().filter(|one| one.job.resource.verify.is_some());
        let new = new.filter_map(|one| one.action.as_ref()).map(ReloadAction::key);
        let removed = gone.iter().filter(|gone| gone.resource.verify.is_some());
        let removed = removed.filter_map(OrphanedFile::action).map(|action| action.key());
        let pending =
            self.pending.iter().filter(|(_, pending)| pending.is_verified()).map(|(key, _)| key.clone());
        new.chain(removed).chain(pending).collect()
    }
}

/// A check command with everything filled in.
struct Check {
    program: Program,
    env: Vec<(String, OsString)>,
    timeout: Duration,
}

async fn run_check(check: Option<Check>) -> Result<(), String> {
    let Some(Check { program, env, timeout }) = check else { return Ok(()) };
    let failed = |text| format!("{}: {text}", one_line(&program.to_string()));
    run_command(&program, &env, timeout).await.map_err(failed)
}

/// Builds the error text of a refused file: why, what stays in service and what to do, then the command's output.
fn refused(text: &str, advice: &str) -> String {
    let (first, output) =
        text.split_once('\n').map_or((text, String::new()), |(first, output)| (first, format!("\n{output}")));
    format!("{first}; the file in service stays as it is; {advice}{output}")
}

/// Keeps a file whose reload cannot be run for its path: removed without a reload, it would stay in service unseen.
fn keep_without_reload(gone: Vec<OrphanedFile>, report: &mut Report) -> Vec<OrphanedFile> {
    let mut removed = Vec::new();
    for gone in gone {
        match ReloadAction::of(&gone.resource, &gone.dest) {
            Ok(_) => removed.push(gone),
            Err(text) => {
                let outcome = DestOutcome::failed(FailedStep::Resource, format!("reload_cmd: {text}"));
                report.lines.push(line(gone.index, &gone.resource, &gone.dest, outcome));
            }
        }
    }
    removed
}

/// Keeps the old file of a renamed entry until its new file is in place. Returns the files that may be removed now.
fn keep_until_replaced(gone: Vec<OrphanedFile>, report: &mut Report) -> Vec<OrphanedFile> {
    let mut missing: BTreeMap<usize, PathBuf> = BTreeMap::new();
    let gone_from: BTreeSet<usize> = gone.iter().map(|gone| gone.index).collect();
    // Without a value, an optional entry's file is not created either.
    let undone =
        |line: &&ReportLine| line.outcome.is_failure() || matches!(line.outcome, DestOutcome::Skipped { .. });
    for line in report.lines.iter().filter(undone) {
        let index = line.index.filter(|index| gone_from.contains(index));
        if let Some(index) = index.filter(|_| line.dest.symlink_metadata().is_err()) {
            missing.entry(index).or_insert_with(|| line.dest.clone());
        }
    }
    let (kept, removed): (Vec<_>, Vec<_>) =
        gone.into_iter().partition(|gone| missing.contains_key(&gone.index));
    for OrphanedFile { index, resource, dest } in kept {
        let why = waits_for(&missing[&index]);
        report.lines.push(line(index, &resource, &dest, DestOutcome::Skipped { why }));
    }
    removed
}
