//! Places on the peer port: a few for callers that have not shown yet that they are members, others for members.
//!
//! A caller must pass the check of its handshake within a short time. When too many wait for that, the oldest one of
//! the address with the most is closed: members need milliseconds, so one that calls gets in however many strangers
//! hold connections. Callers from addresses of members do not share places with strangers.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use crate::stop::Stop;

/// Connections that have not shown yet that they are a member's: in all from addresses of strangers, in all from
/// addresses of members, and from each address.
pub(super) const MAX_PENDING: usize = 32;
pub(super) const MAX_PENDING_PER_ADDRESS: usize = 8;
/// Connections of each member. It has one stream, and fetches one snapshot at a time; others may not have ended yet.
pub(super) const MAX_MEMBER_CONNECTIONS: usize = 8;
/// How long a connection has until it is known to be a member's.
pub(super) const PENDING_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses that are remembered because a member called from there.
const MAX_MEMBER_ADDRESSES: usize = 64;

/// The connections of the peer port.
#[derive(Debug, Default)]
pub(super) struct Admission(Mutex<AdmissionState>);

#[derive(Debug, Default)]
struct AdmissionState {
    next: u64,
    /// Oldest first.
    pending: VecDeque<PendingConnection>,
    /// The number of connections by member.
    members: BTreeMap<u64, usize>,
    /// Where members called from, the latest last.
    addresses: VecDeque<IpAddr>,
}

#[derive(Debug)]
struct PendingConnection {
    id: u64,
    source: IpAddr,
    /// Whether the source is an address of a member.
    preferred: bool,
    end: Stop,
}

/// The place of one connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    id: u64,
    source: IpAddr,
    /// It was closed in favour of another.
    end: Stop,
    /// The member whose connection it is, once that is known.
    member: Mutex<Option<u64>>,
}

impl Admission {
    fn state(&self) -> MutexGuard<'_, AdmissionState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a place for a connection from `remote`, and the address of the one that was closed for it, if any.
    /// `listed`: a member's URL has this address.
    pub(super) fn enter(self: &Arc<Self>, remote: IpAddr, listed: bool) -> (Place, Option<IpAddr>) {
        let (source, end) = (source(remote), Stop::new());
        let mut state = self.state();
        let preferred = listed || state.addresses.contains(&source);
        let closed = state.make_room(source, preferred);
        let id = state.next;
        state.next += 1;
        state.pending.push_back(PendingConnection { id, source, preferred, end: end.clone() });
        drop(state);
        let place = Place { admission: Arc::clone(self), id, source, end, member: Mutex::default() };
        (place, closed)
    }

    #[cfg(test)]
    pub(super) fn pending(&self) -> usize {
        self.state().pending.len()
    }
}

impl AdmissionState {
    /// Closes a pending connection if there are too many.
    fn make_room(&mut self, source: IpAddr, preferred: bool) -> Option<IpAddr> {
        let count = |of: IpAddr| self.pending.iter().filter(|other| other.source == of).count();
        let same = |other: &&PendingConnection| other.preferred == preferred;
        let crowded = if count(source) >= MAX_PENDING_PER_ADDRESS {
            source
        } else if self.pending.iter().filter(same).count() >= MAX_PENDING {
            // Of several, the one whose connection is the oldest.
            self.pending.iter().filter(same).map(|other| other.source).rev().max_by_key(|of| count(*of))?
        } else {
            return None;
        };
        let oldest = self.pending.iter().position(|other| other.source == crowded)?;
        let closed = self.pending.remove(oldest)?;
        closed.end.request();
        Some(closed.source)
    }

    fn remember(&mut self, source: IpAddr) {
        self.addresses.retain(|other| *other != source);
        if self.addresses.len() >= MAX_MEMBER_ADDRESSES {
            self.addresses.pop_front();
        }
        self.addresses.push_back(source);
    }
}

impl Place {
    /// Records that the connection is `member`'s: from now on it has no deadline, and does not count among strangers.
    /// Returns false when that member has too many connections.
    pub(super) fn belongs_to(&self, member: u64) -> bool {
        let mut own = self.member.lock().unwrap_or_else(PoisonError::into_inner);
        if own.is_some() {
            return true;
        }
        let mut state = self.admission.state();
        let count = state.members.entry(member).or_default();
        if *count >= MAX_MEMBER_CONNECTIONS {
            return false;
        }
        *count += 1;
        state.pending.retain(|other| other.id != self.id);
        state.remember(self.source);
        *own = Some(member);
        true
    }

