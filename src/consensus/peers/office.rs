//! What the tasks of this room share.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use hyper::StatusCode;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::acquaint::Strangers;
use super::book::{Book, Greeting, Refusal};
use super::fetch::Wish;
use super::lane::Lane;
use super::pace::Pace;
use super::pins::Pins;
use super::said::Said;
use super::{Addresses, Inbound};
use crate::consensus::member::Member;
use crate::keyspace::Time;
use crate::stop::Stop;
use crate::tls::Connector;

/// Alive members ask each other this often whether they are.
pub(super) const PING: Duration = Duration::from_millis(500);
/// Members that only others know of.
const STRANGERS: usize = 16;
/// What could not be handed to the driver is tried again after this.
const AGAIN: Duration = Duration::from_millis(5);

/// Takes what comes in, or gives it back when there is no room for it now. Never blocks.
pub(in crate::consensus) type Deliver = Arc<dyn Fn(Inbound) -> Result<(), Inbound> + Send + Sync>;
/// Tells the store's time.
pub(in crate::consensus) type Now = Arc<dyn Fn() -> Time + Send + Sync>;

/// Shared by all tasks and by the driver's [`super::Post`].
pub(super) struct Office {
    pub(super) election: Duration,
    pub(super) snapshots: PathBuf,
    pub(super) tls: Connector,
    pub(super) deliver: Deliver,
    pub(super) now: Now,
    pub(super) pins: Pins,
    pub(super) pace: Pace,
    pub(super) said: Said,
    pub(super) wish: Wish,
    pub(super) strangers: Strangers,
    pub(super) lanes: RwLock<BTreeMap<u64, Arc<Lane>>>,
    pub(super) lanes_changed: Notify,
    /// Bytes of snapshots that went out.
    pub(super) served: AtomicU64,
    book: RwLock<Arc<Book>>,
    seats: Mutex<BTreeMap<u64, Seat>>,
    born: Instant,
}

impl fmt::Debug for Office {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Office").field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

/// Who speaks for a member at present.
#[derive(Debug)]
struct Seat {
    process: u64,
    serial: u64,
    heard: Arc<AtomicU64>,
    end: Stop,
}

/// The right to speak for a member; given back when dropped.
#[derive(Debug)]
pub(super) struct Claim {
    office: Arc<Office>,
    from: u64,
    serial: u64,
    heard: Arc<AtomicU64>,
    /// Another stream of the same member took over.
    pub(super) end: Stop,
}

impl Office {
    pub(super) fn new(beginning: super::Beginning) -> Self {
        let super::Beginning { book, election, snapshots, tls, deliver, now, pins } = beginning;
        Self {
            election,
            snapshots,
            tls,
            deliver,
            now,
            pins,
            pace: Pace::default(),
            said: Said::default(),
            wish: Wish::default(),
            strangers: Strangers::default(),
            lanes: RwLock::default(),
            lanes_changed: Notify::new(),
            served: AtomicU64::new(0),
            book: RwLock::new(Arc::new(book)),
            seats: Mutex::default(),
            born: Instant::now(),
        }
    }

    pub(super) fn book(&self) -> Arc<Book> {
        Arc::clone(&self.book.read().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(test)]
    pub(super) fn set_book(&self, book: Book) {
        *self.book.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
    }

    /// Changes whom this member knows, and with it to whom it speaks.
    pub(super) fn regroup(&self, change: impl FnOnce(&mut Book)) {
        // Held to the end: the log and what others say may change it at the same time.
        let mut slot = self.book.write().unwrap_or_else(PoisonError::into_inner);
        let mut book = Book::clone(&slot);
        change(&mut book);
        let known = book.members.values().map(|known| &known.member).chain(book.strangers.values());
        let others = known.filter(|member| member.id != book.own);
        let addresses = others.map(|member| (member.id, member.peer_urls.clone())).collect();
        *slot = Arc::new(book);
        self.set_addresses(addresses);
    }

    /// Takes members in that the log has not told of yet.
    pub(super) fn meet(&self, members: Vec<Member>) {
        self.regroup(|book| {
            for member in members {
                let known = book.members.contains_key(&member.id) || book.removed.contains(&member.id);
                if known || member.id == book.own || book.strangers.len() >= STRANGERS {
                    continue;
                }
                let name = &member.name;
                tracing::info!(
                    "member {:x} ({name}) joined while this one was away, as others say",
                    member.id
                );
                book.strangers.insert(member.id, member);
            }
        });
    }

    /// Opens streams to new members, ends those to members that left, and changes addresses.
    pub(super) fn set_addresses(&self, others: Addresses) {
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        for (_, lane) in lanes.extract_if(.., |id, _| !others.contains_key(id)) {
            lane.end.request();
        }
        for (id, urls) in others {
            match lanes.get(&id) {
                Some(lane) => lane.set_urls(urls),
                None => {
                    lanes.insert(id, Arc::new(Lane::new(id, urls)));
                }
            }
        }
        drop(lanes);
        self.lanes_changed.notify_one();
    }

    pub(super) fn lane(&self, id: u64) -> Option<Arc<Lane>> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Hands the driver what must not be lost; waits while its queue is full.
    pub(super) async fn report(&self, mut what: Inbound) {
        while let Err(back) = (self.deliver)(what) {
            what = back;
            sleep(AGAIN).await;
        }
    }

    /// Tells the driver once per loss that a member's process is gone.
    pub(super) async fn report_gone(&self, id: u64) {
        if let Some(lane) = self.lane(id)
            && !lane.gone.swap(true, Relaxed)
        {
            tracing::info!("member {} is gone: its process ended", self.book().shown(id));
            self.report(Inbound::Gone(id)).await;
        }
    }

    fn age(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes the seat of a member for a stream, from an older stream of the same process or from one that is silent.
    pub(super) fn claim(self: &Arc<Self>, greeting: &Greeting) -> Result<Claim, Refusal> {
        let from = greeting.from;
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let (age, silent) = (self.age(), self.election.max(PING * 3));
        let mut serial = 0;
        if let Some(seat) = seats.get(&from) {
            let since = Duration::from_millis(age.saturating_sub(seat.heard.load(Relaxed)));
            if seat.process != greeting.process && since < silent {
                return Err(Refusal::new(
                    StatusCode::CONFLICT,
                    format!(
                        "two processes claim to be member {from:x}: stop the one that does not belong there"
                    ),
                ));
            }
            seat.end.request();
            serial = seat.serial + 1;
        }
        let (heard, end) = (Arc::new(AtomicU64::new(age)), Stop::new());
        let seat = Seat { process: greeting.process, serial, heard: Arc::clone(&heard), end: end.clone() };
        seats.insert(from, seat);
        Ok(Claim { office: Arc::clone(self), from, serial, heard, end })
    }
}

impl Claim {
    /// Something came: the speaker is alive.
    pub(super) fn heard(&self) {
        self.heard.store(self.office.age(), Relaxed);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut seats = self.office.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if seats.get(&self.from).is_some_and(|seat| seat.serial == self.serial) {
            seats.remove(&self.from);
        }
    }
}
