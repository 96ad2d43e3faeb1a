//! Which resources have rendered, and the status that the daemon reports.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;
use tokio::time::Instant;

use super::deliver::Deliverer;
use super::outcome::{DestOutcome, Report, ReportLine};
use super::settings::{Ready, Settings};
use crate::readiness::Readiness;

/// The status names at most this many failing resources.
const MAX_NAMED_RESOURCES: usize = 5;

/// Which resources have rendered, which are failing.
pub(super) struct ResourceProgress {
    rendered: BTreeSet<usize>,
    /// Resources that failed while an earlier file is in service.
    in_service: BTreeSet<usize>,
    /// By name, as the status text names them.
    failing: BTreeMap<usize, String>,
    readiness: watch::Sender<Readiness>,
    rule: Ready,
    ready: bool,
    /// When the daemon stops waiting for files in service.
    ready_by: Option<Instant>,
}

impl ResourceProgress {
    pub(super) fn new(readiness: watch::Sender<Readiness>, settings: &Settings, now: Instant) -> Self {
        Self {
            rendered: BTreeSet::new(),
            in_service: BTreeSet::new(),
            failing: BTreeMap::new(),
            readiness,
            rule: settings.ready,
            ready: false,
            ready_by: settings.ready_timeout.and_then(|time| now.checked_add(time)),
        }
    }

    /// Starts again after the resources were reread.
    pub(super) fn clear(&mut self) {
        self.rendered.clear();
        self.in_service.clear();
        self.failing.clear();
    }

    /// Returns whether a resource that was due has to be rendered again. A file whose reload failed is in place: the
    /// resource has rendered, and the reload is retried separately. (The reload may need a service that waits until this
    /// daemon is ready.)
    pub(super) fn failed(&mut self, index: usize, report: &Report) -> bool {
        let lines = report.lines.iter().filter(|line| line.index == Some(index));
        let retried = |line: &&ReportLine| matches!(&line.outcome, DestOutcome::Failed { step, .. } if step.is_retried());
        let mut failed = lines.filter(retried).peekable();
        if failed.peek().is_none() {
            self.rendered.insert(index);
            return false;
        }
        if !self.ready && self.rule == Ready::InService && failed.all(has_file) {
            self.in_service.insert(index);
        }
        true
    }

    /// Adds the outcomes of a pass and publishes the status.
    pub(super) fn report_pass(&mut self, report: &Report, all: usize, deliverer: &Deliverer, stale: bool) {
        let failed: BTreeSet<usize> = report
            .lines
            .iter()
            .filter(|line| line.outcome.is_failure())
            .filter_map(|line| line.index)
            .collect();
        for line in &report.lines {
            let recovered = line.index.filter(|index| !failed.contains(index));
            let Some(resource) = recovered.and_then(|index| self.failing.remove(&index)) else { continue };
            // A file that was written has its own log line.
            if line.outcome == DestOutcome::InSync {
                tracing::info!(%resource, dest = %line.dest.display(), "in order again, nothing had to be changed");
            }
        }
        for line in report.lines.iter().filter(|line| line.outcome.is_failure()) {
            if let Some(index) = line.index {
                self.failing.insert(index, line.resource.clone());
            }
        }
        let stale = if stale { ", from the last good snapshot (stale)" } else { "" };
        let pending = if deliverer.has_pending() { ", reloads pending" } else { "" };
        let (rendered, failing) = (self.rendered.len(), self.failing.len());
        let names = self.names();
        let text =
            format!("{rendered} of {all} resources rendered, {failing} failing{names}{pending}{stale}");
        self.ready |= self.rendered.union(&self.in_service).count() == all;
        self.set(text);
    }

    fn names(&self) -> String {
        if self.failing.is_empty() {
            return String::new();
        }
        let names: Vec<&str> = self.failing.values().take(MAX_NAMED_RESOURCES).map(String::as_str).collect();
        let more = if self.failing.len() > MAX_NAMED_RESOURCES { ", ..." } else { "" };
        format!(" ({}{more})", names.join(", "))
    }

    /// Publishes that nothing can be rendered yet, and why.
    pub(super) fn report_waiting(&self, what: &str) {
        self.set(format!("waiting for {what}"));
    }

    /// Returns when the daemon stops waiting for files in service, if that wait has an end.
    pub(super) fn ready_by(&self) -> Option<Instant> {
        self.ready_by.filter(|_| !self.ready)
    }

    /// Ends that wait when its time is over: a unit that waits for READY may work without the file.
    pub(super) fn expire_ready_timeout(&mut self, now: Instant) {
        if self.ready_by().is_none_or(|at| at > now) {
            return;
        }
        self.ready = true;
        let text = match &*self.readiness.borrow() {
            Readiness::Starting(text) | Readiness::Ready(text) => text.clone(),
            Readiness::Stopping => return,
        };
        tracing::warn!(
            "--ready-timeout is over: ready, although not every resource has a file in service ({text})"
        );
        self.set(text);
    }

    /// Returns a function that publishes the stop, for use while something else runs.
    pub(super) fn stop_publisher(&self) -> impl Fn() + use<> {
        let readiness = self.readiness.clone();
        move || {
            readiness.send_replace(Readiness::Stopping);
        }
    }

    fn set(&self, text: String) {
        let readiness = if self.ready { Readiness::Ready(text) } else { Readiness::Starting(text) };
        self.readiness.send_if_modified(|present| {
            let changed = *present != readiness;
            *present = readiness;
            changed
        });
    }

    /// Logs the status (SIGUSR1).
    pub(super) fn dump(&self) {
        let (rendered, failing) = (self.rendered.len(), self.failing.len());
        tracing::info!(rendered, failing, "status: {}", *self.readiness.borrow());
    }
}

/// Returns whether a failed destination still has a file. A `for_each` entry with an invalid name has none to wait
/// for.
fn has_file(line: &ReportLine) -> bool {
    line.dest.to_string_lossy().contains("{{") || line.dest.exists()
}
