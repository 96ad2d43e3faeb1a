//! Reading the confdir again without holding anything up.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::generation::{Generation, RejectedGeneration};
use super::settings::Settings;

/// How long a pass waits for a reading.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// What a reading comes to.
type ReadResult = Result<Option<Generation>, RejectedGeneration>;

/// At most one reading under way, on a thread of its own, and whether another one is wanted after it.
#[derive(Default)]
pub(super) struct BackgroundRead {
    running: Option<(JoinHandle<ReadResult>, bool)>,
    started: Option<Instant>,
    again: Option<bool>,
}

impl BackgroundRead {
    /// Starts a reading; while one runs, notes that another is wanted. `asked`: a person did, so it is read even
    /// if nothing seems to have changed, and answered.
    pub(super) fn start(&mut self, generation: &Generation, settings: &Arc<Settings>, asked: bool) {
        if self.running.is_some() {
            self.again = Some(self.again.unwrap_or(false) || asked);
            return;
        }
        let (generation, settings) = (generation.clone(), Arc::clone(settings));
        let work = move || generation.reread(&settings, asked);
        self.running = Some((tokio::task::spawn_blocking(work), asked));
        self.started = Some(Instant::now());
    }

    /// Until when a pass should wait for the reading under way: it may change what is rendered. Not for ever, since a
    /// confdir may lie on a mount that hangs.
    pub(super) fn worth_waiting(&self) -> Option<Instant> {
        self.running
            .as_ref()
            .and(self.started)
            .map(|started| started + READ_TIMEOUT)
            .filter(|until| *until > Instant::now())
    }

    /// The result of the reading under way, and whether a person asked for it. Dropping the future loses nothing.
    pub(super) async fn done(&mut self) -> (ReadResult, bool) {
        let Some((handle, asked)) = &mut self.running else { return pending().await };
        let asked = *asked;
        let result = handle.await.expect("reading a confdir does not panic");
        self.running = None;
        (result, asked)
    }

    /// The reading that was wanted meanwhile, if any: whether a person asked for it.
    pub(super) fn wanted(&mut self) -> Option<bool> {
        self.again.take()
    }
}
