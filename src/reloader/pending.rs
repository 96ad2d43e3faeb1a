//! A reload that has to run: its destinations, and when it is tried.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::fault_log::fault_of;
use super::journal::JournalEntry;
use super::log_text::named;
use super::probe::Verify;
use super::reload::ReloadAction;
use super::request::{FileChange, ReloadRequest};
use crate::backoff::Backoff;

/// A reload that has to run, and its destinations.
pub(super) struct PendingReload {
    /// `None` where only a verification is due.
    pub(super) action: Option<ReloadAction>,
    /// Its journal entry, if it has one.
    pub(super) entry: Option<JournalEntry>,
    pub(super) requests: Vec<ReloadRequest>,
    pub(super) backoff: Backoff,
    pub(super) not_before: Option<Instant>,
    /// The failure that was logged last.
    logged: Option<String>,
    /// It ran, but its probe is unknown until a template renders; another run before that could not be verified.
    pub(super) waits_for_render: bool,
}

impl PendingReload {
    pub(super) fn new(action: Option<ReloadAction>) -> Self {
        Self {
            action,
            entry: None,
            requests: Vec::new(),
            backoff: retry_backoff(),
            not_before: None,
            logged: None,
            waits_for_render: false,
        }
    }

    /// Adds a destination: the reload is then due at once.
    pub(super) fn add(&mut self, request: ReloadRequest, entry: Option<JournalEntry>) {
        self.entry = entry.or(self.entry.take());
        (self.not_before, self.waits_for_render, self.logged) = (None, false, None);
        match self.requests.iter_mut().find(|present| present.dest == request.dest) {
            // The rollback goes to the file before the first swap that is not verified yet.
            Some(present) => {
                let previous = present.previous.take().or(request.previous);
                *present = ReloadRequest { previous, ..request };
            }
            None => self.requests.push(request),
        }
    }

    /// Adds a destination that was in this reload before; the wait continues.
    pub(super) fn add_waiting(&mut self, request: ReloadRequest) {
        self.waits_for_render &= request.is_unknown();
        self.requests.push(request);
    }

    pub(super) fn take_requests(&mut self) -> Vec<ReloadRequest> {
        std::mem::take(&mut self.requests)
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.requests.is_empty()
    }

    pub(super) fn is_verified(&self) -> bool {
        self.requests.iter().any(|request| request.resource.verify.is_some())
    }

    /// Takes the probe of a file that was rendered again and is in place.
    pub(super) fn set_probe(&mut self, dest: &Path, verify: &Arc<Verify>) {
        for request in self.requests.iter_mut().filter(|request| request.dest == dest) {
            if matches!(request.content, FileChange::Swapped(_) | FileChange::Present) {
                request.verify = Some(Arc::clone(verify));
                if std::mem::take(&mut self.waits_for_render) {
                    self.not_before = None;
                }
            }
        }
    }

    pub(super) fn interval(&self) -> Duration {
        self.requests.iter().map(|request| request.resource.min_reload_interval).max().unwrap_or_default()
    }

    pub(super) fn describe(&self) -> String {
        self.action.as_ref().map_or_else(|| "verification".to_owned(), ReloadAction::describe)
    }

    /// Returns its resources as the log names them.
    pub(super) fn resources(&self) -> String {
        named(self.requests.iter().map(|request| request.resource.name.clone()))
    }

    /// Returns its destinations as the log names them.
    pub(super) fn dests(&self) -> String {
        named(self.requests.iter().map(|request| request.dest.display().to_string()))
    }

    /// Logs a failure, and returns whether it is a new one: the same one at each retry is only for debugging.
    pub(super) fn log_failure(&mut self, what: &str, text: &str) -> bool {
        let (resource, dest, reload) = (self.resources(), self.dests(), self.describe());
        let fault = fault_of(text);
        let is_new = self.logged.as_ref() != Some(&fault);
        if is_new {
            tracing::error!(%resource, %dest, %reload, "{what}: {text}");
        } else {
            tracing::debug!(%resource, %dest, %reload, "{what}: {text}");
        }
        self.logged = Some(fault);
        is_new
    }

    /// Describes the file on disk while the reload has not succeeded.
    pub(super) fn state(&self) -> &'static str {
        let any =
            |wanted: fn(&FileChange) -> bool| self.requests.iter().any(|request| wanted(&request.content));
        if any(|content| matches!(content, FileChange::Swapped(_))) {
            "the new file is in place, but the service has not taken it"
        } else if any(|content| *content == FileChange::Removed) {
            "the file is removed, but the service has not been reloaded"
        } else if any(|content| *content == FileChange::RolledBack) {
            "the previous file is in place, but the service has not taken it"
        } else {
            "the file in place is the wanted one, but the service has not taken it"
        }
    }
}

/// Returns the wait between two tries.
pub(super) fn retry_backoff() -> Backoff {
    Backoff::new(Duration::from_secs(1), Duration::from_secs(60))
}
