//! The task that sends to one other member: connects, shakes hands, writes queued messages, and notices when it is
//! gone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use raft::prelude::MessageType;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Inbound;
use super::call::{self, Refusal, call};
use super::dial;
use super::frame::{self, Frame};
use super::hub::{PING_INTERVAL, PeerHub};
use super::message_codec;
use super::peer_queue::PeerQueue;
use super::proof::{FrameKey, StreamKeys};
use super::removal::Removal;
use crate::backoff::Backoff;
use crate::stop::Stop;

/// The minimum delay between two attempts to connect.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(10);
const MAX_RETRY_DELAY: Duration = Duration::from_millis(500);
/// How long the other side may take to respond to a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// A stream that lasted this long worked: the next attempt follows at once.
const STABLE_STREAM_AGE: Duration = Duration::from_secs(1);
/// The response of a TLS port to plain HTTP, in Go's words.
const WANTS_TLS: &str = "Client sent an HTTP request to an HTTPS server";
/// The timeout of the close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(300);

/// The path at which a stream is requested.
pub(super) const STREAM: &str = "/retune/peers/stream";
/// The protocol of a stream.
pub(super) const PROTOCOL: &str = "retune-peers";

/// The header with the version of the message encoding that both sides speak.
pub(super) const VERSION_HEADER: &str = "Retune-Form";

/// Why there is no stream.
enum ConnectError {
    /// Nothing listens at any of its URLs.
    NotRunning,
    /// It refused.
    Refused(Refusal),
    Failed(String),
}

/// A stream after its handshake.
struct OpenStream {
    stream: Upgraded,
    keys: Option<StreamKeys>,
}

/// Runs until the stop, or until the member is removed.
pub(super) async fn run(peer_queue: Arc<PeerQueue>, hub: Arc<PeerHub>, stop: Stop) {
    tokio::select! {
        () = peer_queue.end.wait() => {}
        () = work(&peer_queue, &hub, &stop) => {}
    }
    peer_queue.stream_closed();
}

async fn work(peer_queue: &PeerQueue, hub: &PeerHub, stop: &Stop) {
    let id = peer_queue.id;
    let mut backoff = Backoff::new(MIN_RETRY_DELAY, MAX_RETRY_DELAY);
    let mut known = false;
    while !stop.requested() {
        let connected = tokio::select! {
            connected = connect(peer_queue, hub) => connected,
            () = stop.wait() => return,
        };
        match connected {
            Ok(OpenStream { stream, keys }) => {
                known = true;
                hub.removal.withdraw(id);
                peer_queue.stream_opened(hub.election);
                tracing::info!("connected to member {}", hub.directory().shown(id));
                hub.report(Inbound::Connected(id)).await;
                let since = Instant::now();
                let why = run_stream((TokioIo::new(stream), keys), peer_queue, hub, stop).await;
                peer_queue.stream_closed();
                if stop.requested() {
                    return;
                }
                let words = format!("the stream to member {} broke: {why}", hub.directory().shown(id));
                if hub.log_throttle.due_exact(&words) {
                    tracing::warn!("{words}");
                }
                hub.report(Inbound::Unreachable(id)).await;
                if since.elapsed() >= STABLE_STREAM_AGE {
                    backoff.reset();
                    continue;
                }
            }
            Err(ConnectError::NotRunning) if known => hub.report_gone(id).await,
            Err(connect_error) => log_connect_error(hub, peer_queue, connect_error).await,
        }
        tokio::select! { () = sleep(backoff.next()) => {}, () = stop.wait() => return }
    }
}

