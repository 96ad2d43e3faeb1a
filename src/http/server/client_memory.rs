//! A limited part of memory that clients share: bodies on their way in, large responses on their way out.
//!
//! One client may take only a part of it, so that it cannot keep out the others. While more than half is taken, clients
//! that pass too little data lose their connections; see [`ClientMemory::is_scarce`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// How many bits of an IPv6 address name a client's network: a client chooses the others.
const IPV6_NETWORK_BITS: u32 = 64;

/// A client as limits count it: its address, or its network for IPv6. `None`: its address is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientId(Option<IpAddr>);

impl ClientId {
    /// A client whose address is unknown.
    #[cfg(test)]
    pub(crate) const UNKNOWN: Self = Self(None);

    pub(crate) fn new(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) if !address.is_loopback() => {
                let network = u128::MAX << (u128::BITS - IPV6_NETWORK_BITS);
                IpAddr::V6((address.to_bits() & network).into())
            }
            address => address,
        }))
    }

    /// Returns the address, or the first of the network.
    pub(crate) const fn address(self) -> Option<IpAddr> {
        self.0
    }
}

/// Memory that clients share.
#[derive(Debug)]
pub(crate) struct ClientMemory {
    limit: usize,
    /// The limit of one client; what exceeds it is given to a client that has nothing else.
    client_limit: usize,
    taken: AtomicUsize,
    /// Only changed together with `taken`.
    by_client: Mutex<HashMap<ClientId, usize>>,
    freed: Notify,
}

impl ClientMemory {
    pub(super) fn new(limit: usize, client_limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            client_limit,
            taken: AtomicUsize::new(0),
            by_client: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// Returns whether more than half is taken.
    pub(super) fn is_scarce(&self) -> bool {
        self.taken.load(Relaxed) > self.limit / 2
    }

    /// Returns how many bytes are taken.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    fn by_client(&self) -> MutexGuard<'_, HashMap<ClientId, usize>> {
        // The critical sections cannot panic.
        self.by_client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, by_client: &mut HashMap<ClientId, usize>, client: ClientId, bytes: usize) {
        *by_client.entry(client).or_default() += bytes;
        self.taken.fetch_add(bytes, Relaxed);
    }

    /// Takes `bytes` more for a client that has `held` in the same place, if there is room.
    fn try_add(&self, client: ClientId, held: usize, bytes: usize) -> bool {
        let mut by_client = self.by_client();
        let others = by_client.get(&client).map_or(0, |own| own - held);
        let fits = self.taken.load(Relaxed) + bytes <= self.limit
            && (others == 0 || others + held + bytes <= self.client_limit);
        if fits {
            self.add(&mut by_client, client, bytes);
        }
        fits
    }

    /// Returns whether a response of about `bytes` can be made now. One that is larger than half of the memory counts as
    /// half, so that it can be made at all.
    fn has_room(&self, client: ClientId, bytes: usize) -> bool {
        let taken = self.taken.load(Relaxed);
        if taken == 0 {
            return true;
        }
        let bytes = bytes.min(self.limit / 2);
        let own = self.by_client().get(&client).copied().unwrap_or_default();
        taken + bytes <= self.limit && (own == 0 || own + bytes <= self.client_limit)
    }

    fn release(&self, client: ClientId, bytes: usize) {
        let mut by_client = self.by_client();
        self.taken.fetch_sub(bytes, Relaxed);
        if let Some(own) = by_client.get_mut(&client) {
            *own -= bytes;
            if *own == 0 {
                by_client.remove(&client);
            }
        }
        drop(by_client);
        self.freed.notify_waiters();
    }
}

/// A memory as one client sees it.
#[derive(Clone, Debug)]
pub(crate) struct ClientShare {
    pub(super) memory: Arc<ClientMemory>,
    pub(super) client: ClientId,
}

impl ClientShare {
    /// Returns an empty reservation.
    pub(super) fn reservation(&self) -> Reservation {
        Reservation { share: self.clone(), bytes: 0 }
    }

    /// Returns whether more than half of the memory is taken, or more than half of what this client may take: others of its
    /// address wait for it.
    pub(super) fn is_scarce(&self) -> bool {
        let own = || self.memory.by_client().get(&self.client).copied().unwrap_or_default();
        self.memory.is_scarce() || own() > self.memory.client_limit / 2
    }

