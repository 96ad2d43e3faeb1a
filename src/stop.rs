//! Turns signals into one stop token, and runs named loops, of which the first to end early is the failure.
//!
//! Owns: `Stop`, the token that every long-running part watches; `Signals`, which turns SIGTERM, SIGINT, SIGHUP and
//! SIGUSR1 into decisions; `Loops`, the only place where tasks are started. Promises: a loop that ends before a
//! stop was requested is reported with its name and reason, also after a panic; a drain ends at its deadline and
//! names the loops that did not. Leaves out: acting on a signal. The caller requests the stop, re-reads or dumps.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::future::{Future, pending};
use std::io;
use std::time::Duration;

use tokio::signal::unix::{self, SignalKind};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// The request to end in good order. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    token: CancellationToken,
}

impl Stop {
    /// Returns a stop that was not requested yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests the stop from all holders of a clone. It cannot be undone.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Returns whether the stop was requested.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until the stop is requested; returns at once if it already was.
    pub async fn wait(&self) {
        self.token.cancelled().await;
    }
}

/// The meaning of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The first SIGTERM or SIGINT: end in good order.
    Stop,
    /// A further SIGTERM or SIGINT: end at once.
    StopNow,
    /// SIGHUP: read the configuration again.
    Reread,
    /// SIGUSR1: write the state to the log.
    Dump,
}

/// The signals of this process, from `listen` on.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
    user: unix::Signal,
    stop_seen: bool,
}

impl Signals {
    /// Installs the handlers. From here on these signals no longer end the process by themselves, so the caller
    /// must call [`Signals::next`]. Needs a tokio runtime.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hangup: unix::signal(SignalKind::hangup())?,
            user: unix::signal(SignalKind::user_defined1())?,
            stop_seen: false,
        })
    }

    /// Returns the next signal. Dropping the future loses none. The system merges equal signals that arrive faster
    /// than they are read, so the two of a "stop now" must be some milliseconds apart.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.terminate.recv() => self.stop(),
            Some(()) = self.interrupt.recv() => self.stop(),
            Some(()) = self.hangup.recv() => Signal::Reread,
            Some(()) = self.user.recv() => Signal::Dump,
            else => pending().await,
        }
    }

    fn stop(&mut self) -> Signal {
        if std::mem::replace(&mut self.stop_seen, true) { Signal::StopNow } else { Signal::Stop }
    }
}

/// A loop that ended before the stop was requested.
#[derive(Debug, PartialEq, Eq)]
pub struct EndedLoop {
    /// The name it was spawned under.
    pub name: &'static str,
    /// How it ended.
    pub why: EndReason,
}

/// How a loop ended.
#[derive(Debug, PartialEq, Eq)]
pub enum EndReason {
    /// It returned without an error, although its work never ends.
    Returned,
    /// It returned this error.
    Failed(String),
    /// It panicked with this message.
    Panicked(String),
}

impl Display for EndedLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            EndReason::Returned => write!(f, "the {} loop ended without a reason", self.name),
            EndReason::Failed(error) => write!(f, "the {} loop failed: {error}", self.name),
            EndReason::Panicked(message) => write!(f, "the {} loop panicked: {message}", self.name),
        }
    }
}

impl std::error::Error for EndedLoop {}

/// The result of a finished loop: whether its end was requested, and its result.
type LoopResult = (bool, Result<(), String>);

/// The named loops of the process. Dropping it aborts them.
#[derive(Debug)]
pub struct Loops {
    stop: Stop,
    set: JoinSet<LoopResult>,
    names: HashMap<Id, &'static str>,
}

impl Loops {
    /// Returns an empty set; `stop` distinguishes a requested end from a failure.
    #[must_use]
    pub fn new(stop: Stop) -> Self {
        Self { stop, set: JoinSet::new(), names: HashMap::new() }
    }

    /// Starts a loop. It must run until the stop, which it watches itself. Needs a tokio runtime.
    pub fn spawn<F, E>(&mut self, name: &'static str, future: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + 'static,
    {
        let stop = self.stop.clone();
        let handle = self.set.spawn(async move {
            // `{:#}` prints the whole chain of causes.
            let result = future.await.map_err(|error| format!("{error:#}"));
            (stop.requested(), result)
        });
        self.names.insert(handle.id(), name);
    }

    /// Returns the first loop that ends before the stop was requested. Later ends are expected: then, and without
    /// any loops, this waits forever, so select it against [`Stop::wait`]. Dropping the future loses no failure.
    pub async fn first_failure(&mut self) -> EndedLoop {
        while let Some(joined) = self.set.join_next_with_id().await {
            if let Some((name, asked_for, why)) = self.take(joined) {
                if !asked_for {
                    return EndedLoop { name, why };
                }
                log_late(name, &why);
            }
        }
        pending().await
    }

    /// Requests the stop and waits until every loop has ended or `deadline` has passed. Returns the names of those
    /// that had not ended; they are aborted at their next await.
    pub async fn drain(&mut self, deadline: Duration) -> Vec<&'static str> {
        self.stop.request();
        let now = Instant::now();
        // A deadline too far to be a point in time becomes a day.
        let until = now.checked_add(deadline).unwrap_or(now + Duration::from_secs(86_400));
        while let Ok(Some(joined)) = timeout_at(until, self.set.join_next_with_id()).await {
            if let Some((name, _, why)) = self.take(joined) {
                log_late(name, &why);
            }
        }
        self.set.abort_all();
        let mut left: Vec<_> = self.names.drain().map(|(_, name)| name).collect();
        left.sort_unstable();
        left
    }

