//! Reads request bodies up to a limit, or discards them.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout};

use super::client_memory::{ClientShare, Reservation};

/// The longest pause within a body.
const BODY_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a body may take at most.
const BODY_TIMEOUT: Duration = Duration::from_secs(360);
/// How long a body may take whatever its length.
const MIN_BODY_TIME: Duration = Duration::from_secs(30);
/// The rate at which it must arrive beyond that, in bytes each second: ten mebibytes have six minutes.
const MIN_BODY_RATE: usize = 32 << 10;
/// How often a body that does not arrive is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// While the memory for bodies is scarce, each body must bring this many bytes in each interval of this length.
const SCARCE_INTERVAL: Duration = Duration::from_secs(5);
const MIN_BYTES_WHILE_SCARCE: usize = 64 << 10;
/// How much of an unwanted body is read and discarded. If the connection closed while the client still sends, the
/// response would be lost; that only happens to clients that send more than this.
const MAX_DISCARDED_BYTES: usize = 64 << 20;

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It is longer than allowed.
    TooLarge,
    /// Too many bodies are in memory already.
    MemoryLimit,
    /// It was cut off, was too slow, or violates HTTP's framing.
    Broken,
}

/// A body, with the reservation of its memory: keep it as long as anything made from it.
#[derive(Debug, Default)]
pub(crate) struct BufferedBody {
    pub(crate) bytes: Bytes,
    _reservation: Option<Reservation>,
}

/// Reads a body of at most `limit` bytes into the client's share of the memory.
pub(crate) async fn take(
    body: Incoming,
    limit: usize,
    share: &ClientShare,
) -> Result<BufferedBody, BodyError> {
    if body.is_end_stream() {
        return Ok(BufferedBody::default());
    }
    let mut reader = BodyReader::new(body, Some(share));
    if reader.body.size_hint().lower() > limit as u64 {
        reader.read_to_end().await?;
        return Err(BodyError::TooLarge);
    }
    let Some(first) = reader.frame().await? else { return Ok(BufferedBody::default()) };
    // The usual case: the body arrived together with the head and needs no own buffer.
    if reader.body.is_end_stream() && first.len() <= limit {
        return Ok(BufferedBody { bytes: first, _reservation: None });
    }
    let mut reservation = share.reservation();
    if !reservation.grow(first.len()) {
        return Err(BodyError::MemoryLimit);
    }
    let mut all = BytesMut::from(first);
    while let Some(data) = reader.frame().await? {
        if all.len() + data.len() > limit {
            drop((all, reservation));
            reader.read_to_end().await?;
            return Err(BodyError::TooLarge);
        }
        if !reservation.grow(data.len()) {
            return Err(BodyError::MemoryLimit);
        }
        all.extend_from_slice(&data);
    }
    Ok(BufferedBody { bytes: all.freeze(), _reservation: Some(reservation) })
}

/// Discards an unneeded body, so that the connection can be used again. If that fails, the connection closes after
/// the response.
pub(crate) async fn discard(body: Incoming) {
    read_to_end(body).await.ok();
}

/// Reads a body and discards it.
pub(crate) async fn read_to_end(body: Incoming) -> Result<(), BodyError> {
    if body.is_end_stream() {
        return Ok(());
    }
    BodyReader::new(body, None).read_to_end().await
}

/// Reads a body in limited time.
struct BodyReader<'s> {
    body: Incoming,
    /// The memory that the body is read into, if it is not discarded.
    share: Option<&'s ClientShare>,
    begun: Instant,
    received: usize,
    last_data: Instant,
    /// The begin of the interval that is checked while memory is scarce, and what had been received then.
    interval: (Instant, usize),
}

impl<'s> BodyReader<'s> {
    fn new(body: Incoming, share: Option<&'s ClientShare>) -> Self {
        let now = Instant::now();
        Self { body, share, begun: now, received: 0, last_data: now, interval: (now, 0) }
    }

