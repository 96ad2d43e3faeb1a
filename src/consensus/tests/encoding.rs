//! The byte forms: encoded bytes are decoded again, and anything else is refused without harm.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::super::entry::{ProposalId, RaftCommand};
use super::super::member::Member;
use super::super::roster::Roster;
use super::super::state_codec::StateHead;
use crate::keyspace::{Command, Operation};

fn orders() -> Vec<RaftCommand> {
    let operation = Operation::Set {
        key: (*b"/a/b").into(),
        dir: false,
        value: (*b"v").into(),
        expires: Some(7),
        refresh: true,
    };
    vec![
        RaftCommand::Key(Command { at: 5, operation }),
        RaftCommand::Publish {
            id: 7,
            name: "a".to_owned(),
            client_urls: vec!["http://127.0.0.1:1".to_owned()],
            incarnation: 9,
        },
        RaftCommand::Add { id: 8, urls: vec!["http://127.0.0.1:2".to_owned()] },
        RaftCommand::Promote { id: 8 },
        RaftCommand::Remove { id: 8 },
        RaftCommand::Version("3.4.0".to_owned()),
        RaftCommand::PeerUrls { id: 9, urls: vec![String::new(), "x".to_owned()] },
    ]
}

fn head() -> StateHead {
    let member = Member {
        id: 3,
        name: "n".to_owned(),
        peer_urls: vec!["p".to_owned()],
        client_urls: vec![],
        learner: true,
        incarnation: 5,
    };
    let roster = Roster { members: [(3, member)].into(), removed: [1, 2].into(), version: "v".to_owned() };
    StateHead { index: 9, latest_time: -4, roster, ..StateHead::default() }
}

#[test]
fn commands_and_heads_round_trip() {
    for command in orders() {
        assert_eq!(RaftCommand::decode(&command.encode()), Ok(command));
    }
    assert_eq!(StateHead::decode(&head().encode()), Ok(head()));
    let proposal_id = ProposalId { process: 3, count: u64::MAX, floor: 2 };
    assert_eq!(ProposalId::decode(&proposal_id.encode()), Some(proposal_id));
    assert_eq!(ProposalId::decode(b"short"), None);
}

/// `RETUNE_TEST_SEEDS` makes it longer.
#[test]
fn corrupted_bytes_are_refused_or_decode_without_harm() {
    let rounds = std::env::var("RETUNE_TEST_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(40_u64);
    let mut samples: Vec<Vec<u8>> = orders().iter().map(RaftCommand::encode).collect();
    samples.push(head().encode());
    samples.push(head().roster.encode());
    for seed in 0..rounds * 500 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut bytes = samples[random.random_range(0..samples.len())].clone();
        for _ in 0..random.random_range(1..4) {
            match random.random_range(0..4) {
                0 if !bytes.is_empty() => {
                    let at = random.random_range(0..bytes.len());
                    bytes[at] ^= 1 << random.random_range(0..8);
                }
                1 => bytes.truncate(random.random_range(0..=bytes.len())),
                2 => bytes.extend((0..random.random_range(0..9)).map(|_| random.random::<u8>())),
                _ if !bytes.is_empty() => {
                    let at = random.random_range(0..bytes.len());
                    bytes[at] = 0xff;
                }
                _ => {}
            }
        }
        // What can be decoded must also be encodable.
        if let Ok(command) = RaftCommand::decode(&bytes) {
            assert_eq!(RaftCommand::decode(&command.encode()), Ok(command), "seed {seed}");
        }
        if let Ok(roster) = Roster::decode(&bytes) {
            assert_eq!(Roster::decode(&roster.encode()), Ok(roster), "seed {seed}");
        }
        if let Ok(changed) = StateHead::decode(&bytes) {
            assert_eq!(changed, head(), "a checksum let damage pass, seed {seed}");
        }
    }
}
