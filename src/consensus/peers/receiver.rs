//! The receiving side of a stream: frames in, messages to the driver, pongs back.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use raft::prelude::{Message, MessageType};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::Inbound;
use super::fetch_request::WantedSnapshot;
use super::frame::{self, Frame};
use super::hub::{PING_INTERVAL, PeerHub, SessionGuard};
use super::proof::StreamKeys;
use crate::stop::Stop;

/// The timeout for writing a pong.
const PONG_WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Receives from member `from` until the stream ends.
pub(super) async fn run<S>(
    stream: S,
    (from, keys): (u64, Option<StreamKeys>),
    open_session: &SessionGuard,
    hub: &Arc<PeerHub>,
    stop: &Stop,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tracing::debug!("member {from:x} opened a stream");
    tokio::select! {
        why = listen(stream, (from, keys), open_session, hub) => {
            let words = format!("the stream from member {} ended: {why}", hub.directory().shown(from));
            if hub.log_throttle.due_exact(&words) {
                tracing::info!("{words}");
            }
        }
        () = open_session.end.wait() => tracing::debug!("member {from:x} opened another stream"),
        () = stop.wait() => {}
    }
}

async fn listen<S>(
    stream: S,
    (from, keys): (u64, Option<StreamKeys>),
    open_session: &SessionGuard,
    hub: &Arc<PeerHub>,
) -> String
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = frame::ahead(reader);
    let (mut sent, mut received) = keys.map(|keys| (keys.sent, keys.received)).unzip();
    // The sender pings, so it must be the first to notice a loss.
    let idle_timeout = (hub.election * 3).max(PING_INTERVAL * 6);
    loop {
        let (frame, size) = match timeout(idle_timeout, frame::read(&mut reader, received.as_mut())).await {
            Err(_) => return "it does not respond".to_owned(),
            Ok(Err(error)) => return error.to_string(),
            Ok(Ok(None)) => return "it was closed".to_owned(),
            Ok(Ok(Some(read))) => read,
        };
        open_session.record_activity();
        let directory = hub.directory();
        if !directory.knows(from) {
            return "it is not a member any more".to_owned();
        }
        if let Some(peer_queue) = hub.peer_queue(from) {
            peer_queue.metrics.received_bytes.fetch_add(size as u64, Relaxed);
        }
        match frame {
            Frame::Ping(nonce) => {
                let mut pong = Vec::with_capacity(64);
                frame::put_sealed(&mut pong, sent.as_mut(), |out| frame::put_pong(out, nonce));
                let written = timeout(PONG_WRITE_TIMEOUT, async {
                    writer.write_all(&pong).await?;
                    writer.flush().await
                });
                match written.await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return error.to_string(),
                    Err(_) => return "it does not read replies".to_owned(),
                }
            }
            Frame::Messages { time, messages } => {
                if messages.iter().any(|message| !belongs(message, from, directory.own)) {
                    return "it sent a message from or for another member".to_owned();
                }
                take(hub, from, time, messages);
            }
            Frame::SnapshotFailed(index) => {
                let shown = directory.shown(from);
                tracing::warn!("member {shown} gave up on the snapshot at log index {index}");
                hub.report(Inbound::SnapshotFailed(from)).await;
            }
            Frame::Close => {
                hub.report_gone(from).await;
                return "it stopped".to_owned();
            }
            Frame::Pong(_) => return "it sent a pong without a ping".to_owned(),
        }
    }
}

fn belongs(message: &Message, from: u64, own: u64) -> bool {
    // A request to transfer the leadership is forwarded in the name of the member that is to lead.
    message.to == own && (message.from == from || message.get_msg_type() == MessageType::MsgTransferLeader)
}

fn take(hub: &Arc<PeerHub>, from: u64, time: crate::keyspace::Time, mut messages: Vec<Message>) {
    let is_snapshot = |message: &mut Message| message.get_msg_type() == MessageType::MsgSnapshot;
    for message in messages.extract_if(.., is_snapshot) {
        hub.fetch_request.set(WantedSnapshot { from, message });
    }
    let peer_queue = hub.peer_queue(from);
    let appends = messages.iter().filter(|message| message.get_msg_type() == MessageType::MsgAppend).count();
    let count = messages.len();
    if count == 0 || (hub.deliver)(Inbound::Messages { from, time, messages }).is_ok() {
        if let Some(peer_queue) = peer_queue {
            peer_queue.metrics.received_appends.fetch_add(appends as u64, Relaxed);
        }
        return;
    }
    // Raft repeats what matters.
    if let Some(peer_queue) = peer_queue {
        peer_queue.metrics.dropped.fetch_add(count as u64, Relaxed);
    }
    if hub.log_throttle.due_exact("driver full") {
        tracing::warn!("messages of other members were dropped: this member does not keep up");
    }
}
