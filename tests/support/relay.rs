//! A connection between the program and a server that a test can cut.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::port::Port;

/// Forwards connections to a server until it is cut.
pub struct TcpRelay {
    port: Port,
    shared: Arc<Shared>,
}

struct Shared {
    to: String,
    cut: AtomicBool,
    ended: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl TcpRelay {
    /// Returns a relay to `address`.
    pub fn to(address: &str) -> Self {
        let port = Port::claim();
        let listener = TcpListener::bind(port.address()).unwrap();
        let (cut, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        let shared = Arc::new(Shared { to: address.to_owned(), cut, ended, open: Mutex::default() });
        let kept = Arc::clone(&shared);
        thread::spawn(move || {
            for near in listener.incoming() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(near) = near {
                    // The program must cope with a connection that fails.
                    shared.join(near).ok();
                }
            }
        });
        Self { port, shared: kept }
    }

    /// Returns `http://127.0.0.1:port` of the program's end.
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// Ends every connection and refuses new ones.
    pub fn cut(&self) {
        self.shared.cut.store(true, Ordering::SeqCst);
        self.shared.close_all();
    }

    /// Lets new connections through again.
    pub fn restore(&self) {
        self.shared.cut.store(false, Ordering::SeqCst);
    }
}

impl Shared {
    fn join(self: &Arc<Self>, near: TcpStream) -> io::Result<()> {
        if self.cut.load(Ordering::SeqCst) {
            return near.shutdown(Shutdown::Both);
        }
        let far = TcpStream::connect(&self.to)?;
        self.open.lock().unwrap().extend([near.try_clone()?, far.try_clone()?]);
        let (near_too, far_too) = (near.try_clone()?, far.try_clone()?);
        thread::spawn(move || forward_bytes(near, far));
        thread::spawn(move || forward_bytes(far_too, near_too));
        if self.cut.load(Ordering::SeqCst) {
            self.close_all();
        }
        Ok(())
    }

    fn close_all(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            // Either end may have closed it already.
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

fn forward_bytes(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(size) = from.read(&mut buffer) {
        if size == 0 || to.write_all(&buffer[..size]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Write).ok();
}

impl Drop for TcpRelay {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the accept, which then sees that it has ended.
        TcpStream::connect(self.port.address()).ok();
    }
}