/// Logs once why there is no stream.
async fn log_connect_error(hub: &PeerHub, peer_queue: &PeerQueue, connect_error: ConnectError) {
    let (id, shown) = (peer_queue.id, hub.directory().shown(peer_queue.id));
    let words = match connect_error {
        ConnectError::NotRunning => {
            format!("member {shown} is not running, or not at its peer URLs {}", peer_queue.urls().join(", "))
        }
        ConnectError::Refused(refusal) if refusal.reason.starts_with(WANTS_TLS) => {
            format!(
                "member {shown} speaks TLS at {}, and its URL must begin with https:// (ctl member update {id:x} URL)",
                peer_queue.urls().join(", ")
            )
        }
        ConnectError::Refused(refusal) => {
            let reason = format!("{} ({})", refusal.reason, refusal.status.as_u16());
            match removal(hub, id, &refusal) {
                Some(Removal::Confirmed) => hub.report(Inbound::Removed).await,
                Some(Removal::Reported { by, needed }) => {
                    let words = format!(
                        "member {shown} reports that this one was removed: {reason}. {by} of {needed} members that must \
                         report it did; this member continues until then"
                    );
                    return log(hub, &words);
                }
                None => {}
            }
            format!("member {shown} refuses to listen: {reason}")
        }
        ConnectError::Failed(error) => format!("member {shown} cannot be reached: {error}"),
    };
    log(hub, &words);
}

fn log(hub: &PeerHub, words: &str) {
    if hub.log_throttle.due_exact(words) {
        tracing::warn!("{words}");
    }
}

/// Returns what follows from a refusal of member `id` if it says that this member was removed. Where members can prove
/// it, nothing else counts.
fn removal(hub: &PeerHub, id: u64, refusal: &Refusal) -> Option<Removal> {
    if refusal.status != StatusCode::GONE || (hub.secret.is_some() && !refusal.proven) {
        hub.removal.withdraw(id);
        return None;
    }
    Some(hub.removal.add(&hub.directory(), id, refusal.proven))
}

/// Tries each URL in turn.
async fn connect(peer_queue: &PeerQueue, hub: &PeerHub) -> Result<OpenStream, ConnectError> {
    let (mut nobody, mut connect_error) = (true, ConnectError::NotRunning);
    for url in peer_queue.urls() {
        match open_stream(&url, peer_queue.id, hub).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(refusal)) => {
                nobody = false;
                connect_error = ConnectError::Refused(refusal);
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => {
                nobody = false;
                let error = call::explain(hub, &url, error);
                if !matches!(connect_error, ConnectError::Refused(_)) {
                    connect_error = ConnectError::Failed(format!("{url}: {error}"));
                }
            }
        }
    }
    Err(if nobody { ConnectError::NotRunning } else { connect_error })
}

async fn open_stream(url: &str, to: u64, hub: &PeerHub) -> io::Result<Result<OpenStream, Refusal>> {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    let asked = call(hub, (url, to), STREAM, headers, |reply| async move {
        if reply.response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return reply.refusal().await.map(Err);
        }
        let form = reply.response.headers().get(VERSION_HEADER).and_then(|value| value.to_str().ok());
        let form = form.unwrap_or_default().to_owned();
        let (response, call) = reply.check(form.as_bytes())?;
        // There is one form so far; a later version must use the one in the response.
        if !form.parse().is_ok_and(|form: u32| {
            (message_codec::OLDEST_VERSION..=message_codec::NEWEST_VERSION).contains(&form)
        }) {
            return Err(io::Error::other("it responded with a message form that was not offered"));
        }
        let keys = call.map(|call| call.caller_keys());
        let upgraded = hyper::upgrade::on(response).await;
        upgraded.map(|stream| Ok(OpenStream { stream, keys })).map_err(io::Error::other)
    });
    timeout(HANDSHAKE_TIMEOUT, asked)
        .await
        .map_err(|_| dial::timed_out("it did not respond to the handshake in time"))?
}