    async fn read_to_end(&mut self) -> Result<(), BodyError> {
        while !self.body.is_end_stream() && self.received < MAX_DISCARDED_BYTES {
            if self.frame().await?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Returns the next piece of data; trailers are skipped.
    async fn frame(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            match timeout(CHECK_INTERVAL, self.body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        let now = Instant::now();
                        self.received += data.len();
                        self.last_data = now;
                        return if self.is_late(now) { Err(BodyError::Broken) } else { Ok(Some(data)) };
                    }
                }
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err(BodyError::Broken),
                Err(_) if self.is_late(Instant::now()) => return Err(BodyError::Broken),
                Err(_) => {}
            }
        }
    }

    /// Returns whether the body arrives too slowly.
    fn is_late(&mut self, now: Instant) -> bool {
        let took = now - self.begun;
        let allowed = MIN_BODY_TIME + Duration::from_secs((self.received / MIN_BODY_RATE) as u64);
        if now - self.last_data >= BODY_STALL_TIMEOUT || took > allowed.min(BODY_TIMEOUT) {
            return true;
        }
        let (since, received) = self.interval;
        if now - since < SCARCE_INTERVAL {
            return false;
        }
        self.interval = (now, self.received);
        self.received - received < MIN_BYTES_WHILE_SCARCE && self.share.is_some_and(ClientShare::is_scarce)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyper::http::request::Parts;
    use hyper::{Response, StatusCode};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::time::sleep;

    use super::super::connection::serve;
    use super::super::{Body, ConnState, ServerContext, Service};
    use super::*;

    const LIMIT: usize = 10 << 20;

    /// Takes bodies and says how that ended.
    #[derive(Debug)]
    struct Taking(Arc<ServerContext>);

    impl Service for Taking {
        fn context(&self) -> &Arc<ServerContext> {
            &self.0
        }

        async fn handle(conn: &Arc<ConnState<Self>>, _: Parts, body: Incoming) -> Response<Body> {
            let taken = take(body, LIMIT, &conn.bodies()).await;
            let mut response = Response::new(Body::Full(Bytes::new()));
            *response.status_mut() = match taken {
                Ok(_) => StatusCode::OK,
                Err(BodyError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
                Err(BodyError::MemoryLimit) => StatusCode::SERVICE_UNAVAILABLE,
                Err(BodyError::Broken) => StatusCode::BAD_REQUEST,
            };
            response
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own task")]
    fn serving() -> (Arc<ServerContext>, DuplexStream) {
        let context = Arc::new(ServerContext::new(10));
        let (near, far) = tokio::io::duplex(1 << 16);
        let conn = ConnState::new(Arc::new(Taking(Arc::clone(&context))), false, Arc::default());
        tokio::spawn(serve(far, conn));
        (context, near)
    }

    /// Sends a body of `length` bytes in pieces of `piece` bytes, each after `pause` seconds. Returns the status, and the
    /// seconds until then.
    async fn sent(near: DuplexStream, length: usize, piece: usize, pause: u64) -> (String, u64) {
        let begun = Instant::now();
        let (mut reading, mut writing) = tokio::io::split(near);
        let head = format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        let sending = async {
            writing.write_all(head.as_bytes()).await.unwrap();
            let mut left = length;
            while left > 0 {
                sleep(Duration::from_secs(pause)).await;
                if writing.write_all(&vec![b'x'; piece.min(left)]).await.is_err() {
                    break;
                }
                left -= piece.min(left);
            }
            std::future::pending::<()>().await;
        };
        let mut said = [0; 12];
        tokio::select! {
            () = sending => {}
            read = reading.read_exact(&mut said) => { read.unwrap(); }
        }
        (String::from_utf8_lossy(&said[9..]).into_owned(), begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_must_arrive_at_a_minimum_rate() {
        for (length, piece, pause, status, seconds) in [
            (100_000, 1, 24, "400", 30..50),
            (5 << 20, 64 << 10, 10, "400", 35..60),
            (10 << 20, 300 << 10, 8, "200", 200..300),
            (10 << 20, 10 << 20, 1, "200", 0..3),
            (100, 100, 20, "200", 19..22),
        ] {
            let (context, near) = serving();
            let (said, after) = sent(near, length, piece, pause).await;
            assert_eq!(said, status, "{piece} bytes each {pause} s");
            assert!(seconds.contains(&after), "{piece} bytes each {pause} s: {after} s");
            sleep(Duration::from_secs(1)).await;
            assert_eq!(context.taken_memory()[0], 0);
        }
    }

    #[tokio::test(start_paused = true)]
    #[expect(clippy::disallowed_methods, reason = "a test's own task")]
    async fn while_memory_is_scarce_slow_bodies_end_soon_and_small_ones_pass() {
        let (context, near) = serving();
        let other = ConnState::new(Arc::new(Taking(Arc::clone(&context))), false, Arc::default())
            .of([10, 0, 0, 1].into());
        let mut taken = other.bodies().reservation();
        assert!(taken.grow(150 << 20));
        // This pace is enough otherwise.
        assert_eq!(sent(near, LIMIT, 40 << 10, 1).await.0, "200", "forty KiB each second");
        let slow = |piece| {
            let (near, far) = tokio::io::duplex(1 << 16);
            tokio::spawn(serve(
                far,
                ConnState::new(Arc::new(Taking(Arc::clone(&context))), false, Arc::default()),
            ));
            sent(near, LIMIT, piece, 1)
        };
        let (said, after) = slow(8 << 10).await;
        assert!(said == "400" && after < 12, "{said} after {after} s");
    }
}
