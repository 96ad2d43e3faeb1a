//! The connection between a registrar and the store, which a script can cut, close or hold. Many of them share one
//! runtime, unlike the relay of other tests.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::support::fake_engine::runtime;

/// The mode of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It forwards.
    Open,
    /// Connections are closed, new ones at once.
    Closed,
    /// Connections stay open, but nothing is forwarded.
    Held,
}

/// One faulty connection.
pub(super) struct FaultyLink {
    address: String,
    mode: watch::Sender<Mode>,
    task: AbortHandle,
}

impl FaultyLink {
    /// Returns a connection to `far`.
    pub(super) async fn to(far: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mode = watch::Sender::new(Mode::Open);
        let modes = mode.subscribe();
        let task = runtime().spawn(carry_all(listener, far, modes)).abort_handle();
        Self { address, mode, task }
    }

    /// Returns `http://127.0.0.1:port` at the registrar's end.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns `127.0.0.1:port` at the registrar's end.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Changes the mode.
    pub(super) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for FaultyLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry_all(listener: TcpListener, far: String, modes: watch::Receiver<Mode>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            Ok((near, _)) = listener.accept() => {
                open.spawn(carry(near, far.clone(), modes.clone()));
            }
        }
    }
}

async fn carry(near: TcpStream, far: String, mut modes: watch::Receiver<Mode>) -> io::Result<()> {
    if *modes.borrow_and_update() == Mode::Closed {
        return Ok(());
    }
    let far = TcpStream::connect(far).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let (there, back) =
        (forward_bytes(near_in, far_out, modes.clone()), forward_bytes(far_in, near_out, modes.clone()));
    tokio::select! {
        // An error: the connection is gone.
        _ = modes.wait_for(|mode| *mode == Mode::Closed) => Ok(()),
        done = async { tokio::try_join!(there, back) } => done.map(|_| ()),
    }
}

async fn forward_bytes(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut modes: watch::Receiver<Mode>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let size = from.read(&mut buffer).await?;
        if modes.wait_for(|mode| *mode != Mode::Held).await.is_err() || size == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..size]).await?;
    }
}
