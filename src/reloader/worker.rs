//! The daemon's loop: hints in, passes out.
//!
//! Events of the source, edits of the confdir, signals and timers are only hints. They mark resources as due; when the
//! wait of one is over, a pass renders it from the current values. Promises: events that come while a pass runs are
//! handled after it, never lost; a failing resource or reload is retried; a resource is never rendered from values
//! that do not cover its keys; a stop finishes the running command and leaves nothing half done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::background_read::BackgroundRead;
use super::deliver::{Deliverer, PassOutcome};
use super::dependents::Dependents;
use super::error::ReloaderError;
use super::follower::Follower;
use super::generation::{Generation, RejectedGeneration};
use super::housekeeping::sweep_stage_files;
use super::last_good::SnapshotCache;
use super::lock::Lock;
use super::once::problems_of;
use super::progress::ResourceProgress;
use super::schedule::{Debounce, RenderSchedule};
use super::settings::{Settings, UnknownFields};
use super::shutdown::DaemonEnd;
use super::shutdown::run_to_completion;
use super::value_cache::ValueCache;
use crate::readiness::Readiness;
use crate::source::{FileWatcher, Follow, Source, SourceEvent};
use crate::stop::{Signal, Signals, Stop};
use crate::values::Touched;

/// How often the confdir is checked without an event: some mounts never send any.
const CONFDIR_CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// A longer pass has waited for a command.
const SLOW_PASS_THRESHOLD: Duration = Duration::from_millis(50);

struct Worker {
    settings: Arc<Settings>,
    source: Arc<Source>,
    follow: Follow,
    generation: Generation,
    roots: Vec<String>,
    /// Dropped and started again when the roots change.
    follower: Follower,
    value_cache: ValueCache,
    dependents: Dependents,
    schedule: RenderSchedule,
    deliverer: Deliverer,
    progress: ResourceProgress,
    background_read: BackgroundRead,
    next_confdir_check: Instant,
    /// The confdir was read, so its watches may have to be set again.
    confdir_was_read: bool,
    next_reconcile: Option<Instant>,
}

/// Keeps every resource of the settings' confdir rendered until the stop signal.
///
/// # Errors
/// When it cannot start: no confdir, or an unusable state folder.
pub async fn run(
    settings: Arc<Settings>,
    source: Source,
    follow: Follow,
    mut signals: Signals,
    readiness: watch::Sender<Readiness>,
) -> Result<DaemonEnd, ReloaderError> {
    let mut file_watcher = FileWatcher::new();
    let _lock = lock_confdir(&settings)?;
    let mut worker = Worker::start(settings, source, follow, readiness)?;
    loop {
        // A folder that is watched only from now on may have changed since it was read.
        if std::mem::take(&mut worker.confdir_was_read) && file_watcher.set_paths(worker.generation.folders())
        {
            worker.reread(false);
        }
        let wake = worker.next_wake();
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Stop | Signal::StopNow => break,
                other => worker.handle_signal(other),
            },
            event = worker.follower.next() => worker.handle_all(event.map_err(ReloaderError::Loop)?),
            (result, forced) = worker.background_read.done() => worker.reread_is_done(result, forced),
            () = file_watcher.wait(None) => worker.reread(false),
            () = sleep_until(wake) => worker.tick(),
        }
        if worker.pass_if_due(&mut signals).await == Some(DaemonEnd::CutOff) {
            return Ok(DaemonEnd::CutOff);
        }
        if worker.deliverer.stop.requested() {
            break;
        }
    }
    tracing::info!("Captured the stop signal. Exiting...");
    worker.progress.stop_publisher()();
    worker.value_cache.save_now();
    Ok(DaemonEnd::Stopped)
}

/// Prevents a second daemon. confd allows one, so its users only get a warning.
fn lock_confdir(settings: &Settings) -> Result<Option<Lock>, ReloaderError> {
    match Lock::take(settings.state_dir.as_deref(), &settings.confdir) {
        Err(error) if settings.unknown_fields == UnknownFields::Warn => {
            tracing::warn!("{error}");
            Ok(None)
        }
        other => other,
    }
}

