//! Connections of any kind.

use tokio::io::{AsyncRead, AsyncWrite};

/// The traits of a connection.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Io for S {}

/// A connection over TCP, TLS or a Unix socket.
pub(crate) type BoxedIo = Box<dyn Io>;
