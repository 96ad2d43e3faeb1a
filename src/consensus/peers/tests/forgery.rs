//! Claims that nobody can prove: that this member was removed, or that it lost entries.

use std::time::Duration;

use raft::prelude::{Message, MessageType};
use tempfile::TempDir;

use super::super::removal::{Removal, RemovalReports};
use super::{Inbound, PeerDirectory, Side, bind, directory, eventually, message, pair, start};
use crate::consensus::member::Member;
use crate::consensus::peers::KnownMember;
use crate::consensus::tests::settings;
use crate::consensus::{MemberFailure, RaftNode, Settings};
use crate::stop::Stop;

#[test]
fn an_unproven_removal_counts_once_a_majority_reports_it() {
    let urls: Vec<_> = (1..=5).map(|id| (id, "http://127.0.0.1:1")).collect();
    let of = |count: usize| directory(1, &urls[..count]);
    let reported = |by, needed| Removal::Reported { by, needed };
    let reports = RemovalReports::default();
    assert_eq!(reports.add(&of(5), 2, false), reported(1, 2));
    assert_eq!(reports.add(&of(5), 2, false), reported(1, 2), "one member counted twice");
    assert_eq!(reports.add(&of(5), 9, false), reported(1, 2), "a stranger counted");
    reports.withdraw(2);
    assert_eq!(reports.add(&of(5), 3, false), reported(1, 2));
    assert_eq!(reports.add(&of(5), 4, false), Removal::Confirmed);
    for (count, confirmed) in [(2, true), (3, true), (4, false), (5, false)] {
        let alone = RemovalReports::default().add(&of(count), 2, false) == Removal::Confirmed;
        assert_eq!(alone, confirmed, "{count}");
    }
    assert_eq!(RemovalReports::default().add(&of(5), 2, true), Removal::Confirmed, "it was proven");
    // Without a vote of its own, a member believes a majority of those that have one.
    let mut learner = of(4);
    learner.members.get_mut(&1).unwrap().member.learner = true;
    assert_eq!(RemovalReports::default().add(&learner, 2, false), reported(1, 2));
}

#[tokio::test]
async fn one_of_five_members_cannot_make_another_leave() {
    let servers: Vec<_> = (0..3).map(|_| bind("http://127.0.0.1:0")).collect();
    let urls: Vec<_> = servers.iter().map(|server| server.urls()[0].clone()).collect();
    let nobody = "http://127.0.0.1:1";
    let group = [(1, urls[0].as_str()), (2, &urls[1]), (3, &urls[2]), (4, nobody), (5, nobody)];
    let sides: Vec<_> = (1..).zip(servers).map(|(id, server)| start(directory(id, &group), server)).collect();
    let removed = |inbound: &Inbound| matches!(inbound, Inbound::Removed);
    let remove_at = |side: &Side| {
        let mut directory = PeerDirectory::clone(&side.hub.directory());
        directory.members.remove(&3);
        directory.removed.insert(3);
        side.set_directory(directory);
    };
    eventually("3 is connected", || {
        sides[2].peer_sender.metrics().iter().filter(|metrics| metrics.connected).count() == 2
    })
    .await;
    remove_at(&sides[0]);
    sides[2].until("a stream was cut", |inbound| matches!(inbound, Inbound::Unreachable(1))).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!sides[2].has(removed), "one member's word was enough");
    remove_at(&sides[1]);
    sides[2].until("two say so", removed).await;
}

#[tokio::test]
async fn a_leader_is_asked_at_its_address_what_a_member_confirmed() {
    let (one, two) = pair().await;
    for says in [Some(7), None] {
        two.take();
        two.peer_sender.check_loss(1);
        let mut reply = None;
        eventually("1 is asked", || {
            reply = one.take().into_iter().find_map(|inbound| match inbound {
                Inbound::AskConfirmed { of: 2, reply } => Some(reply),
                _ => None,
            });
            reply.is_some()
        })
        .await;
        reply.unwrap().send(says).unwrap();
        let told =
            |inbound: &Inbound| matches!(inbound, Inbound::LossChecked { confirmed } if *confirmed == says);
        two.until("2 is told", told).await;
    }
}