/// Writes and reads until the stream breaks, or the stop; returns why it ended.
async fn run_stream<S>(
    (stream, keys): (S, Option<StreamKeys>),
    peer_queue: &PeerQueue,
    hub: &PeerHub,
    stop: &Stop,
) -> String
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (sent, received) = keys.map(|keys| (keys.sent, keys.received)).unzip();
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = frame::ahead(reader);
    let asked = PingTimes { at: Instant::now(), nonce: AtomicU64::new(0) };
    let ended = tokio::select! {
        ended = listen((&mut reader, received), peer_queue, hub, &asked) => ended,
        ended = write((&mut writer, sent), peer_queue, hub, stop, &asked) => ended,
        () = async { stop.wait().await; sleep(CLOSE_TIMEOUT).await } => Ok(()),
    };
    match ended {
        Ok(()) => "the other side closed it".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// When pings were sent: their nonce is the time since the stream began.
struct PingTimes {
    at: Instant,
    /// The last one that got a pong.
    nonce: AtomicU64,
}

async fn listen(
    (reader, mut key): (&mut (impl AsyncRead + Unpin), Option<FrameKey>),
    peer_queue: &PeerQueue,
    hub: &PeerHub,
    asked: &PingTimes,
) -> io::Result<()> {
    loop {
        let read = timeout(hub.election + PING_INTERVAL, frame::read(reader, key.as_mut())).await;
        let read = read.map_err(|_| dial::timed_out("no reply for longer than the election timeout"))??;
        match read {
            None => return Ok(()),
            Some((Frame::Pong(nonce), _)) => {
                let now = u64::try_from(asked.at.elapsed().as_nanos()).unwrap_or(u64::MAX);
                if nonce > asked.nonce.swap(nonce, Relaxed) && nonce <= now {
                    peer_queue.metrics.took(Duration::from_nanos(now - nonce));
                }
            }
            Some(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it sent a frame of the wrong direction",
                ));
            }
        }
    }
}

async fn write(
    (writer, mut key): (&mut (impl AsyncWrite + Unpin), Option<FrameKey>),
    peer_queue: &PeerQueue,
    hub: &PeerHub,
    stop: &Stop,
    asked: &PingTimes,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    let mut next_ping = Instant::now();
    loop {
        let batch = peer_queue.take(frame::TARGET_FRAME_BYTES);
        if batch.dropped {
            let shown = hub.directory().shown(peer_queue.id);
            tracing::warn!("messages for member {shown} were dropped: it does not keep up");
            hub.report(Inbound::Unreachable(peer_queue.id)).await;
        }
        for index in batch.failed {
            frame::put_sealed(&mut buffer, key.as_mut(), |out| frame::put_snapshot_failed(out, index));
        }
        if !batch.messages.is_empty() {
            let time = (hub.now)();
            frame::put_sealed(&mut buffer, key.as_mut(), |out| {
                frame::put_messages(out, time, &batch.messages);
            });
            let appends = |kind| kind == MessageType::MsgAppend;
            let count = batch.messages.iter().filter(|message| appends(message.get_msg_type())).count();
            peer_queue.metrics.sent_appends.fetch_add(count as u64, Relaxed);
        }
        if Instant::now() >= next_ping {
            next_ping = Instant::now() + PING_INTERVAL;
            let nonce = u64::try_from(asked.at.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1);
            frame::put_sealed(&mut buffer, key.as_mut(), |out| frame::put_ping(out, nonce));
        }
        if !buffer.is_empty() {
            writer.write_all(&buffer).await?;
            writer.flush().await?;
            peer_queue.metrics.sent_bytes.fetch_add(buffer.len() as u64, Relaxed);
            buffer.clear();
            // Release the space that a long append needed.
            buffer.shrink_to(2 * frame::TARGET_FRAME_BYTES);
            continue;
        }
        if stop.requested() {
            frame::put_sealed(&mut buffer, key.as_mut(), frame::put_close);
            writer.write_all(&buffer).await?;
            return writer.shutdown().await;
        }
        tokio::select! {
            () = peer_queue.wake.notified() => {}
            () = sleep_until(next_ping) => {}
            () = stop.wait() => {}
        }
    }
}
