//! Reports the state to the service manager, with systemd's `sd_notify` protocol.
//!
//! READY is sent once every resource has a file in service, not when the process has started: a unit that waits for it
//! finds its configuration in place.

use std::convert::Infallible;
use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use tokio::sync::watch;

use crate::readiness::Readiness;
use crate::stop::{Loops, Stop};

/// Returns where to announce the state. A loop reports it to the service manager, if `NOTIFY_SOCKET` names one;
/// otherwise the channel is closed.
pub(super) fn readiness(waiting_for: &str, loops: &mut Loops, stop: &Stop) -> watch::Sender<Readiness> {
    let (readiness, announced) = watch::channel(Readiness::Starting(waiting_for.to_owned()));
    if let Some(notifier) = Notifier::from_environment() {
        loops.spawn("notify", notifier.follow(announced, stop.clone()));
    }
    readiness
}

/// Announces that it is ready and in this state, unless it is stopping.
pub(super) fn ready(readiness: &watch::Sender<Readiness>, state: String) {
    readiness.send_if_modified(|now| {
        let next = Readiness::Ready(state);
        let news = !matches!(now, Readiness::Stopping) && *now != next;
        if news {
            *now = next;
        }
        news
    });
}

/// The service manager's socket.
struct Notifier {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Notifier {
    /// Returns the socket that `NOTIFY_SOCKET` names, if any.
    fn from_environment() -> Option<Self> {
        let name = env::var_os("NOTIFY_SOCKET")?;
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path)),
        };
        let socket = UnixDatagram::unbound().and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        match (address, socket) {
            (Ok(address), Ok(socket)) => Some(Self { socket, address }),
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!("NOTIFY_SOCKET cannot be used: {error}");
                None
            }
        }
    }

    /// Reports every change of readiness until the stop.
    async fn follow(self, mut readiness: watch::Receiver<Readiness>, stop: Stop) -> Result<(), Infallible> {
        let mut ready = false;
        loop {
            let now = readiness.borrow_and_update().clone();
            match now {
                Readiness::Starting(text) => self.send(&format!("STATUS={text}")),
                Readiness::Ready(text) if ready => self.send(&format!("STATUS={text}")),
                Readiness::Ready(text) => {
                    ready = true;
                    self.send(&format!("READY=1\nSTATUS={text}"));
                }
                Readiness::Stopping => self.send("STOPPING=1"),
            }
            tokio::select! {
                biased;
                changed = readiness.changed() => if changed.is_err() {
                    // The worker has ended; only the stop is left to wait for.
                    stop.wait().await;
                    return Ok(());
                },
                () = stop.wait() => return Ok(()),
            }
        }
    }

    fn send(&self, text: &str) {
        if let Err(error) = self.socket.send_to_addr(text.as_bytes(), &self.address) {
            tracing::debug!("cannot reach the service manager: {error}");
        }
    }
}
