//! How far every resource has come, and what the outside is told of it.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;
use tokio::time::Instant;

use super::deliver::Deliverer;
use super::outcome::{DestOutcome, Report, ReportLine};
use super::phase::DaemonPhase;
use super::settings::{Ready, Settings};

/// How many failing resources the status names.
const MAX_NAMED_RESOURCES: usize = 5;

/// Which resources have rendered, which are failing.
pub(super) struct Progress {
    rendered: BTreeSet<usize>,
    /// Those that failed, while a file from before is in service.
    served: BTreeSet<usize>,
    /// By name, as the status text names them.
    failing: BTreeMap<usize, String>,
    phase: watch::Sender<DaemonPhase>,
    rule: Ready,
    ready: bool,
    /// When the wait for a file in service ends.
    ready_by: Option<Instant>,
}

/// What to do with a resource after a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: it is as it should be, or a clock of its own takes care of it.
    Settled,
    /// Render it again by and by.
    Retry,
}

impl Progress {
    pub(super) fn new(phase: watch::Sender<DaemonPhase>, settings: &Settings, now: Instant) -> Self {
        Self {
            rendered: BTreeSet::new(),
            served: BTreeSet::new(),
            failing: BTreeMap::new(),
            phase,
            rule: settings.ready,
            ready: false,
            ready_by: settings.ready_timeout.and_then(|time| now.checked_add(time)),
        }
    }

    /// The resources are other ones now.
    pub(super) fn clear(&mut self) {
        self.rendered.clear();
        self.served.clear();
        self.failing.clear();
    }

    /// Takes in what a pass said of a resource that was due. A file whose reload failed is in place: it has
    /// rendered, and its reload has a clock of its own. (A reload can need the very service that waits for us to
    /// be ready.)
    pub(super) fn judge(&mut self, index: usize, report: &Report) -> Verdict {
        let lines = report.lines.iter().filter(|line| line.index == Some(index));
        let retried = |line: &&ReportLine| matches!(&line.outcome, DestOutcome::Failed { step, .. } if step.is_retried());
        let mut failed = lines.filter(retried).peekable();
        if failed.peek().is_none() {
            self.rendered.insert(index);
            return Verdict::Settled;
        }
        if !self.ready && self.rule == Ready::InService && failed.all(has_file) {
            self.served.insert(index);
        }
        Verdict::Retry
    }

    /// Takes in the outcomes of a pass and tells how things stand.
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
            // What was written says so itself.
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
        let pending = if deliverer.has_pending() { ", reloads owed" } else { "" };
        let (rendered, failing) = (self.rendered.len(), self.failing.len());
        let names = self.names();
        let text =
            format!("{rendered} of {all} resources rendered, {failing} failing{names}{pending}{stale}");
        self.ready |= self.rendered.union(&self.served).count() == all;
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

    /// Nothing can be rendered yet.
    pub(super) fn wait_for(&self, what: &str) {
        self.set(format!("waiting for {what}"));
    }

    /// When the wait for a file in service ends, if it has an end.
    pub(super) fn ready_by(&self) -> Option<Instant> {
        self.ready_by.filter(|_| !self.ready)
    }

    /// Ends that wait when its time is over: whoever waits for READY may do without the file.
    pub(super) fn stop_waiting(&mut self, now: Instant) {
        if self.ready_by().is_none_or(|at| at > now) {
            return;
        }
        self.ready = true;
        let text = match &*self.phase.borrow() {
            DaemonPhase::Starting(text) | DaemonPhase::Ready(text) => text.clone(),
            DaemonPhase::Stopping => return,
        };
        tracing::warn!(
            "--ready-timeout is over: ready, although not every resource has a file in service ({text})"
        );
        self.set(text);
    }

    /// A handle that tells of the stop, for use while something else runs.
    pub(super) fn stopper(&self) -> impl Fn() + use<> {
        let phase = self.phase.clone();
        move || {
            phase.send_replace(DaemonPhase::Stopping);
        }
    }

    fn set(&self, text: String) {
        let phase = if self.ready { DaemonPhase::Ready(text) } else { DaemonPhase::Starting(text) };
        self.phase.send_if_modified(|present| {
            let changed = *present != phase;
            *present = phase;
            changed
        });
    }

    /// SIGUSR1: how things stand, into the log.
    pub(super) fn dump(&self) {
        let (rendered, failing) = (self.rendered.len(), self.failing.len());
        tracing::info!(rendered, failing, phase = ?*self.phase.borrow(), "status");
    }
}

/// Whether the service of a destination that failed has a file all the same. An entry of a `for_each` that cannot be a
/// file has none to wait for.
fn has_file(line: &ReportLine) -> bool {
    line.dest.to_string_lossy().contains("{{") || line.dest.exists()
}
