//! Passwords: hashed with argon2id, and checked at a bounded cost.
//!
//! A check deliberately takes tens of milliseconds and 19 MiB. So only a few run at a time, few may wait, and a correct
//! password is cached as a digest that only this process can compute: an HMAC of the name, the stored hash and the
//! password, with a random key of this process. A changed password has another hash, so an old digest does not match.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::StatusCode;
use sha2::Sha256;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::api::respond::Rejection;

/// The longest password.
pub(super) const MAX_PASSWORD_BYTES: usize = 1024;
/// Hashes computed at the same time.
const MAX_CONCURRENT_HASHES: usize = 2;
/// Checks that may wait for their turn.
const MAX_QUEUED_HASHES: usize = 256;
/// How long a check may wait.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of users whose digests are cached.
const MAX_CACHED_PASSWORDS: usize = 1024;
/// The hash to check against when the user does not exist, so that it takes as long as for an existing one.
const UNKNOWN_USER_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyBpdCE$\
                      nnXnKJD2qcCqvAuAGv5fJ3q6q3mmkQhY2nJ2b4Pso0U";

/// Hashes and checks passwords.
pub(in crate::api) struct Passwords {
    key: [u8; 32],
    /// The digest of the last correct password, by user.
    digests: Mutex<HashMap<String, PasswordDigest>>,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

type PasswordDigest = [u8; 32];

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords(hidden)")
    }
}

impl Passwords {
    pub(in crate::api) fn new() -> Self {
        let permits = Arc::new(Semaphore::new(MAX_CONCURRENT_HASHES));
        Self { key: rand::random(), digests: Mutex::default(), permits, waiting: AtomicUsize::new(0) }
    }

    /// Returns the hash of a new password, as a PHC string.
    pub(super) async fn hash(&self, password: Vec<u8>) -> Result<String, Rejection> {
        let salt: [u8; 16] = rand::random();
        let hashed = self.run(move || {
            let hash: Result<PasswordHash, _> = hasher().hash_password_with_salt(&password, &salt);
            hash.map(|hash| hash.to_string()).ok()
        });
        hashed.await?.ok_or_else(|| {
            Rejection::Message(StatusCode::INTERNAL_SERVER_ERROR, "the password cannot be hashed".into())
        })
    }

    /// Returns whether the password matches `hash`, the user's. Without a hash it never does, but the check takes
    /// as long.
    pub(super) async fn check(
        &self,
        user: &str,
        hash: Option<&str>,
        password: Vec<u8>,
    ) -> Result<bool, Rejection> {
        if password.len() > MAX_PASSWORD_BYTES {
            return Ok(false);
        }
        let digest = self.digest(user, hash.unwrap_or(UNKNOWN_USER_HASH), &password);
        if hash.is_some() && self.is_cached(user, &digest) {
            return Ok(true);
        }
        let against = hash.unwrap_or(UNKNOWN_USER_HASH).to_owned();
        let right = self.run(move || {
            PasswordHash::new(&against).is_ok_and(|hash| hasher().verify_password(&password, &hash).is_ok())
        });
        let right = right.await? && hash.is_some();
        if right {
            self.cache(user, digest);
        }
        Ok(right)
    }

    /// Runs `work` on a thread that may block, when its turn comes.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Rejection> {
        let busy = || {
            let says = "too many passwords are being checked; try again later";
            Rejection::Message(StatusCode::SERVICE_UNAVAILABLE, says.into())
        };
        let place = QueueSlot::take(&self.waiting).ok_or_else(busy)?;
        let turn = timeout(QUEUE_TIMEOUT, Arc::clone(&self.permits).acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or_else(busy)?;
        drop(place);
        // The permit moves into the work, which continues when it is abandoned.
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.map_err(|_| busy())
    }

    fn digest(&self, user: &str, hash: &str, password: &[u8]) -> Hmac<Sha256> {
        let mut digest = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        for part in [user.as_bytes(), hash.as_bytes(), password] {
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest
    }

    fn is_cached(&self, user: &str, digest: &Hmac<Sha256>) -> bool {
        let known = self.digests().get(user).copied();
        known.is_some_and(|known| digest.clone().verify_slice(&known).is_ok())
    }

    fn cache(&self, user: &str, digest: Hmac<Sha256>) {
        let mut digests = self.digests();
        if digests.len() >= MAX_CACHED_PASSWORDS && !digests.contains_key(user) {
            // Any of them may go: it costs that user one more check.
            let one = digests.keys().next().cloned();
            one.map(|one| digests.remove(&one));
        }
        digests.insert(user.to_owned(), digest.finalize().into_bytes().into());
    }

    fn digests(&self) -> MutexGuard<'_, HashMap<String, PasswordDigest>> {
        // Nothing panics while the lock is held, so the digests in a poisoned one are complete.
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns argon2id with OWASP's minimum parameters.
fn hasher() -> Argon2<'static> {
    let params = Params::new(19 << 10, 2, 1, None).expect("parameters within the algorithm's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// A place in the queue; returned when dropped.
struct QueueSlot<'w>(&'w AtomicUsize);

impl<'w> QueueSlot<'w> {
    fn take(waiting: &'w AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Relaxed) < MAX_QUEUED_HASHES).then_some(place)
    }
}

impl Drop for QueueSlot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
    }