impl Worker {
    fn start(
        settings: Arc<Settings>,
        source: Source,
        follow: Follow,
        readiness: watch::Sender<Readiness>,
    ) -> Result<Self, ReloaderError> {
        let generation = Generation::load_to_follow(&settings);
        // A broken resource is reported and left out; a missing folder of resources is a mistake in the settings.
        problems_of(&generation)?;
        generation.log_resources();
        sweep_stage_files(&generation.confdir);
        let roots = generation.confdir.roots();
        let snapshot_cache =
            SnapshotCache::new(settings.state_dir.as_deref(), &settings.confdir, &source.describe());
        let deliverer = Deliverer::new(Arc::clone(&settings), Stop::new())?;
        let source = Arc::new(source);
        let follower = Follower::start(&source, roots.clone(), follow);
        let now = Instant::now();
        let progress = ResourceProgress::new(readiness, &settings, now);
        Ok(Self {
            settings,
            source,
            follow,
            generation,
            roots,
            follower,
            value_cache: ValueCache::new(snapshot_cache),
            dependents: Dependents::default(),
            schedule: RenderSchedule::default(),
            deliverer,
            progress,
            background_read: BackgroundRead::default(),
            next_confdir_check: now + CONFDIR_CHECK_INTERVAL,
            confdir_was_read: true,
            next_reconcile: follow.relist.map(|interval| now + interval),
        })
    }

    fn next_wake(&self) -> Instant {
        let reload = self.deliverer.next_due().filter(|_| !self.value_cache.is_empty());
        let due = self.schedule.next();
        let clocks = [self.next_reconcile, self.value_cache.save_due(), self.progress.ready_by()];
        let passes = [reload, due].into_iter().flatten();
        // Nothing is rendered while a read of the confdir is worth waiting for.
        let passes = passes.map(|at| self.background_read.wait_until().map_or(at, |until| at.max(until)));
        clocks.into_iter().flatten().chain(passes).fold(self.next_confdir_check, Instant::min)
    }

    /// Handles this event and all others in the queue, so that one pass covers them all.
    fn handle_all(&mut self, event: SourceEvent) {
        self.handle_event(event);
        while let Some(event) = self.follower.ready() {
            self.handle_event(event);
        }
    }

    fn handle_event(&mut self, event: SourceEvent) {
        let now = Instant::now();
        match event {
            SourceEvent::Snapshot(snapshot) => {
                tracing::debug!(
                    keys = snapshot.entries.len(),
                    revision = snapshot.revision,
                    "snapshot taken"
                );
                let (touched, is_newer) = self.value_cache.apply_snapshot(snapshot, &self.roots, now);
                self.mark_touched(&touched, now);
                if is_newer {
                    self.mark_all(now);
                    // Without any resource there is no pass that would report the status.
                    self.report_pass(&PassOutcome::default());
                }
            }
            SourceEvent::Changes { changes, revision } => {
                tracing::debug!(changes = changes.len(), revision, "changes taken");
                let touched = self.value_cache.apply_changes(changes, now);
                self.mark_touched(&touched, now);
            }
            SourceEvent::Down(error) => {
                // `source` logs the outage itself, once and then at intervals.
                tracing::debug!("the source is down: {error}");
                if self.value_cache.is_empty() {
                    self.progress.report_waiting(&self.source.describe());
                    if self.value_cache.load_last_good(&self.roots) {
                        self.mark_all(now);
                    }
                }
            }
            SourceEvent::Up => tracing::debug!("the source responds again"),
        }
    }

    fn mark_touched(&mut self, touched: &[Touched], now: Instant) {
        for index in self.dependents.touched(touched) {
            self.mark(index, now);
        }
    }

    /// Marks every resource whose keys are known.
    fn mark_all(&mut self, now: Instant) {
        for index in 0..self.generation.confdir.resources.len() {
            self.mark(index, now);
        }
    }

    /// Marks a resource, unless it reads keys that are not known yet: the snapshot that brings them marks it again.
    fn mark(&mut self, index: usize, now: Instant) {
        let confdir = &self.generation.confdir;
        let Some(resource) =
            confdir.resources.get(index).filter(|resource| self.value_cache.covers(resource))
        else {
            return;
        };
        let debounce = Debounce {
            debounce: resource.debounce.unwrap_or(self.settings.debounce),
            max_wait: resource.max_wait.unwrap_or(self.settings.max_wait),
        };
        self.schedule.mark(index, confdir.group(index), debounce, now);
    }

