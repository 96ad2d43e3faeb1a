//! A log that cannot be read while raft reads it.

use std::fs::{self, OpenOptions};

use raft::prelude::{ConfState, Entry, Message, MessageType};
use tempfile::TempDir;

use super::super::error::MemberFailure;
use super::super::log::{Log, LogId};
use super::super::replica::Replica;
use super::super::wal_guard::WalMarks;
use super::*;

/// Enough entries that the first ones are no longer in memory.
const ENTRIES: u64 = 5_000;

/// Makes a follower of member 2 whose log goes up to [`ENTRIES`], of which those up to `committed` are committed.
fn follower(folder: &TempDir, committed: u64) -> Replica {
    let mut log = Log::open(folder.path(), WalMarks::new(1), Arc::default()).unwrap();
    log.begin(LogId { index: 1, term: 1 }, 1).unwrap();
    log.set_members(ConfState { voters: vec![1, 2], ..ConfState::default() });
    let entry = |index| Entry { index, term: 1, data: b"x".to_vec().into(), ..Entry::default() };
    log.append((2..=ENTRIES).map(entry).collect()).unwrap();
    log.raise_commit(committed);
    Replica::new(1, log, committed, 10).unwrap()
}

/// Makes an append of member 2 after `index`.
fn append(index: u64) -> Message {
    let mut message = Message { from: 2, to: 1, term: 1, log_term: 1, index, ..Message::default() };
    message.set_msg_type(MessageType::MsgAppend);
    message.entries = vec![Entry { index: index + 1, term: 1, ..Entry::default() }].into();
    message
}

#[test]
fn an_unreadable_log_during_an_append_is_a_disk_error() {
    let folder = TempDir::new().unwrap();
    let mut replica = follower(&folder, 100);
    for file in fs::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|end| end == "raftlog") {
            OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
        }
    }
    // Entries in memory are still compared.
    replica.step(append(ENTRIES)).unwrap();
    let failure = replica.step(append(200)).unwrap_err();
    let MemberFailure::Log(says) = &failure else { panic!("{failure}") };
    assert!(says.contains(&folder.path().display().to_string()), "{says}");
}
