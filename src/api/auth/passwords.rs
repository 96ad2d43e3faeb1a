//! Passwords: hashed with argon2id, and checked at a bounded cost.
//!
//! A check deliberately takes tens of milliseconds and 19 MiB. So only a few run at a time, and clients take turns
//! ([`LoginQueue`]). A client and user that have logged in before have a queue of their own. A correct password is cached
//! as a digest that only this process can compute: an HMAC of the name, the stored hash and the password, with a random
//! key of this process. A changed password has another hash, so an old digest does not match. The last wrong passwords
//! are cached in the same way: a client that repeats one costs nothing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::StatusCode;
use sha2::Sha256;
use tokio::task::spawn_blocking;

use super::known_logins::{self, KnownLogins};
use super::login_failures::{LoginFailure, LoginFailures};
use super::login_queue::{LoginQueue, Turn};
use crate::api::respond::Rejection;
use crate::http::server::ClientId;

/// The longest password.
pub(super) const MAX_PASSWORD_BYTES: usize = 1024;
/// Hashes computed at the same time, for clients that have logged in before and for others.
const MAX_CONCURRENT_KNOWN: usize = 1;
const MAX_CONCURRENT_OTHERS: usize = 2;
/// The number of users whose digests are cached.
const MAX_CACHED_PASSWORDS: usize = 1024;
/// The number of wrong passwords that are cached.
const MAX_CACHED_WRONG: usize = 4096;
/// The hash to check against when the user does not exist, so that it takes as long as for an existing one.
const UNKNOWN_USER_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyBpdCE$\
                      nnXnKJD2qcCqvAuAGv5fJ3q6q3mmkQhY2nJ2b4Pso0U";

/// Hashes and checks passwords.
pub(in crate::api) struct Passwords {
    key: [u8; 32],
    /// Makes numbers of names.
    names: RandomState,
    digests: Mutex<Digests>,
    known: Arc<KnownLogins>,
    known_queue: Arc<LoginQueue>,
    queue: Arc<LoginQueue>,
    failures: LoginFailures,
}

/// What earlier checks showed.
#[derive(Default)]
struct Digests {
    /// The digest of the last correct password, by user.
    right: HashMap<String, PasswordDigest>,
    /// Those of the last wrong ones, oldest first.
    wrong: HashSet<PasswordDigest>,
    wrong_oldest_first: VecDeque<PasswordDigest>,
}

type PasswordDigest = [u8; 32];

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords(hidden)")
    }
}

/// The error for a client whose password cannot be checked now.
fn busy() -> Rejection {
    Rejection::Message(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many passwords are being checked; try again later".into(),
    )
}

impl Passwords {
    /// Remembers in the file `known_logins` which clients have logged in.
    pub(in crate::api) fn new(known_logins: Option<PathBuf>) -> Self {
        Self {
            key: rand::random(),
            names: RandomState::new(),
            digests: Mutex::default(),
            known: Arc::new(KnownLogins::open(known_logins)),
            known_queue: LoginQueue::new(MAX_CONCURRENT_KNOWN),
            queue: LoginQueue::new(MAX_CONCURRENT_OTHERS),
            failures: LoginFailures::default(),
        }
    }

