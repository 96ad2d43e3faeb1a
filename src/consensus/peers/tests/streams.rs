//! Streams: order, loss, overflow, farewell.

use std::sync::atomic::Ordering::Relaxed;

use raft::prelude::MessageType;

use super::super::Inbound;
use super::super::peer_queue::{MAX_QUEUED_BYTES, MAX_QUEUED_MESSAGES};
use super::{append, bind, directory, eventually, message, pair, start};

#[tokio::test]
async fn messages_arrive_in_order_with_the_senders_time() {
    let (one, two) = pair().await;
    for index in 0..2000 {
        one.peer_sender.send(vec![append(1, 2, index, 100)]);
        if index % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    eventually("all are there", || two.appends().len() == 2000).await;
    assert_eq!(two.appends(), (0..2000).collect::<Vec<_>>());
    let times = |inbound: &Inbound| matches!(inbound, Inbound::Messages { from: 1, time: 77, .. });
    assert!(two.has(times));
    two.peer_sender.send(vec![message(MessageType::MsgAppendResponse, 2, 1)]);
    one.until("the answer", |inbound| matches!(inbound, Inbound::Messages { from: 2, .. })).await;
    let metrics = &one.peer_sender.metrics()[0];
    assert!(metrics.id == 2 && metrics.connected && metrics.sent_appends == 2000, "{metrics:?}");
    assert_eq!(two.peer_sender.metrics()[0].received_appends, 2000);
    eventually("a ping was answered", || one.peer_sender.metrics()[0].success > 0).await;
    let latency = one.peer_sender.metrics()[0].latency;
    assert!(
        latency.minimum > 0.0 && latency.minimum <= latency.average && latency.average <= latency.maximum
    );
}

#[tokio::test]
async fn a_heartbeat_does_not_wait_behind_appends() {
    let (one, two) = pair().await;
    let mut messages: Vec<_> = (0..30).map(|index| append(1, 2, index, 1 << 20)).collect();
    messages.push(message(MessageType::MsgHeartbeat, 1, 2));
    one.peer_sender.send(messages);
    eventually("the appends", || two.appends().len() == 30).await;
    let first = two.take().into_iter().find_map(|inbound| match inbound {
        Inbound::Messages { messages, .. } => messages.first().map(|message| message.get_msg_type()),
        _ => None,
    });
    assert_eq!(first, Some(MessageType::MsgHeartbeat));
}

#[tokio::test]
async fn a_killed_member_is_unreachable_then_gone_once_and_reconnected_when_it_is_back() {
    let (one, mut two) = pair().await;
    one.take();
    two.kill().await;
    one.until("it is gone", |inbound| matches!(inbound, Inbound::Gone(2))).await;
    one.peer_sender.send(vec![append(1, 2, 5, 1)]);
    let mut again = directory(2, &[(1, &one.url), (2, &two.url)]);
    again.process = 5;
    let two = start(again, bind(&two.url));
    one.until("it is back", |inbound| matches!(inbound, Inbound::Connected(2))).await;
    two.until("both ways", |inbound| matches!(inbound, Inbound::Connected(1))).await;
    let seen = one.take();
    assert!(
        matches!(seen[..], [Inbound::Unreachable(2), Inbound::Gone(2), Inbound::Connected(2)]),
        "{seen:?}"
    );
    one.peer_sender.send(vec![append(1, 2, 6, 1)]);
    eventually("it is spoken to", || !two.appends().is_empty()).await;
    assert_eq!(two.appends(), [6], "what was sent into the void came out of it");
}

#[tokio::test]
async fn a_member_that_stops_notifies_its_peers() {
    let (one, mut two) = pair().await;
    two.end().await;
    one.until("it is gone", |inbound| matches!(inbound, Inbound::Gone(2))).await;
    one.until("its stream broke", |inbound| matches!(inbound, Inbound::Unreachable(2))).await;
    // Its port is tried a few more times.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let gone = one.take().iter().filter(|inbound| matches!(inbound, Inbound::Gone(2))).count();
    assert_eq!(gone, 1);
}

#[tokio::test]
async fn a_full_queue_drops_messages_and_reports_it_once() {
    let (one, two) = pair().await;
    one.take();
    // The task that empties the queue does not run before the next await.
    let surplus = 100;
    for index in 0..(MAX_QUEUED_MESSAGES + surplus) as u64 {
        one.peer_sender.send(vec![append(1, 2, index, 10)]);
    }
    assert_eq!(one.peer_sender.metrics()[0].dropped, surplus as u64);
    one.until("it is told", |inbound| matches!(inbound, Inbound::Unreachable(2))).await;
    eventually("the rest comes", || two.appends().len() == MAX_QUEUED_MESSAGES).await;
    assert_eq!(one.take().len(), 1);
    one.peer_sender.send((0..70).map(|index| append(1, 2, index, 1 << 20)).collect());
    let dropped = one.peer_sender.metrics()[0].dropped - surplus as u64;
    assert!((6..10).contains(&dropped), "{dropped} of 70 MiB were dropped at {MAX_QUEUED_BYTES}");
}

#[tokio::test]
async fn a_slow_driver_loses_messages_but_no_notices() {
    let (one, mut two) = pair().await;
    one.take();
    one.full.store(true, Relaxed);
    two.peer_sender.send(vec![append(2, 1, 1, 1)]);
    eventually("it is dropped", || one.peer_sender.metrics()[0].dropped == 1).await;
    two.kill().await;
    eventually("the stream broke", || !one.peer_sender.metrics()[0].connected).await;
    one.full.store(false, Relaxed);
    one.until("it is told late", |inbound| matches!(inbound, Inbound::Unreachable(2))).await;
    assert!(one.appends().is_empty());
}

#[tokio::test]
async fn a_vote_request_made_just_before_the_stream_opens_is_sent() {
    let (first, second) = (bind("http://127.0.0.1:0"), bind("http://127.0.0.1:0"));
    let urls = (first.urls()[0].clone(), second.urls()[0].clone());
    let group = [(1, urls.0.as_str()), (2, urls.1.as_str())];
    let one = start(directory(1, &group), first);
    one.peer_sender.send(vec![message(MessageType::MsgRequestPreVote, 1, 2), append(1, 2, 1, 1)]);
    let two = start(directory(2, &group), second);
    two.until("the question", |inbound| matches!(inbound, Inbound::Messages { from: 1, .. })).await;
    assert!(two.appends().is_empty());
}

#[tokio::test]
async fn three_members_exchange_messages_and_a_removed_one_is_disconnected() {
    let servers: Vec<_> = (0..3).map(|_| bind("http://127.0.0.1:0")).collect();
    let urls: Vec<_> = servers.iter().map(|server| server.urls()[0].clone()).collect();
    let group: Vec<_> = (1..).zip(urls.iter().map(String::as_str)).collect();
    let sides: Vec<_> = (1..).zip(servers).map(|(id, server)| start(directory(id, &group), server)).collect();
    for side in &sides {
        eventually("all are connected", || {
            side.peer_sender.metrics().iter().all(|metrics| metrics.connected)
        })
        .await;
    }
    sides[0].peer_sender.send(vec![append(1, 3, 8, 1), append(1, 2, 9, 1), append(1, 7, 9, 1)]);
    eventually("2 has its own", || sides[1].appends() == [9]).await;
    eventually("3 has its own", || sides[2].appends() == [8]).await;
    // 3 leaves.
    for side in &sides[..2] {
        let mut directory = side.hub.directory().as_ref().clone();
        directory.members.remove(&3);
        directory.removed.insert(3);
        side.hub.set_addresses(
            directory
                .members
                .iter()
                .filter(|(id, _)| **id != directory.own)
                .map(|(id, known)| (*id, known.member.peer_urls.clone()))
                .collect(),
        );
        side.set_directory(directory);
    }
    sides[2].until("it is told", |inbound| matches!(inbound, Inbound::Removed)).await;
    assert_eq!(sides[0].peer_sender.metrics().len(), 1);
}

#[tokio::test]
async fn a_silent_member_is_unreachable_but_not_gone() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (server, url) = (bind("http://127.0.0.1:0"), format!("http://{}", socket.local_addr().unwrap()));
    let own = server.urls()[0].clone();
    let one = start(directory(1, &[(1, &own), (2, &url)]), server);
    let (mut stream, _) = socket.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: retune-peers\r\nRetune-Form: 1\r\n\r\n";
    stream.write_all(answer.as_bytes()).await.unwrap();
    one.until("it greeted", |inbound| matches!(inbound, Inbound::Connected(2))).await;
    let since = std::time::Instant::now();
    one.until("it is silent", |inbound| matches!(inbound, Inbound::Unreachable(2))).await;
    assert!(since.elapsed() >= super::ELECTION_TIMEOUT, "{:?}", since.elapsed());
    drop(stream);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(!one.has(|inbound| matches!(inbound, Inbound::Gone(2))));
}
