//! A slow line between members: it delays bytes, limits their rate, or holds them back.
//!
//! It needs no kernel features, and so no privileges: a member advertises the line's address instead of its own,
//! and all traffic from the others, with the responses, passes through it. A hold is not a cut: nothing is refused
//! or closed, bytes just do not arrive, as when a network drops every packet.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::support::port::Port;

/// Blocks of bytes in transit in one direction; more wait with the sender.
const BLOCKS: usize = 64;

/// A line to one member.
#[derive(Debug)]
pub struct NetworkLink {
    port: Port,
    state: Arc<LinkState>,
}

#[derive(Debug, Default)]
struct LinkState {
    ended: AtomicBool,
    delay_micros: AtomicU64,
    /// Bytes per second; 0 is unlimited.
    rate: AtomicU64,
    hold_there: AtomicBool,
    hold_back: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// The direction of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    There,
    Back,
}

impl NetworkLink {
    /// Makes a line to `address`, where nothing needs to listen yet; connections are refused until something does.
    pub fn to(address: &str) -> Self {
        let (port, state) = (Port::claim(), Arc::new(LinkState::default()));
        let listener = TcpListener::bind(port.address()).unwrap();
        let (kept, address) = (Arc::clone(&state), address.to_owned());
        thread::spawn(move || {
            for near in listener.incoming() {
                if state.ended.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(near) = near {
                    // Members must tolerate a failed connection.
                    state.join(near, &address);
                }
            }
        });
        Self { port, state: kept }
    }

    /// Returns `127.0.0.1:port` of the near end.
    pub fn address(&self) -> String {
        self.port.address()
    }

    /// Sets the delay of every byte from now on, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.state.delay_micros.store(u64::try_from(delay.as_micros()).unwrap(), Ordering::SeqCst);
    }

    /// Sets the bytes per second in each direction; 0 is unlimited.
    pub fn rate(&self, bytes: u64) {
        self.state.rate.store(bytes, Ordering::SeqCst);
    }

    /// Holds back bytes to the member (`there`), and from it on these connections (`back`).
    pub fn hold(&self, there: bool, back: bool) {
        self.state.hold_there.store(there, Ordering::SeqCst);
        self.state.hold_back.store(back, Ordering::SeqCst);
    }
}

impl LinkState {
    fn join(self: &Arc<Self>, near: TcpStream, address: &str) {
        let Ok(far) = TcpStream::connect(address) else {
            near.shutdown(Shutdown::Both).ok();
            return;
        };
        for stream in [&near, &far] {
            stream.set_nodelay(true).ok();
            self.open.lock().unwrap().extend(stream.try_clone());
        }
        let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { return };
        self.carry(near, far, Direction::There);
        self.carry(far_too, near_too, Direction::Back);
    }

    /// One thread reads and records the time, the other writes after the delay.
    fn carry(self: &Arc<Self>, mut from: TcpStream, to: TcpStream, way: Direction) {
        let (sender, receiver): (SyncSender<(Instant, Vec<u8>)>, _) = sync_channel(BLOCKS);
        let state = Arc::clone(self);
        thread::spawn(move || state.deliver(&receiver, to, way));
        thread::spawn(move || {
            let mut buffer = vec![0; 16 << 10];
            while let Ok(size @ 1..) = from.read(&mut buffer) {
                if sender.send((Instant::now(), buffer[..size].to_vec())).is_err() {
                    break;
                }
            }
            from.shutdown(Shutdown::Read).ok();
        });
    }

    fn deliver(&self, blocks: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream, way: Direction) {
        while let Ok((read, block)) = blocks.recv() {
            let delay = Duration::from_micros(self.delay_micros.load(Ordering::SeqCst));
            sleep((read + delay).saturating_duration_since(Instant::now()));
            while self.held(way) {
                sleep(Duration::from_millis(2));
            }
            if let rate @ 1.. = self.rate.load(Ordering::SeqCst) {
                sleep(Duration::from_secs_f64(block.len() as f64 / rate as f64));
            }
            if to.write_all(&block).is_err() {
                break;
            }
        }
        to.shutdown(Shutdown::Both).ok();
    }

    fn held(&self, way: Direction) -> bool {
        let hold = if way == Direction::There { &self.hold_there } else { &self.hold_back };
        hold.load(Ordering::SeqCst) && !self.ended.load(Ordering::SeqCst)
    }
}

impl Drop for NetworkLink {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        for stream in self.state.open.lock().unwrap().drain(..) {
            // Either end may have closed it already.
            stream.shutdown(Shutdown::Both).ok();
        }
        // Wakes the accept, which then sees the end.
        TcpStream::connect(self.port.address()).ok();
    }
}

mod tests {
    use super::*;

    /// Starts a server that sends back what it receives.
    fn echo() -> (Port, NetworkLink) {
        let port = Port::claim();
        let listener = TcpListener::bind(port.address()).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten().take(1) {
                let (mut from, mut to) = (stream.try_clone().unwrap(), stream);
                std::io::copy(&mut from, &mut to).ok();
            }
        });
        let line = NetworkLink::to(&port.address());
        (port, line)
    }

    fn round(stream: &mut TcpStream, bytes: usize) -> Duration {
        let begun = Instant::now();
        stream.write_all(&vec![7; bytes]).unwrap();
        stream.read_exact(&mut vec![0; bytes]).unwrap();
        begun.elapsed()
    }

    #[test]
    fn a_link_delays_holds_and_throttles_traffic() {
        let (_port, line) = echo();
        let mut stream = TcpStream::connect(line.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        round(&mut stream, 10);
        line.delay(Duration::from_millis(60));
        let took = round(&mut stream, 10);
        assert!(took >= Duration::from_millis(120), "{took:?}");
        line.delay(Duration::ZERO);
        line.rate(50_000);
        let took = round(&mut stream, 20_000);
        assert!(took >= Duration::from_millis(400), "{took:?}");
        line.rate(0);
        for (there, back) in [(true, false), (false, true)] {
            line.hold(there, back);
            stream.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
            stream.write_all(b"x").unwrap();
            assert!(stream.read_exact(&mut [0]).is_err(), "{there} {back}");
            line.hold(false, false);
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
    }
}