/// A real member in a group of two. The other one is played by the test, which may have taken its name.
struct Target {
    other: Side,
    ended: tokio::task::JoinHandle<Result<(), MemberFailure>>,
    id: u64,
    _folder: TempDir,
}

/// Starts the member with a short election timeout, until it has called the other one.
async fn target() -> Target {
    let folder = TempDir::new().unwrap();
    let (server, other) = (bind("http://127.0.0.1:0"), bind("http://127.0.0.1:0"));
    let (url, other_url) = (server.urls()[0].clone(), other.urls()[0].clone());
    let settings = Settings {
        initial_cluster: vec![("default".to_owned(), url.clone()), ("b".to_owned(), other_url.clone())],
        listen_peer_urls: vec![url.clone()],
        peer_urls: vec![url],
        heartbeat: Duration::from_millis(20),
        election: Duration::from_millis(200),
        ..settings(folder.path())
    };
    let node = RaftNode::open(settings, None).unwrap();
    let members = node.handle().members();
    let id = members.own_id;
    let own = members.all.iter().find(|member| member.name == "b").unwrap().id;
    let known = |member: &Member| (member.id, KnownMember { member: member.clone(), incarnation: None });
    let directory = PeerDirectory {
        cluster: members.cluster_id,
        own,
        members: members.all.iter().map(known).collect(),
        ..directory(own, &[])
    };
    #[expect(clippy::disallowed_methods, reason = "a test holds the handle itself")]
    let ended = tokio::spawn(node.run(server, Stop::new()));
    let other = start(directory, other);
    other.until("it campaigns", asks_for_votes).await;
    eventually("it hears", || other.peer_sender.metrics()[0].connected).await;
    Target { other, ended, id, _folder: folder }
}

fn asks_for_votes(inbound: &Inbound) -> bool {
    let asks = |message: &Message| message.get_msg_type() == MessageType::MsgRequestPreVote;
    matches!(inbound, Inbound::Messages { messages, .. } if messages.iter().any(asks))
}

impl Target {
    /// Sends the heartbeat of a leader to which the member confirmed entry 1000, and returns how to answer its question.
    async fn forge(&self) -> tokio::sync::oneshot::Sender<Option<u64>> {
        let from = self.other.hub.directory().own;
        let forged = Message { term: 5, commit: 1000, ..message(MessageType::MsgHeartbeat, from, self.id) };
        self.other.peer_sender.send(vec![forged]);
        let mut reply = None;
        eventually("the leader is asked", || {
            reply = self.other.take().into_iter().find_map(|inbound| match inbound {
                Inbound::AskConfirmed { reply, .. } => Some(reply),
                _ => None,
            });
            assert!(!self.ended.is_finished(), "a frame ended the member");
            reply.is_some()
        })
        .await;
        reply.unwrap()
    }
}

#[tokio::test]
async fn a_forged_heartbeat_costs_a_member_its_vote_only_until_it_is_checked() {
    let target = target().await;
    let reply = target.forge().await;
    target.other.take();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!target.other.has(asks_for_votes), "it campaigned although it may have lost entries");
    reply.send(None).unwrap();
    target.other.until("it campaigns again", asks_for_votes).await;
    assert!(!target.ended.is_finished());
}

#[tokio::test]
async fn a_member_that_lost_entries_ends_once_the_leader_has_said_so() {
    let target = target().await;
    target.forge().await.send(Some(1000)).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), target.ended).await;
    let failure = ended.expect("it continued").unwrap().unwrap_err();
    assert!(matches!(failure, MemberFailure::LostEntries { confirmed: 1000, .. }), "{failure:?}");
    assert!(!failure.to_string().contains("empty"), "{failure}");
}
