//! How far every resource has come, and what the outside is told of it.

use std::collections::BTreeSet;

use tokio::sync::watch;

use super::deliver::Deliverer;
use super::outcome::{Outcome, Report};
use super::phase::Phase;

/// Which resources have rendered, which are failing.
pub(super) struct Progress {
    rendered: BTreeSet<usize>,
    failing: BTreeSet<usize>,
    phase: watch::Sender<Phase>,
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
    pub(super) fn new(phase: watch::Sender<Phase>) -> Self {
        Self { rendered: BTreeSet::new(), failing: BTreeSet::new(), phase }
    }

    /// The resources are other ones now.
    pub(super) fn clear(&mut self) {
        self.rendered.clear();
        self.failing.clear();
    }

    /// Takes in what a pass said of a resource that was due. A file whose reload failed is in place: it has
    /// rendered, and its reload has a clock of its own. (A reload can need the very service that waits for us to
    /// be ready.)
    pub(super) fn judge(&mut self, index: usize, report: &Report) -> Verdict {
        let mut lines = report.lines.iter().filter(|line| line.index == Some(index));
        let retried =
            |outcome: &Outcome| matches!(outcome, Outcome::Failed { step, .. } if step.is_retried());
        if lines.any(|line| retried(&line.outcome)) {
            return Verdict::Retry;
        }
        self.rendered.insert(index);
        Verdict::Settled
    }

    /// Takes in the outcomes of a pass and tells how things stand.
    pub(super) fn tell(&mut self, report: &Report, all: usize, deliverer: &Deliverer, stale: bool) {
        for index in report.lines.iter().filter_map(|line| line.index) {
            self.failing.remove(&index);
        }
        let failed = report.lines.iter().filter(|line| line.outcome.is_failure());
        self.failing.extend(failed.filter_map(|line| line.index));
        let stale = if stale { ", from the last good snapshot (stale)" } else { "" };
        let owing = if deliverer.is_owing() { ", reloads owed" } else { "" };
        let (rendered, failing) = (self.rendered.len(), self.failing.len());
        let text = format!("{rendered} of {all} resources rendered, {failing} failing{owing}{stale}");
        let was_ready = matches!(*self.phase.borrow(), Phase::Ready(_));
        let is_ready = was_ready || rendered == all;
        self.set(if is_ready { Phase::Ready(text) } else { Phase::Starting(text) });
    }

    /// Nothing can be rendered yet.
    pub(super) fn wait_for(&self, what: &str) {
        self.set(Phase::Starting(format!("waiting for {what}")));
    }

    /// A handle that tells of the stop, for use while something else runs.
    pub(super) fn stopper(&self) -> impl Fn() + use<> {
        let phase = self.phase.clone();
        move || {
            phase.send_replace(Phase::Stopping);
        }
    }

    fn set(&self, phase: Phase) {
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