    /// Returns whether a response of about `bytes` can be made now.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.memory.has_room(self.client, bytes)
    }

    /// Waits until a response of about `bytes` can be made.
    pub(crate) async fn room(&self, bytes: usize) {
        loop {
            let mut freed = std::pin::pin!(self.memory.freed.notified());
            // From here on it is woken.
            freed.as_mut().enable();
            if self.has_room(bytes) {
                return;
            }
            freed.await;
        }
    }

    /// Counts a response as long as any copy of it exists. It exists already, so it is never refused.
    pub(crate) fn hold(&self, mut text: Vec<u8>) -> HeldResponse {
        text.shrink_to_fit();
        let mut reservation = self.reservation();
        reservation.bytes = text.len();
        self.memory.add(&mut self.memory.by_client(), self.client, text.len());
        HeldResponse(Arc::new(CountedText { text, _reservation: reservation }))
    }
}

/// A response in memory, which several clients may be sent.
#[derive(Clone, Debug)]
pub(crate) struct HeldResponse(Arc<CountedText>);

#[derive(Debug)]
pub(crate) struct CountedText {
    text: Vec<u8>,
    _reservation: Reservation,
}

impl HeldResponse {
    /// Returns a reference that does not keep the response in memory.
    pub(crate) fn downgrade(&self) -> std::sync::Weak<CountedText> {
        Arc::downgrade(&self.0)
    }

    /// Returns the response, if it is still in memory.
    pub(crate) fn upgrade(text: &std::sync::Weak<CountedText>) -> Option<Self> {
        text.upgrade().map(Self)
    }
}

impl AsRef<[u8]> for HeldResponse {
    fn as_ref(&self) -> &[u8] {
        &self.0.text
    }
}

impl From<HeldResponse> for Bytes {
    fn from(held: HeldResponse) -> Self {
        Self::from_owner(held)
    }
}

/// A reserved part of a memory; returned when dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    share: ClientShare,
    bytes: usize,
}

impl Reservation {
    /// Reserves `bytes` more; returns false when there is no room.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let fits = self.share.memory.try_add(self.share.client, self.bytes, bytes);
        if fits {
            self.bytes += bytes;
        }
        fits
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.share.memory.release(self.share.client, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn share(memory: &Arc<ClientMemory>, address: &str) -> ClientShare {
        let client = ClientId::new(Some(address.parse().unwrap()));
        ClientShare { memory: Arc::clone(memory), client }
    }

    #[test]
    fn one_client_cannot_take_all_and_what_it_returns_is_free() {
        let memory = ClientMemory::new(100, 60);
        let [greedy, other] = ["10.0.0.1", "10.0.0.2"].map(|address| share(&memory, address));
        let mut taken: Vec<_> = (0..10).map(|_| greedy.reservation()).collect();
        let fitted = taken.iter_mut().filter_map(|one| one.grow(10).then_some(())).count();
        assert_eq!(fitted, 6);
        let mut own = other.reservation();
        assert!(own.grow(40) && !own.grow(1), "the limit of all");
        drop(taken);
        assert!(own.grow(60), "a client that has nothing else may take more than its part");
        drop(own);
        assert_eq!((memory.taken(), memory.by_client().len()), (0, 0));
    }

    #[test]
    fn memory_is_scarce_for_a_client_that_has_half_of_its_part_and_not_for_others() {
        let memory = ClientMemory::new(100, 50);
        let [first, second] = ["10.0.0.1", "10.0.0.2"].map(|address| share(&memory, address));
        let _held = first.hold(vec![0; 30]);
        assert!(first.is_scarce() && !second.is_scarce());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client() {
        let client = |address: &str| ClientId::new(Some(address.parse().unwrap()));
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:10.0.0.1"), client("10.0.0.1"));
        assert_ne!(client("10.0.0.2"), client("10.0.0.1"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_waits_until_others_are_sent_but_for_nothing_else() {
        let memory = ClientMemory::new(100, 50);
        let [first, second] = ["10.0.0.1", "10.0.0.2"].map(|address| share(&memory, address));
        assert!(first.has_room(1000), "a response larger than the memory is made alone");
        let held = first.hold(vec![0; 90]);
        let sent = Bytes::from(held.clone());
        assert!(!first.has_room(1) && second.has_room(10) && memory.is_scarce());
        assert!(timeout(Duration::from_secs(60), second.room(20)).await.is_err());
        let waiting = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(held);
            assert_eq!(memory.taken(), 90, "a copy is on its way to a client");
            drop(sent);
        };
        let (in_time, ()) = tokio::join!(timeout(Duration::from_secs(2), second.room(20)), waiting);
        in_time.unwrap();
        assert_eq!(memory.taken(), 0);
    }
}