    /// Returns name, whether the end was requested, and reason of a joined task; `None` for an aborted one.
    fn take(
        &mut self,
        joined: Result<(Id, LoopResult), JoinError>,
    ) -> Option<(&'static str, bool, EndReason)> {
        match joined {
            Ok((id, (asked_for, result))) => {
                let why = result.map_or_else(EndReason::Failed, |()| EndReason::Returned);
                Some((self.names.remove(&id)?, asked_for, why))
            }
            Err(error) => {
                let name = self.names.remove(&error.id())?;
                let payload = error.try_into_panic().ok()?;
                // A stop never causes a panic, but after one there is nobody left to report it to.
                Some((name, self.stop.requested(), EndReason::Panicked(panic_message(payload.as_ref()))))
            }
        }
    }
}

fn log_late(name: &'static str, why: &EndReason) {
    match why {
        EndReason::Returned => tracing::debug!(name, "loop ended"),
        EndReason::Failed(error) => tracing::warn!(name, error, "loop failed while stopping"),
        EndReason::Panicked(message) => tracing::error!(name, message, "loop panicked while stopping"),
    }
}

/// Returns the message of a panic.
pub fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{Signal as Raw, raise};

    async fn until(stop: Stop) -> Result<(), String> {
        stop.wait().await;
        Ok(())
    }

    #[tokio::test]
    async fn a_stop_reaches_every_clone_and_is_permanent() {
        let stop = Stop::new();
        let other = stop.clone();
        assert!(!other.requested());
        stop.request();
        other.wait().await;
        assert!(other.requested());
    }

    #[tokio::test]
    async fn the_first_loop_to_end_early_is_the_failure() {
        let stop = Stop::new();
        let mut loops = Loops::new(stop.clone());
        loops.spawn("steady", until(stop.clone()));
        loops.spawn("broken", async { Err("disk gone") });
        let ended = loops.first_failure().await;
        assert_eq!(ended, EndedLoop { name: "broken", why: EndReason::Failed("disk gone".into()) });
        assert_eq!(ended.to_string(), "the broken loop failed: disk gone");
        assert!(loops.drain(Duration::from_secs(5)).await.is_empty());
    }

    #[tokio::test]
    async fn a_quiet_return_and_a_panic_are_failures_too() {
        let mut loops = Loops::new(Stop::new());
        loops.spawn("quiet", async { Ok::<(), String>(()) });
        assert_eq!(loops.first_failure().await, EndedLoop { name: "quiet", why: EndReason::Returned });
        async fn panics() -> Result<(), String> {
            panic!("index {}", 7)
        }
        loops.spawn("bad", panics());
        assert_eq!(
            loops.first_failure().await,
            EndedLoop { name: "bad", why: EndReason::Panicked("index 7".into()) }
        );
    }

    #[tokio::test]
    async fn an_end_after_the_stop_is_no_failure() {
        let stop = Stop::new();
        let mut loops = Loops::new(stop.clone());
        loops.spawn("good", until(stop.clone()));
        stop.request();
        let waited = tokio::time::timeout(Duration::from_millis(100), loops.first_failure()).await;
        assert!(waited.is_err(), "{waited:?}");
    }

    #[tokio::test]
    async fn a_failure_before_the_stop_is_one_even_when_seen_after_it() {
        let stop = Stop::new();
        let mut loops = Loops::new(stop.clone());
        loops.spawn("early", async { Err::<(), _>("no") });
        tokio::task::yield_now().await;
        stop.request();
        assert_eq!(loops.first_failure().await.name, "early");
    }

    #[tokio::test]
    async fn a_drain_ends_at_its_deadline_and_names_what_did_not() {
        let stop = Stop::new();
        let mut loops = Loops::new(stop.clone());
        loops.spawn("good", until(stop.clone()));
        loops.spawn("stuck", pending::<Result<(), String>>());
        let begun = Instant::now();
        assert_eq!(loops.drain(Duration::from_millis(50)).await, ["stuck"]);
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert!(loops.drain(Duration::MAX).await.is_empty(), "the second drain has nothing left to wait for");
    }

    // One test for all signals: they belong to the process, so two tests at once would see each other's.
    #[tokio::test]
    async fn signals_become_decisions_and_the_second_stop_is_immediate() {
        let mut signals = Signals::listen().unwrap();
        let dropped = tokio::time::timeout(Duration::from_millis(10), signals.next()).await;
        assert!(dropped.is_err());
        for (raw, meaning) in [
            (Raw::SIGHUP, Signal::Reread),
            (Raw::SIGUSR1, Signal::Dump),
            (Raw::SIGTERM, Signal::Stop),
            (Raw::SIGINT, Signal::StopNow),
            (Raw::SIGTERM, Signal::StopNow),
            (Raw::SIGHUP, Signal::Reread),
        ] {
            raise(raw).unwrap();
            assert_eq!(signals.next().await, meaning, "{raw}");
        }
    }
}
