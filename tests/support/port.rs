//! Ports that belong to one test.
//!
//! A port found by binding to 0 lies in the range that the kernel uses for outgoing connections, so under load it may
//! be taken before its server binds it, or when that server restarts. These ports lie below that range and are held by
//! a file lock, which other test processes respect and which ends with the process.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
use std::path::Path;

/// A port of 127.0.0.1 that no other test gets while this lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _claim: File,
}

impl Port {
    /// Claims a port that nobody listens on.
    pub fn claim() -> Self {
        let locks = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ports");
        fs::create_dir_all(&locks).unwrap();
        let (low, high) = (20_000, first_ephemeral().max(20_100));
        for attempt in 0..1000_u64 {
            let span = u64::from(high - low);
            let number = low + u16::try_from(random(attempt) % span).unwrap();
            let claim = File::create(locks.join(number.to_string())).unwrap();
            if claim.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _claim: claim };
            }
        }
        panic!("no free port between {low} and {high}");
    }

    /// Returns the number.
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// Returns `127.0.0.1:number`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}

/// Returns a random number: the standard hasher has a new seed for each value of it.
pub fn random(salt: u64) -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(salt);
    hasher.finish()
}

fn first_ephemeral() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32_768)
}
