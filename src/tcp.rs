//! TCP sockets: the options of every port, and how long a connection to a lost machine lasts.
//!
//! Owns: the options of listening sockets and of connections.
//!
//! Promises: a connection to a machine that vanished silently (power, cable, firewall, NAT) fails within about its
//! [`Liveness::limit`], whether it is idle or has data to send. An idle connection to a live machine stays: its
//! kernel replies to the probes, its program need not. Only while data waits to be sent does a program that reads
//! nothing for that long look like a vanished machine.
//!
//! If the system refuses one of these options, a warning is logged once and the port works all the same.
//!
//! Leaves out: protocols and their timeouts.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket};

/// When the kernel probes the other machine, and when it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// Seconds without a packet before the first probe.
    idle: u32,
    /// Seconds from one probe to the next.
    interval: u32,
    /// Probes without a reply before the connection fails.
    probes: u32,
}

impl Liveness {
    /// For accepted connections: there may be many thousands, most of them idle.
    pub const ACCEPTED: Self = Self { idle: 20, interval: 5, probes: 5 };
    /// For connections to a store, on which changes must arrive within seconds.
    pub const TO_STORE: Self = Self { idle: 3, interval: 1, probes: 3 };
    /// For connections to a container engine, and to a member from a proxy or another member.
    pub const TO_SERVER: Self = Self { idle: 15, interval: 5, probes: 3 };

    /// Returns how long a machine may be gone before the connection fails. The kernel checks this when it
    /// retransmits: with pending data, it may take half as long again.
    #[must_use]
    pub const fn limit(self) -> Duration {
        Duration::from_secs((self.idle + self.interval * self.probes) as u64)
    }

    /// Sets it on a connection, or on a listening socket, whose accepted connections inherit it. Returns whether
    /// the system accepted all of it.
    pub fn set(self, socket: &impl AsFd) -> bool {
        let taken = [
            option_set("SO_KEEPALIVE", setsockopt(socket, sockopt::KeepAlive, &true)),
            option_set("TCP_KEEPIDLE", setsockopt(socket, sockopt::TcpKeepIdle, &self.idle)),
            option_set("TCP_KEEPINTVL", setsockopt(socket, sockopt::TcpKeepInterval, &self.interval)),
            option_set("TCP_KEEPCNT", setsockopt(socket, sockopt::TcpKeepCount, &self.probes)),
            // Probes are sent only when no data is pending: without this limit, unacknowledged data would be
            // retransmitted for a quarter of an hour. With it, Linux ignores the number of probes, so both must
            // have the same duration.
            limit_unacknowledged(socket, self.limit()),
        ];
        taken.iter().all(|taken| *taken)
    }

    /// Sets it on the connections of an HTTP client.
    pub fn configure_client(self, client: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
        client
            .tcp_keepalive(Duration::from_secs(self.idle.into()))
            .tcp_keepalive_interval(Duration::from_secs(self.interval.into()))
            .tcp_keepalive_retries(self.probes)
            .tcp_user_timeout(self.limit())
            .tcp_nodelay(true)
    }
}

/// Limits how long the other machine may leave sent data unacknowledged. Returns whether the system accepted it.
pub fn limit_unacknowledged(socket: &impl AsFd, limit: Duration) -> bool {
    let millis = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1);
    option_set("TCP_USER_TIMEOUT", setsockopt(socket, sockopt::TcpUserTimeout, &millis))
}

/// Makes a connection, or those that a listening socket accepts, send without delay: otherwise one message could
/// wait for the acknowledgement of the previous one. Returns whether the system accepted it.
pub fn set_nodelay(socket: &impl AsFd) -> bool {
    option_set("TCP_NODELAY", setsockopt(socket, sockopt::TcpNoDelay, &true))
}

/// Returns whether an option was set. A connection also works without a refused option.
fn option_set(option: &str, set: nix::Result<()>) -> bool {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let Err(error) = set else { return true };
    if WARNED.swap(true, Ordering::Relaxed) {
        tracing::debug!("the socket option {option} cannot be set: {error}");
    } else {
        tracing::warn!(
            "the socket option {option} cannot be set: {error}. Connections work without it, but those to a machine that \
             vanished may stay for hours, or messages may be delayed"
        );
    }
    false
}

/// Listens at `address`. Accepted connections send without delay and have [`Liveness::ACCEPTED`]. Needs a tokio
/// runtime.
///
/// # Errors
/// The system's error, when the address cannot be listened on.
pub fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    set_nodelay(&socket);
    Liveness::ACCEPTED.set(&socket);
    socket.bind(address)?;
    socket.listen(backlog)
}

/// Returns whether a connection has the options of [`listen`].
#[cfg(test)]
pub(crate) fn is_watched(stream: &tokio::net::TcpStream) -> bool {
    use nix::sys::socket::getsockopt;
    getsockopt(stream, sockopt::KeepAlive).unwrap()
        && getsockopt(stream, sockopt::TcpUserTimeout).unwrap() == 45_000
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::getsockopt;
    use tokio::net::TcpStream;

    use super::*;

    fn of(socket: &impl AsFd) -> (bool, u32, u32, u32, u32) {
        (
            getsockopt(socket, sockopt::KeepAlive).unwrap(),
            getsockopt(socket, sockopt::TcpKeepIdle).unwrap(),
            getsockopt(socket, sockopt::TcpKeepInterval).unwrap(),
            getsockopt(socket, sockopt::TcpKeepCount).unwrap(),
            getsockopt(socket, sockopt::TcpUserTimeout).unwrap(),
        )
    }

    #[test]
    fn an_option_refused_by_the_system_is_no_error_and_does_not_prevent_others() {
        let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(!Liveness::ACCEPTED.set(&near) && !set_nodelay(&near), "this is no TCP");
        assert!(!limit_unacknowledged(&near, Duration::from_secs(1)));
        assert!(getsockopt(&near, sockopt::KeepAlive).unwrap(), "what it knows is set");
    }

    #[tokio::test]
    async fn an_accepted_connection_is_probed_and_given_up_within_two_minutes() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let listener = listen(at.parse().unwrap(), 16).unwrap();
            let (near, accepted) =
                tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
            let (stream, _) = accepted.unwrap();
            assert_eq!(of(&stream), (true, 20, 5, 5, 45_000), "{at}");
            assert!(stream.nodelay().unwrap(), "{at}");
            assert!(!of(&near.unwrap()).0, "a socket nobody touched has none");
        }
        assert!(Liveness::ACCEPTED.limit() < Duration::from_secs(120));
    }
}
