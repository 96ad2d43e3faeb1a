//! Runs pending reloads: each once, verified, and rolled back where the verification fails.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::deliver::Deliverer;
use super::journal::JournalEntry;
use super::log_text::one_line;
use super::outcome::{DestOutcome, FailedStep, ReportLine};
use super::pending::PendingReload;
use super::probe::Verify;
use super::request::{FileChange, ReloadRequest, unrendered};
use super::verify::verify;

impl Deliverer {
    /// Takes the probe of the file in place at `dest`, for its pending reloads.
    pub(super) fn set_probe(&mut self, dest: &Path, verify: Option<&Arc<Verify>>) {
        if let Some(verify) = verify {
            self.pending.values_mut().for_each(|pending| pending.set_probe(dest, verify));
        }
    }

    /// Returns when the next pending reload may run, if any does not wait for a template.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let timed = self.pending.values().filter(|pending| !pending.waits_for_render);
        timed.map(|pending| pending.not_before.unwrap_or_else(Instant::now)).min()
    }

    /// Returns whether any reload is pending.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Runs every pending reload whose time has come. Once a stop was requested, it starts no further one: the rest is
    /// in the journal.
    pub(super) async fn run_due_reloads(&mut self) -> Vec<ReportLine> {
        let mut lines = Vec::new();
        let now = Instant::now();
        let due = |pending: &PendingReload| {
            !pending.waits_for_render && pending.not_before.is_none_or(|at| at <= now)
        };
        let keys: Vec<String> =
            self.pending.iter().filter(|(_, pending)| due(pending)).map(|(key, _)| key.clone()).collect();
        let mut ran = false;
        for key in keys {
            if ran && self.stop.requested() {
                break;
            }
            let Some(mut pending) = self.pending.remove(&key) else { continue };
            if let Some(at) = self.throttled(&key, &pending) {
                let why = format!("{} ran less than {:?} ago", pending.describe(), pending.interval());
                tracing::info!(dest = %pending.dests(), "Reload throttled: {why}; it runs when that time is over");
                lines.extend(
                    pending
                        .requests
                        .iter()
                        .map(|request| request.line_for(DestOutcome::Pending { why: why.clone() })),
                );
                pending.not_before = Some(at);
                self.pending.insert(key, pending);
                continue;
            }
            ran = true;
            lines.extend(self.run_reload(key, pending).await);
        }
        lines
    }

    fn throttled(&self, key: &str, pending: &PendingReload) -> Option<Instant> {
        let at = *self.last_run.get(key)? + pending.interval();
        (at > Instant::now()).then_some(at)
    }

    async fn run_reload(&mut self, key: String, mut pending: PendingReload) -> Vec<ReportLine> {
        if let Err(text) = self.run(&key, &pending).await {
            let wait = pending.backoff.next();
            let (state, again) = (pending.state(), self.next_retry(wait));
            pending.log_failure(&format!("reload failed; {state}; {again}"), &text);
            let outcome = DestOutcome::failed(FailedStep::Reload, format!("{}: {text}", pending.describe()));
            let lines = pending.requests.iter().map(|request| request.line_for(outcome.clone())).collect();
            pending.not_before = Some(Instant::now() + wait);
            self.pending.insert(key, pending);
            return lines;
        }
        match self.verify_all(&pending.requests).await {
            Ok(()) => {
                let (unknown, done): (Vec<_>, Vec<_>) =
                    pending.take_requests().into_iter().partition(ReloadRequest::is_unknown);
                for request in &done {
                    self.rejected.remove(&request.dest);
                }
                pending.requests = unknown;
                if pending.is_wanted() {
                    self.wait_for_render(key, pending);
                } else {
                    self.remove_entry(&pending);
                }
                done.iter().filter_map(ReloadRequest::log_success).collect()
            }
            Err(text) => self.roll_back(key, pending, &text).await,
        }
    }

    /// Keeps a reload pending whose probe is unknown until its template renders. It does not run again before that,
    /// since the result could not be verified.
    fn wait_for_render(&mut self, key: String, mut pending: PendingReload) {
        for request in &pending.requests {
            let dest = request.dest.display();
            tracing::warn!(
                "{dest} was reloaded; it is verified, after one more reload, once its template renders"
            );
        }
        pending.waits_for_render = true;
        self.pending.insert(key, pending);
    }

    /// Describes when a failed reload runs again. A one-shot ends before that.
    fn next_retry(&self, wait: Duration) -> String {
        match (self.one_shot, &self.settings.state_dir) {
            (false, _) => format!("tried again in {wait:.1?}"),
            (true, Some(_)) => "the next render or watch tries it again".to_owned(),
            (true, None) => {
                "nothing tries it again, because there is no state folder: run it by hand".to_owned()
            }
        }
    }

    /// Runs the reload, if there is one. The error is masked.
    async fn run(&mut self, key: &str, pending: &PendingReload) -> Result<(), String> {
        let Some(action) = &pending.action else { return Ok(()) };
        let result = action.run().await;
        if result.is_ok() {
            tracing::info!(reload = %pending.describe(), "reloaded for {}", pending.dests());
        }
        if pending.interval() > Duration::ZERO {
            self.last_run.insert(key.to_owned(), Instant::now());
        }
        result.map_err(|text| one_line(&self.redactor.mask(&text)))
    }

    fn remove_entry(&self, pending: &PendingReload) {
        let Some(entry) = &pending.entry else { return };
        if let Err(error) = self.journal.finish(entry) {
            tracing::warn!(
                "{} ran, but its journal entry could not be removed and it will run again: {error}",
                pending.describe()
            );
        }
    }

    async fn verify_all(&self, requests: &[ReloadRequest]) -> Result<(), String> {
        let mut asked = Vec::new();
        for check in requests.iter().filter_map(|request| request.verify.as_deref()) {
            if !asked.contains(&check) {
                verify(check).await.map_err(|text| one_line(&self.redactor.mask(&text)))?;
                asked.push(check);
            }
        }
        Ok(())
    }

    /// Rolls back every file of this reload, reloads once more, and remembers the refused contents.
    async fn roll_back(&mut self, key: String, mut pending: PendingReload, text: &str) -> Vec<ReportLine> {
        let is_new = pending.log_failure("verification failed, rolling back", text);
        let mut lines = Vec::new();
        let mut any = false;
        for request in &mut pending.requests {
            let outcome = match restore_previous(request) {
                Ok(()) => {
                    any = true;
                    if let FileChange::Swapped(digest) = &request.content {
                        self.rejected.insert(request.dest.clone(), digest.clone());
                    }
                    if request.content == FileChange::Removed {
                        // The file is ours again; if this is not recorded, the file only stays when its entry is
                        // removed.
                        self.manifest.add(&request.resource.name, vec![request.dest.clone()]).ok();
                    }
                    request.content = FileChange::RolledBack;
                    request.verify = unrendered(&request.resource);
                    let back = match &request.previous {
                        Some((_, None)) => "there was no file before, so it was removed again",
                        _ => "the previous file is back in service",
                    };
                    // A daemon remembers a content that failed its verification, a one-shot ends.
                    let held = if self.one_shot {
                        "the next render tries the new content again"
                    } else {
                        "the new content is not tried again until its input changes"
                    };
                    let dest = request.dest.display();
                    tracing::warn!(resource = %request.resource.name, %dest, "{back}; {held}");
                    format!("{text}; {back}")
                }
                Err(error) => {
                    let (dest, message) = (request.dest.display(), "the previous file could not be restored");
                    if is_new {
                        tracing::error!(resource = %request.resource.name, %dest, "{message}: {error}");
                    }
                    format!("{text}; {message}: {error}")
                }
            };
            lines.push(request.line_for(DestOutcome::failed(FailedStep::Verify, outcome)));
        }
        if any {
            self.reload_previous(key, pending).await;
        } else {
            // There is nothing to roll back to: the service may still recover, and until then the verification is
            // retried.
            pending.not_before = Some(Instant::now() + pending.backoff.next());
            self.pending.insert(key, pending);
        }
        lines
    }

    /// Reloads after a rollback. This reload is journaled like any other, so that a crash does not lose it.
    async fn reload_previous(&mut self, key: String, mut pending: PendingReload) {
        for request in &mut pending.requests {
            request.previous = None;
        }
        if pending.action.is_none() {
            return;
        }
        let mut entry = JournalEntry::new(key.clone());
        entry.files = pending.requests.iter().map(ReloadRequest::journal_file).collect();
        if let Err(error) = self.journal.record(&entry) {
            tracing::warn!("the reload after the rollback could not be recorded: {error}");
        }
        pending.entry = Some(entry);
        match self.run(&key, &pending).await {
            Ok(()) => self.remove_entry(&pending),
            Err(text) => {
                let wait = pending.backoff.next();
                let again = self.next_retry(wait);
                pending.log_failure(&format!("the reload after the rollback failed; {again}"), &text);
                pending.not_before = Some(Instant::now() + wait);
                self.pending.insert(key, pending);
            }
        }
    }
}

/// Restores the earlier state: the previous file, or no file.
fn restore_previous(request: &ReloadRequest) -> Result<(), String> {
    let Some((target, previous)) = &request.previous else { return Err("it was not kept".to_owned()) };
    target.restore(previous.as_ref()).map_err(|error| error.to_string())
}
