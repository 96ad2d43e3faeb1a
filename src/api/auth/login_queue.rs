//! The order in which passwords are checked when many wait.
//!
//! A check is expensive, so that few run at a time. Clients take turns, and within a client the user names do: whoever
//! sends a flood of logins only lengthens its own queue.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::http::server::ClientId;

/// Checks that may wait, and how many of one client.
const MAX_WAITING: usize = 4096;
const MAX_WAITING_OF_CLIENT: usize = 1024;
/// How long a check may wait for its turn.
pub(super) const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);

/// A user's name, as a number that only this process can compute.
pub(super) type UserKey = u64;

/// A queue in which clients take turns.
#[derive(Debug)]
pub(super) struct LoginQueue {
    state: Mutex<QueueState>,
}

#[derive(Debug)]
struct QueueState {
    /// How many more checks may run.
    free: usize,
    waiting: Turns<ClientId, Turns<UserKey, VecDeque<oneshot::Sender<Turn>>>>,
    /// How many wait, including those that gave up since the last sweep.
    count: usize,
}

/// Groups that take turns.
#[derive(Debug)]
struct Turns<K, G> {
    order: VecDeque<K>,
    groups: HashMap<K, G>,
}

impl<K: Copy + Eq + Hash, G: Default> Turns<K, G> {
    /// Returns the group, which comes last if it is new.
    fn group(&mut self, key: K) -> &mut G {
        let order = &mut self.order;
        self.groups.entry(key).or_insert_with(|| {
            order.push_back(key);
            G::default()
        })
    }

    /// Takes from the group whose turn it is. `take` returns what it takes, and whether the group is empty then.
    fn take_turn<T>(&mut self, take: impl FnOnce(&mut G) -> (Option<T>, bool)) -> Option<T> {
        let key = self.order.pop_front()?;
        let (taken, empty) = take(self.groups.get_mut(&key)?);
        if empty {
            self.groups.remove(&key);
        } else {
            self.order.push_back(key);
        }
        taken
    }

    fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Keeps the groups for which `keep` returns true.
    fn retain(&mut self, mut keep: impl FnMut(&mut G) -> bool) {
        self.groups.retain(|_, group| keep(group));
        let groups = &self.groups;
        self.order.retain(|key| groups.contains_key(key));
    }
}

impl<K, G> Default for Turns<K, G> {
    fn default() -> Self {
        Self { order: VecDeque::new(), groups: HashMap::new() }
    }
}

/// The permit of one check; the next one begins when it is dropped.
#[derive(Debug)]
pub(super) struct Turn(Arc<LoginQueue>);

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.free += 1;
        let mut granted = Vec::new();
        while state.free > 0
            && let Some(next) = state.next()
        {
            if next.is_closed() {
                continue;
            }
            state.free -= 1;
            granted.push(next);
        }
        // A turn that nobody receives is dropped, which takes the lock again.
        drop(state);
        for next in granted {
            next.send(Self(Arc::clone(&self.0))).ok();
        }
    }
}

impl QueueState {
    /// Removes the check whose turn it is.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let next = self.waiting.take_turn(|client| {
            let next = client.take_turn(|user| {
                let next = user.pop_front();
                (next, user.is_empty())
            });
            (next, client.is_empty())
        });
        self.count -= usize::from(next.is_some());
        next
    }

    /// Removes the checks that gave up.
    fn sweep(&mut self) {
        let mut count = 0;
        self.waiting.retain(|client| {
            client.retain(|user| {
                user.retain(|one| !one.is_closed());
                count += user.len();
                !user.is_empty()
            });
            !client.is_empty()
        });
        self.count = count;
    }

    fn waiting_of(&self, client: ClientId) -> usize {
        let users = self.waiting.groups.get(&client);
        users.map_or(0, |users| users.groups.values().map(VecDeque::len).sum())
    }
}

impl LoginQueue {
    /// Allows this many checks at the same time.
    pub(super) fn new(concurrent: usize) -> Arc<Self> {
        let state = QueueState { free: concurrent, waiting: Turns::default(), count: 0 };
        Arc::new(Self { state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        // The critical sections cannot panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of a check; `None` when too many wait, or it takes too long.
    pub(super) async fn turn(self: &Arc<Self>, client: ClientId, user: UserKey) -> Option<Turn> {
        let granted = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                return Some(Turn(Arc::clone(self)));
            }
            if state.count >= MAX_WAITING || state.waiting_of(client) >= MAX_WAITING_OF_CLIENT {
                state.sweep();
                if state.count >= MAX_WAITING || state.waiting_of(client) >= MAX_WAITING_OF_CLIENT {
                    return None;
                }
            }
            let (grant, granted) = oneshot::channel();
            state.waiting.group(client).group(user).push_back(grant);
            state.count += 1;
            granted
        };
        timeout(QUEUE_TIMEOUT, granted).await.ok()?.ok()
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.state().count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u8) -> ClientId {
        ClientId::new(Some([10, 0, 0, number].into()))
    }

    /// Starts a check that waits, and records its name when its turn comes.
    #[expect(clippy::disallowed_methods, reason = "a test's own task")]
    fn wait(
        queue: &Arc<LoginQueue>,
        log: &Arc<Mutex<Vec<String>>>,
        of: u8,
        user: UserKey,
        name: impl Into<String>,
    ) -> tokio::task::JoinHandle<()> {
        let (queue, log, name) = (Arc::clone(queue), Arc::clone(log), name.into());
        tokio::spawn(async move {
            let turn = queue.turn(client(of), user).await;
            if turn.is_some() {
                log.lock().unwrap().push(name);
            }
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_delays_neither_other_clients_nor_other_users_of_its_own() {
        let (queue, log) = (LoginQueue::new(1), Arc::default());
        let first = queue.turn(client(1), 1).await.unwrap();
        for number in 0..100 {
            wait(&queue, &log, 1, 1, format!("flood {number}"));
            tokio::task::yield_now().await;
        }
        wait(&queue, &log, 1, 2, "another user");
        tokio::task::yield_now().await;
        wait(&queue, &log, 2, 1, "another client");
        tokio::task::yield_now().await;
        assert_eq!(queue.waiting(), 102);
        drop(first);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let log = log.lock().unwrap();
        assert_eq!(log[..3], ["flood 0", "another client", "another user"]);
        assert_eq!((log.len(), queue.waiting()), (102, 0));
        assert!(queue.state().waiting.is_empty() && queue.state().free == 1);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_has_a_timeout_and_what_gave_up_leaves_its_place() {
        let (queue, log) = (LoginQueue::new(2), Arc::default());
        let turns = [queue.turn(client(1), 1).await.unwrap(), queue.turn(client(2), 1).await.unwrap()];
        let waiting: Vec<_> = (0..MAX_WAITING_OF_CLIENT).map(|_| wait(&queue, &log, 1, 1, "late")).collect();
        tokio::task::yield_now().await;
        assert!(queue.turn(client(1), 1).await.is_none(), "too many of this client");
        assert_eq!(queue.waiting(), MAX_WAITING_OF_CLIENT);
        for one in waiting {
            one.await.unwrap();
        }
        let last = wait(&queue, &log, 1, 1, "in time");
        tokio::task::yield_now().await;
        assert_eq!(queue.waiting(), 1, "those that gave up were swept");
        drop(turns);
        last.await.unwrap();
        assert_eq!(*log.lock().unwrap(), ["in time"]);
        assert_eq!(queue.state().free, 2);
    }
}
