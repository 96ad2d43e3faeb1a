//! Refused handshakes, each with its status and its reason.

use std::time::Duration;

use super::super::Inbound;
use super::super::directory::Handshake;
use super::{PeerDirectory, Side, bind, directory, eventually, start};

/// Starts a member; returns it and the directory of another member that connects to it.
fn alone() -> (Side, PeerDirectory) {
    let server = bind("http://127.0.0.1:0");
    let url = server.urls()[0].clone();
    let group = [(1, url.as_str()), (2, "http://127.0.0.1:1")];
    (start(directory(1, &group), server), directory(2, &group))
}

fn refused(side: &Side, handshake: &Handshake) -> (u16, String) {
    let checked =
        side.hub.directory().check(handshake).and_then(|()| handshake.negotiated_version().map(drop));
    let refusal = checked.and_then(|()| side.hub.open_session(handshake).map(drop)).unwrap_err();
    (refusal.status.as_u16(), refusal.reason)
}

#[tokio::test]
async fn each_invalid_handshake_has_its_status_and_remedy() {
    let (one, directory) = alone();
    let mut owner = one.hub.directory().as_ref().clone();
    owner.removed.insert(9);
    one.set_directory(owner);
    let good = Handshake::of(&directory, 1);
    assert!(one.hub.directory().check(&good).is_ok());
    let cases = [
        (Handshake { cluster: 5, ..good.clone() }, 412, "--initial-cluster-token"),
        (Handshake { to: 5, ..good.clone() }, 404, "another member responds at this address"),
        (Handshake { from: 5, ..good.clone() }, 403, "not known"),
        (Handshake { from: 9, ..good.clone() }, 410, "removed"),
        (Handshake { incarnation: 5, ..good.clone() }, 409, "remove the member and add it again"),
        (Handshake { oldest: 7, newest: 9, ..good }, 426, "upgrade"),
    ];
    for (handshake, status, words) in cases {
        let (is, reason) = refused(&one, &handshake);
        assert!(is == status && reason.contains(words), "{is} {reason}");
    }
    let open_session = one.hub.open_session(&good).unwrap();
    let (is, reason) = refused(&one, &Handshake { process: 5, ..good });
    assert!(is == 409 && reason.contains("two processes"), "{is} {reason}");
    let newer = one.hub.open_session(&good).unwrap();
    assert!(open_session.end.requested() && !newer.end.requested());
    drop(open_session);
    assert_eq!(
        refused(&one, &Handshake { process: 5, ..good }).0,
        409,
        "an old stream gave up the seat of a new one"
    );
    drop(newer);
    assert!(one.hub.open_session(&Handshake { process: 5, ..good }).is_ok());
}

#[tokio::test]
async fn a_removed_member_is_notified_and_others_retry() {
    let (one, mut directory) = alone();
    let mut owner = one.hub.directory().as_ref().clone();
    let known = owner.members.remove(&2).unwrap();
    one.set_directory(owner.clone());
    directory.members.get_mut(&1).unwrap().member.peer_urls.insert(0, "http://127.0.0.1:1".to_owned());
    let two = start(directory, bind("http://127.0.0.1:0"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(two.take().is_empty(), "being unknown is no news");
    owner.members.insert(2, known);
    one.set_directory(owner.clone());
    two.until("it is known now", |inbound| matches!(inbound, Inbound::Connected(1))).await;
    owner.members.remove(&2);
    owner.removed.insert(2);
    one.set_directory(owner);
    two.until("it is removed", |inbound| matches!(inbound, Inbound::Removed)).await;
}

#[tokio::test]
async fn a_second_process_of_a_member_waits_until_the_first_is_gone() {
    let (one, directory) = alone();
    let mut first = start(directory.clone(), bind("http://127.0.0.1:0"));
    first.until("it is connected", |inbound| matches!(inbound, Inbound::Connected(1))).await;
    let second = start(PeerDirectory { process: 6, ..directory }, bind("http://127.0.0.1:0"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(second.take().is_empty());
    assert!(first.peer_sender.metrics()[0].connected, "the stranger took the first one's stream");
    first.kill().await;
    second.until("it may speak", |inbound| matches!(inbound, Inbound::Connected(1))).await;
    eventually("the other side heard it", || one.hub.peer_queue(2).is_some()).await;
}