    #[test]
    fn checking_an_unknown_user_costs_as_much_as_a_known_one() {
        let nobody = PasswordHash::new(UNKNOWN_USER_HASH).unwrap();
        let own: PasswordHash = hasher().hash_password_with_salt(b"x", &[7; 16]).unwrap();
        assert_eq!((nobody.algorithm, nobody.version), (own.algorithm, own.version));
        assert_eq!(nobody.params, own.params);
        assert_eq!(nobody.hash.unwrap().len(), own.hash.unwrap().len());
    }

    #[test]
    fn a_correct_password_is_cached_and_a_wrong_one_is_not() {
        block_on(async {
            let passwords = Passwords::new();
            let hash = passwords.hash(b"right".into()).await.unwrap();
            let check = async |name: &str, hash: Option<&str>, password: &[u8]| {
                passwords.check(name, hash, password.into()).await.unwrap()
            };
            assert!(!check("u", Some(&hash), b"wrong").await);
            assert!(!check("u", None, b"right").await);
            assert!(passwords.digests().is_empty());
            assert!(check("u", Some(&hash), b"right").await);
            assert!(passwords.is_cached("u", &passwords.digest("u", &hash, b"right")));
            for (name, password) in [("u", &b"wrong"[..]), ("v", b"right"), ("u", b"")] {
                assert!(!passwords.is_cached(name, &passwords.digest(name, &hash, password)));
            }
            let other = passwords.hash(b"right".into()).await.unwrap();
            assert_ne!(other, hash, "each hash has a salt of its own");
            assert!(!passwords.is_cached("u", &passwords.digest("u", &other, b"right")));
            assert!(!check("u", Some(&other), b"wrong").await);
            assert!(!check("u", Some("no hash at all"), b"right").await);
            assert!(!check("u", Some(&hash), &[b'x'; MAX_PASSWORD_BYTES + 1]).await);
        });
    }

    #[test]
    fn a_cached_password_needs_no_hashing() {
        block_on(async {
            let passwords = Passwords::new();
            let hash = passwords.hash(b"right".into()).await.unwrap();
            assert!(passwords.check("u", Some(&hash), b"right".into()).await.unwrap());
            passwords.permits.close();
            assert!(passwords.check("u", Some(&hash), b"right".into()).await.unwrap());
            assert!(passwords.check("u", Some(&hash), b"wrong".into()).await.is_err());
        });
    }

    #[test]
    fn the_cache_is_bounded() {
        let passwords = Passwords::new();
        for number in 0..MAX_CACHED_PASSWORDS + 10 {
            passwords.cache(&number.to_string(), passwords.digest("", "", b""));
        }
        assert_eq!(passwords.digests().len(), MAX_CACHED_PASSWORDS);
    }

    #[test]
    fn requests_beyond_the_queue_limit_are_refused() {
        block_on(async {
            let passwords = Passwords::new();
            let conn_limit: Vec<_> =
                (0..MAX_QUEUED_HASHES).map_while(|_| QueueSlot::take(&passwords.waiting)).collect();
            assert_eq!(conn_limit.len(), MAX_QUEUED_HASHES);
            let refused = passwords.check("u", None, b"x".into()).await.unwrap_err();
            assert!(matches!(refused, Rejection::Message(StatusCode::SERVICE_UNAVAILABLE, _)), "{refused:?}");
            drop(conn_limit);
            assert!(!passwords.check("u", None, b"x".into()).await.unwrap());
        });
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_in_the_queue_has_a_timeout() {
        let passwords = Passwords::new();
        let permits =
            Arc::clone(&passwords.permits).acquire_many_owned(MAX_CONCURRENT_HASHES as u32).await.unwrap();
        assert!(passwords.check("u", None, b"x".into()).await.is_err());
        drop(permits);
        assert_eq!(passwords.waiting.load(Relaxed), 0);
    }
}
