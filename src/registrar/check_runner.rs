//! Runs the checks that should be running, each at its own interval.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::check::{CheckKind, CheckResult};
use super::container::short;
use super::engine::Engine;
use super::model::{ByService, Probe, ServiceId};
use crate::backoff::Backoff;

/// The shortest delay of a retry before the first pass, so that a new service gets its key soon after it responds.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(25);
/// The shortest delay before a command that hung is tried again.
const MIN_HANG_RETRY_DELAY: Duration = Duration::from_secs(30);
const MAX_HANG_RETRY_DELAY: Duration = Duration::from_secs(600);
/// How many results may be queued.
const RESULT_QUEUE_CAPACITY: usize = 256;

/// The result of one check.
pub(super) struct CheckReport {
    pub(super) service_id: ServiceId,
    pub(super) probe: Probe,
    pub(super) result: Result<(), String>,
}

/// The running checks.
pub(super) struct CheckRunner {
    engine: Arc<Engine>,
    running: ByService<(Probe, AbortHandle)>,
    tasks: JoinSet<()>,
    report_sender: mpsc::Sender<CheckReport>,
    reports: mpsc::Receiver<CheckReport>,
}

impl CheckRunner {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        let (report_sender, reports) = mpsc::channel(RESULT_QUEUE_CAPACITY);
        Self { engine, running: ByService::new(), tasks: JoinSet::new(), report_sender, reports }
    }

    /// Starts and stops checks so that exactly the wanted ones run.
    pub(super) fn set_wanted(&mut self, wanted: &ByService<Probe>) {
        self.running.retain(|service_id, (probe, task)| {
            let stays = wanted.get(service_id) == Some(probe);
            if !stays {
                task.abort();
            }
            stays
        });
        for (service_id, probe) in wanted {
            if !self.running.contains_key(service_id) {
                let work = repeat(
                    Arc::clone(&self.engine),
                    service_id.clone(),
                    probe.clone(),
                    self.report_sender.clone(),
                );
                self.running.insert(service_id.clone(), (probe.clone(), self.tasks.spawn(work)));
            }
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Returns the next result.
    pub(super) async fn next(&mut self) -> CheckReport {
        // This struct holds a sender, so the channel never closes.
        match self.reports.recv().await {
            Some(checked) => checked,
            None => std::future::pending().await,
        }
    }

    /// Returns the next result if one is queued.
    pub(super) fn try_next(&mut self) -> Option<CheckReport> {
        self.reports.try_recv().ok()
    }
}

/// Runs one check repeatedly.
async fn repeat(
    engine: Arc<Engine>,
    service_id: ServiceId,
    probe: Probe,
    report_sender: mpsc::Sender<CheckReport>,
) {
    let interval = probe.check.interval;
    let mut sooner = Backoff::new(MIN_RETRY_DELAY, interval);
    // An engine cannot stop a command that it started, so one that hangs must not be started again and again.
    let mut hung = Backoff::new(interval.max(MIN_HANG_RETRY_DELAY), MAX_HANG_RETRY_DELAY.max(interval));
    let mut passed = false;
    loop {
        let begun = Instant::now();
        let result = match probe.check.run(&probe.target, &engine).await {
            CheckResult::Passed => Some(Ok(())),
            CheckResult::Failed(why) => Some(Err(why)),
            // An engine that does not run the command says nothing about the service.
            CheckResult::Unknown(why) => {
                tracing::debug!("cannot check {} port {}: {why}", short(&service_id.0), service_id.1);
                None
            }
        };
        if let Some(result) = result {
            passed |= result.is_ok();
            let checked = CheckReport { service_id: service_id.clone(), probe: probe.clone(), result };
            if report_sender.send(checked).await.is_err() {
                return;
            }
        }
        // The jitter spreads out the checks of many containers that started together.
        let jitter = interval.mul_f64(rand::random_range(0.0..0.1));
        let hangs =
            matches!(probe.check.kind, CheckKind::Command(_)) && begun.elapsed() >= probe.check.timeout;
        let pause = match (hangs, passed) {
            (true, _) => hung.next(),
            (false, true) => interval.saturating_sub(jitter),
            (false, false) => sooner.next(),
        };
        sleep(pause).await;
    }
}
