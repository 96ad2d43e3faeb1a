//! A relay between two members that can be cut, and that can damage its data.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::super::call::CHALLENGE;

/// A fault in the returned data of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// It is cut after this many bytes.
    Cut(u64),
    /// The byte at this offset is changed.
    Change(u64),
}

/// Forwards connections to an address. Each that requests a snapshot takes the next fault, and is counted; with a secret,
/// streams too.
pub(super) struct TestRelay {
    pub(super) url: String,
    /// Bytes returned on each connection that requested a snapshot.
    pub(super) carried: Arc<Mutex<Vec<Arc<AtomicU64>>>>,
    _running: JoinSet<()>,
}

impl TestRelay {
    pub(super) async fn to(url: &str, faults: Vec<Fault>) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = format!("http://{}", socket.local_addr().unwrap());
        let target = url.strip_prefix("http://").unwrap().to_owned();
        let carried = Arc::<Mutex<Vec<Arc<AtomicU64>>>>::default();
        let (faults, counts) = (Arc::new(Mutex::new(faults.into_iter())), Arc::clone(&carried));
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((here, _)) = socket.accept().await {
                let Ok(there) = TcpStream::connect(&target).await else { continue };
                let (faults, counts) = (Arc::clone(&faults), Arc::clone(&counts));
                connections.spawn(async move {
                    let mut first = vec![0; 4096];
                    let mut here = here;
                    let Ok(count) = here.read(&mut first).await else { return };
                    let begins = |path: &str| first[..count].starts_with(format!("GET {path}").as_bytes());
                    let snapshot = begins("/retune/peers/snapshot/") || begins(CHALLENGE);
                    let fault = if snapshot { faults.lock().unwrap().next() } else { None };
                    let counter = Arc::<AtomicU64>::default();
                    if snapshot {
                        counts.lock().unwrap().push(Arc::clone(&counter));
                    }
                    carry(here, there, &first[..count], fault, &counter).await;
                });
            }
        });
        Self { url: own, carried, _running: running }
    }
}

async fn carry(here: TcpStream, there: TcpStream, first: &[u8], fault: Option<Fault>, counter: &AtomicU64) {
    let (mut from, mut back) = here.into_split();
    let (mut answer, mut to) = there.into_split();
    if to.write_all(first).await.is_err() {
        return;
    }
    let forth = async {
        tokio::io::copy(&mut from, &mut to).await.ok();
    };
    let back = async {
        let mut buffer = vec![0; 8192];
        while let Ok(count @ 1..) = answer.read(&mut buffer).await {
            let at = counter.fetch_add(count as u64, Relaxed);
            match fault {
                Some(Fault::Cut(after)) if at + count as u64 > after => return,
                Some(Fault::Change(place)) if (at..at + count as u64).contains(&place) => {
                    buffer[usize::try_from(place - at).unwrap()] ^= 1;
                }
                _ => {}
            }
            if back.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = forth => {}, () = back => {} }
}