    fn is_pending(&self) -> bool {
        self.member.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Waits until the connection must end because it is not known to be a member's.
    pub(super) async fn expired(&self) {
        tokio::select! {
            () = self.end.wait() => {}
            () = sleep(PENDING_TIMEOUT) => {}
        }
        // It may have become a member's just after it was chosen to be closed; then it is too late.
        if !self.end.requested() && !self.is_pending() {
            self.end.wait().await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let member = self.member.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut state = self.admission.state();
        match member {
            None => state.pending.retain(|other| other.id != self.id),
            Some(member) => {
                if let Some(count) = state.members.get_mut(&member) {
                    *count -= 1;
                    if *count == 0 {
                        state.members.remove(&member);
                    }
                }
            }
        }
    }
}

/// Returns what counts as one address: whoever has an IPv6 address usually has 2^64 of them.
fn source(remote: IpAddr) -> IpAddr {
    match remote.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn is_open(place: &Place) -> bool {
        !place.end.requested()
    }

    #[test]
    fn an_address_closes_its_own_oldest_connection() {
        let admission = Arc::new(Admission::default());
        let other = admission.enter(address(1), false).0;
        let mut places: Vec<_> =
            (0..MAX_PENDING_PER_ADDRESS).map(|_| admission.enter(address(2), false).0).collect();
        assert!(places.iter().all(is_open));
        let (next, closed) = admission.enter(address(2), false);
        assert_eq!(closed, Some(address(2)));
        assert!(!is_open(&places[0]) && places[1..].iter().all(is_open) && is_open(&next) && is_open(&other));
        places.truncate(1);
        assert_eq!(admission.enter(address(2), false).1, None, "ended connections still counted");
    }

    #[test]
    fn the_address_with_the_most_connections_gives_up_its_oldest() {
        let admission = Arc::new(Admission::default());
        let good = admission.enter(address(9), false).0;
        let few: Vec<_> = (0..2).map(|_| admission.enter(address(1), false).0).collect();
        let mut many = Vec::new();
        for last in 2..10 {
            many.extend((0..4).map(|_| admission.enter(address(10 + last), false).0));
        }
        assert!(is_open(&good) && few.iter().all(is_open));
        assert_eq!(admission.pending(), MAX_PENDING);
        assert_eq!(many.iter().filter(|place| !is_open(place)).count(), 3);
    }

    #[test]
    fn strangers_take_no_places_of_members_and_members_none_of_strangers() {
        let admission = Arc::new(Admission::default());
        let member = admission.enter(address(1), true).0;
        assert!(member.belongs_to(7));
        drop(member);
        // From a remembered address, and from one in a member's URL.
        let mut waiting = vec![admission.enter(address(1), false).0, admission.enter(address(2), true).0];
        let strangers: Vec<_> = (10..200).map(|last| admission.enter(address(last), false).0).collect();
        assert!(waiting.iter().all(is_open), "strangers closed a member's connection");
        assert_eq!(strangers.iter().filter(|place| is_open(place)).count(), MAX_PENDING);
        waiting.clear();
        assert_eq!(admission.state().addresses.len(), 1);
        for last in 0..=u8::MAX {
            assert!(admission.enter(address(last), false).0.belongs_to(7));
        }
        assert_eq!(admission.state().addresses.len(), MAX_MEMBER_ADDRESSES);
    }

    #[test]
    fn a_member_has_a_limited_number_of_connections() {
        let admission = Arc::new(Admission::default());
        let mut places = Vec::new();
        for _ in 0..MAX_MEMBER_CONNECTIONS {
            let place = admission.enter(address(1), false).0;
            assert!(place.belongs_to(3) && place.belongs_to(3));
            places.push(place);
        }
        let surplus = admission.enter(address(1), false).0;
        assert!(!surplus.belongs_to(3) && surplus.belongs_to(4));
        assert_eq!(admission.pending(), 0);
        places.pop();
        assert!(admission.enter(address(1), false).0.belongs_to(3));
        drop((places, surplus));
        assert!(admission.state().members.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_no_members_ends_after_its_time() {
        let admission = Arc::new(Admission::default());
        let (stranger, member) = (admission.enter(address(1), false).0, admission.enter(address(1), false).0);
        assert!(member.belongs_to(3));
        let begun = tokio::time::Instant::now();
        stranger.expired().await;
        assert_eq!(begun.elapsed(), PENDING_TIMEOUT);
        let longer = tokio::time::timeout(PENDING_TIMEOUT * 100, member.expired()).await;
        assert!(longer.is_err(), "a member's connection was closed");
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        let of = |text: &str| source(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::9"));
        assert_ne!(of("2001:db8:1:2::9"), of("2001:db8:1:3::9"));
        assert_eq!(of("::ffff:192.0.2.7"), address(7));
    }
}
