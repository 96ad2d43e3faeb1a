//! Rereads the confdir on a thread of its own, so that the daemon's loop never waits for the disk.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::generation::{Generation, RejectedGeneration};
use super::settings::Settings;

/// How long a pass waits for a read that is under way.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// The result of one read.
type ReadResult = Result<Option<Generation>, RejectedGeneration>;

/// At most one read of the confdir under way, and whether another one is wanted after it.
#[derive(Default)]
pub(super) struct BackgroundRead {
    running: Option<(JoinHandle<ReadResult>, bool)>,
    started: Option<Instant>,
    queued: Option<bool>,
}

impl BackgroundRead {
    /// Starts a read; while one runs, notes that another is wanted. `forced`: the user requested it (SIGHUP), so the
    /// confdir is read even if nothing seems to have changed, and the result is logged.
    pub(super) fn start(&mut self, generation: &Generation, settings: &Arc<Settings>, forced: bool) {
        if self.running.is_some() {
            self.queued = Some(self.queued.unwrap_or(false) || forced);
            return;
        }
        let (generation, settings) = (generation.clone(), Arc::clone(settings));
        let work = move || generation.reread(&settings, forced);
        self.running = Some((tokio::task::spawn_blocking(work), forced));
        self.started = Some(Instant::now());
    }

    /// Returns how long a pass should wait for the read under way, since it may change what is rendered. The wait is
    /// bounded, because a confdir may lie on a mount that hangs.
    pub(super) fn wait_until(&self) -> Option<Instant> {
        self.running
            .as_ref()
            .and(self.started)
            .map(|started| started + READ_TIMEOUT)
            .filter(|until| *until > Instant::now())
    }

    /// Returns the result of the current read, and whether the user requested it. Dropping the future loses nothing.
    pub(super) async fn done(&mut self) -> (ReadResult, bool) {
        let Some((handle, forced)) = &mut self.running else { return pending().await };
        let forced = *forced;
        let result = handle.await.expect("reading a confdir does not panic");
        self.running = None;
        (result, forced)
    }

    /// Takes the read that was requested meanwhile, if any: whether the user requested it.
    pub(super) fn take_queued(&mut self) -> Option<bool> {
        self.queued.take()
    }
}