    /// Returns the hash of a new password, as a PHC string. Its client is logged in.
    pub(super) async fn hash(&self, client: ClientId, password: Vec<u8>) -> Result<String, Rejection> {
        let turn = self.known_queue.turn(client, 0).await.ok_or_else(busy)?;
        let salt: [u8; 16] = rand::random();
        let hashed = run(turn, move || {
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
        client: ClientId,
        user: &str,
        hash: Option<&str>,
        password: Vec<u8>,
    ) -> Result<bool, Rejection> {
        let checked = self.check_password(client, user, hash, password).await;
        match &checked {
            Ok(true) => {}
            Ok(false) => self.failures.add(LoginFailure::Wrong, client),
            Err(_) => self.failures.add(LoginFailure::Busy, client),
        }
        checked
    }

    async fn check_password(
        &self,
        client: ClientId,
        user: &str,
        hash: Option<&str>,
        password: Vec<u8>,
    ) -> Result<bool, Rejection> {
        if password.len() > MAX_PASSWORD_BYTES {
            return Ok(false);
        }
        let against = hash.unwrap_or(UNKNOWN_USER_HASH);
        let digest = self.digest(user, against, &password);
        if let Some(right) = self.cached(user, &digest) {
            return Ok(right && hash.is_some());
        }
        let known = hash.is_some() && self.known.contains(client, user);
        let queue = if known { &self.known_queue } else { &self.queue };
        let turn = queue.turn(client, self.names.hash_one(user)).await.ok_or_else(busy)?;
        // Many clients with the same password may have waited; one check is enough.
        if let Some(right) = self.cached(user, &digest) {
            return Ok(right && hash.is_some());
        }
        let against = against.to_owned();
        let checked = run(turn, move || {
            PasswordHash::new(&against).is_ok_and(|hash| hasher().verify_password(&password, &hash).is_ok())
        });
        let right = checked.await? && hash.is_some();
        self.cache(user, digest, right);
        if right && let Some((file, text)) = self.known.add(client, user) {
            spawn_blocking(move || known_logins::write(&file, &text)).await.ok();
        }
        Ok(right)
    }

    fn digest(&self, user: &str, hash: &str, password: &[u8]) -> Hmac<Sha256> {
        let mut digest = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        for part in [user.as_bytes(), hash.as_bytes(), password] {
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest
    }

    /// Returns what an earlier check showed, if it is known.
    fn cached(&self, user: &str, digest: &Hmac<Sha256>) -> Option<bool> {
        let right = self.digests().right.get(user).copied();
        if right.is_some_and(|right| digest.clone().verify_slice(&right).is_ok()) {
            return Some(true);
        }
        // Looked up by a digest that only this process can compute, so the time tells a client nothing.
        self.digests().wrong.contains(&value(digest.clone())).then_some(false)
    }

    fn cache(&self, user: &str, digest: Hmac<Sha256>, right: bool) {
        let (digest, mut digests) = (value(digest), self.digests());
        if !right {
            if digests.wrong.insert(digest) {
                digests.wrong_oldest_first.push_back(digest);
            }
            if digests.wrong_oldest_first.len() > MAX_CACHED_WRONG
                && let Some(oldest) = digests.wrong_oldest_first.pop_front()
            {
                digests.wrong.remove(&oldest);
            }
            return;
        }
        if digests.right.len() >= MAX_CACHED_PASSWORDS && !digests.right.contains_key(user) {
            // Any of them may go: it costs that user one more check.
            let one = digests.right.keys().next().cloned();
            one.map(|one| digests.right.remove(&one));
        }
        digests.right.insert(user.to_owned(), digest);
    }

    fn digests(&self) -> MutexGuard<'_, Digests> {
        // Nothing panics while the lock is held, so the digests in a poisoned one are complete.
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn value(digest: Hmac<Sha256>) -> PasswordDigest {
    digest.finalize().into_bytes().into()
}

/// Runs `work` on a thread that may block. The turn moves into the work, which continues when it is abandoned.
async fn run<T: Send + 'static>(
    turn: Turn,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Rejection> {
    let done = spawn_blocking(move || {
        let done = work();
        drop(turn);
        done
    });
    done.await.map_err(|_| busy())
}

/// Returns argon2id with OWASP's minimum parameters.
fn hasher() -> Argon2<'static> {
    let params = Params::new(19 << 10, 2, 1, None).expect("parameters within the algorithm's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
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

    const CLIENT: ClientId = ClientId::UNKNOWN;

    #[test]
    fn a_correct_password_is_cached_by_user_and_hash() {
        block_on(async {
            let passwords = Passwords::new(None);
            let hash = passwords.hash(CLIENT, b"right".into()).await.unwrap();
            let check = async |name: &str, hash: Option<&str>, password: &[u8]| {
                passwords.check(CLIENT, name, hash, password.into()).await.unwrap()
            };
            let cached = |name: &str, hash: &str, password: &[u8]| {
                passwords.cached(name, &passwords.digest(name, hash, password))
            };
            assert!(!check("u", Some(&hash), b"wrong").await);
            assert!(!check("u", None, b"right").await);
            assert!(passwords.digests().right.is_empty());
            assert!(check("u", Some(&hash), b"right").await);
            assert_eq!(cached("u", &hash, b"right"), Some(true));
            assert_eq!(cached("u", &hash, b"wrong"), Some(false));
            for (name, password) in [("v", &b"right"[..]), ("v", b"wrong"), ("u", b"")] {
                assert_eq!(cached(name, &hash, password), None);
            }
            let other = passwords.hash(CLIENT, b"right".into()).await.unwrap();
            assert_ne!(other, hash, "each hash has a salt of its own");
            assert_eq!(cached("u", &other, b"right"), None);
            assert!(!check("u", Some(&other), b"wrong").await);
            assert!(!check("u", Some("no hash at all"), b"right").await);
            assert!(!check("u", Some(&hash), &[b'x'; MAX_PASSWORD_BYTES + 1]).await);
        });
    }

    /// Takes all turns; checks wait until they are dropped.
    async fn all_turns(passwords: &Passwords) -> Vec<Turn> {
        let mut turns = Vec::new();
        for (queue, concurrent) in
            [(&passwords.queue, MAX_CONCURRENT_OTHERS), (&passwords.known_queue, MAX_CONCURRENT_KNOWN)]
        {
            for _ in 0..concurrent {
                turns.push(queue.turn(CLIENT, 0).await.unwrap());
            }
        }
        turns
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_password_needs_no_turn_and_others_wait_in_vain() {
        let passwords = Passwords::new(None);
        let hash = passwords.hash(CLIENT, b"right".into()).await.unwrap();
        let check = |password: &[u8]| passwords.check(CLIENT, "u", Some(&hash), password.into());
        assert!(check(b"right").await.unwrap() && !check(b"wrong").await.unwrap());
        let _turns = all_turns(&passwords).await;
        assert!(check(b"right").await.unwrap());
        assert!(!check(b"wrong").await.unwrap(), "a wrong one that is repeated");
        let refused = check(b"other").await.unwrap_err();
        assert!(matches!(refused, Rejection::Message(StatusCode::SERVICE_UNAVAILABLE, _)), "{refused:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_has_logged_in_before_does_not_wait_behind_strangers() {
        let passwords = Passwords::new(None);
        let hash = passwords.hash(CLIENT, b"right".into()).await.unwrap();
        assert!(passwords.check(CLIENT, "u", Some(&hash), b"right".into()).await.unwrap());
        passwords.digests().right.clear();
        let mut strangers = all_turns(&passwords).await;
        strangers.truncate(MAX_CONCURRENT_OTHERS);
        assert!(passwords.check(CLIENT, "v", Some(&hash), b"right".into()).await.is_err());
        assert!(passwords.check(CLIENT, "u", Some(&hash), b"right".into()).await.unwrap());
    }

    #[test]
    fn clients_that_wait_for_the_same_password_share_one_check() {
        block_on(async {
            let passwords = Passwords::new(None);
            let hash = passwords.hash(CLIENT, b"right".into()).await.unwrap();
            let turns = all_turns(&passwords).await;
            let checks = (0..500).map(|_| passwords.check(CLIENT, "u", Some(&hash), b"right".into()));
            let releasing = async {
                tokio::task::yield_now().await;
                drop(turns);
            };
            let begun = std::time::Instant::now();
            let (checks, ()) = tokio::join!(futures_util::future::join_all(checks), releasing);
            assert!(checks.into_iter().all(|right| right.unwrap()));
            // Each check on its own would take this long in all on the fastest of machines.
            assert!(begun.elapsed() < std::time::Duration::from_secs(3), "{:?}", begun.elapsed());
        });
    }

    #[test]
    fn the_caches_are_bounded() {
        let passwords = Passwords::new(None);
        for number in 0..MAX_CACHED_WRONG + 10 {
            let name = number.to_string();
            passwords.cache(&name, passwords.digest(&name, "", b""), false);
            passwords.cache(&name, passwords.digest(&name, "", b"x"), true);
        }
        let digests = passwords.digests();
        assert_eq!(digests.right.len(), MAX_CACHED_PASSWORDS);
        assert_eq!(
            (digests.wrong.len(), digests.wrong_oldest_first.len()),
            (MAX_CACHED_WRONG, MAX_CACHED_WRONG)
        );
    }
}