    /// Handles the timers.
    fn tick(&mut self) {
        let now = Instant::now();
        if self.next_confdir_check <= now {
            self.next_confdir_check = now + CONFDIR_CHECK_INTERVAL;
            self.reread(false);
        }
        if self.next_reconcile.is_some_and(|at| at <= now) {
            self.next_reconcile = self.follow.relist.map(|interval| now + interval);
            tracing::debug!("Reconciling every destination");
            self.reread(false);
            self.mark_all(now);
        }
        self.progress.expire_ready_timeout(now);
        if self.value_cache.save_due().is_some_and(|at| at <= now) {
            self.value_cache.save_in_background();
        }
    }

    fn handle_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Reread => {
                tracing::info!("Captured SIGHUP. Reloading configuration...");
                self.reread(true);
            }
            Signal::Dump => self.progress.dump(),
            Signal::Stop | Signal::StopNow => {}
        }
    }

    fn reread(&mut self, forced: bool) {
        self.background_read.start(&self.generation, &self.settings, forced);
    }

    fn reread_is_done(&mut self, result: Result<Option<Generation>, RejectedGeneration>, forced: bool) {
        self.confdir_was_read = true;
        match result {
            Ok(None) => {}
            Ok(Some(next)) => self.replace_generation(next),
            Err(RejectedGeneration { problems, next }) => {
                for problem in problems {
                    tracing::error!("{problem}");
                }
                tracing::error!("the edit is rejected; the previous resources and templates stay in use");
                self.generation.keep_stamps_of(&next);
                if forced {
                    self.mark_all(Instant::now());
                }
            }
        }
        if let Some(forced) = self.background_read.take_queued() {
            self.reread(forced);
        }
    }

    fn replace_generation(&mut self, next: Generation) {
        next.log_resources();
        let count = next.confdir.resources.len();
        tracing::info!("resources and templates were read again: {count} in use");
        self.generation = next;
        self.dependents = Dependents::default();
        self.schedule.clear();
        self.progress.clear();
        self.deliverer.reassign(&self.generation);
        // Resources whose keys are known continue at once; the others wait for the snapshot of the new roots.
        self.mark_all(Instant::now());
        let roots = self.generation.confdir.roots();
        if roots != self.roots {
            self.roots = roots;
            self.follower = Follower::start(&self.source, self.roots.clone(), self.follow);
        }
    }

    /// Runs a pass when a resource or a reload is due. Signals are handled meanwhile.
    async fn pass_if_due(&mut self, signals: &mut Signals) -> Option<DaemonEnd> {
        if self.value_cache.is_empty() || self.background_read.wait_until().is_some() {
            return None;
        }
        let now = Instant::now();
        let ready = self.schedule.take_due(now);
        let pending = self.deliverer.next_due().is_some_and(|at| at <= now);
        if ready.is_empty() && !pending {
            return None;
        }
        let (stop, stopping) = (self.deliverer.stop.clone(), self.progress.stop_publisher());
        let work = self.deliverer.pass(&self.generation, self.value_cache.values(), &ready);
        let finished =
            run_to_completion(work, signals, &stop, self.settings.shutdown_timeout, stopping).await;
        let Some((passed, signal)) = finished else { return Some(DaemonEnd::CutOff) };
        self.record(&ready, passed);
        if now.elapsed() > SLOW_PASS_THRESHOLD {
            // The confdir may have been edited meanwhile: the next render must use the new version.
            self.reread(false);
        }
        if let Some(signal) = signal {
            self.handle_signal(signal);
        }
        None
    }

    fn record(&mut self, ready: &BTreeSet<usize>, mut passed: PassOutcome) {
        let now = Instant::now();
        for (index, reads) in std::mem::take(&mut passed.reads) {
            self.dependents.record(index, reads);
        }
        for &index in ready {
            if self.progress.failed(index, &passed.report) {
                let wait = self.schedule.failed(index, now);
                tracing::debug!(resource = index, ?wait, "tried again later");
            } else {
                self.schedule.succeeded(index);
            }
        }
        self.report_pass(&passed);
    }

    fn report_pass(&mut self, passed: &PassOutcome) {
        let all = self.generation.confdir.resources.len();
        if !self.deliverer.stop.requested() {
            self.progress.report_pass(&passed.report, all, &self.deliverer, self.value_cache.is_stale());
        }
    }
}
