//! The replicated state of a member, and how a committed entry changes it.

use std::sync::Arc;

use protobuf::Message as _;
use raft::prelude::{ConfChange, ConfState, Entry, EntryType};

use super::entry::{DecodeError, ProposalId, RaftCommand};
use super::error::MemberFailure;
use super::log::LogId;
use super::member::MembershipError;
use super::roster::Roster;
use super::session::Sessions;
use crate::keyspace::auth::{Auth, ChangeError, Changed};
use crate::keyspace::{Error, Event, Keyspace, Operation, Time};

/// The sum of all log entries.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) keyspace: Keyspace,
    pub(super) roster: Roster,
    pub(super) auth: Arc<Auth>,
    pub(super) sessions: Sessions,
    /// The last entry that this state includes.
    pub(super) applied: LogId,
    /// The latest time that an entry carried.
    pub(super) latest_time: Time,
}

/// The result of applying an entry.
#[derive(Debug)]
pub(super) enum Applied {
    /// A change of the keyspace, or its refusal.
    Key(Result<Arc<Event>, Error>),
    /// Expired keys were removed.
    Expired,
    /// A change of the list of members, or its refusal.
    Roster(Result<(), MembershipError>),
    /// A change of users or roles, or its refusal.
    Auth(Result<Changed, ChangeError>),
    /// Nothing: raft's own entries, and second copies of applied ones.
    Nothing,
}

impl State {
    /// Returns voters and learners as raft needs them. A member without any state does not know them and must not
    /// start an election.
    pub(super) fn members(&self) -> ConfState {
        if self.applied.index == 0 { ConfState::default() } else { self.roster.conf_state() }
    }

    /// Applies a committed entry. `known` saves decoding a command that this process proposed itself. Raft needs the
    /// result of every entry that concerns its own list of members.
    pub(super) fn apply(
        &mut self,
        entry: &Entry,
        known: Option<&RaftCommand>,
    ) -> Result<(Applied, Option<ConfChange>), MemberFailure> {
        debug_assert_eq!(entry.index, self.applied.index + 1, "entries come one by one");
        let id = ProposalId::decode(&entry.context);
        let admitted = id.is_none_or(|id| self.sessions.admit(id, entry.index));
        let fresh = fault!(AlwaysAdmitted, true, admitted);
        self.applied = LogId { index: entry.index, term: entry.term };
        let failure =
            |error: DecodeError| MemberFailure::Entry { index: entry.index, what: error.to_string() };
        match entry.get_entry_type() {
            EntryType::EntryNormal if entry.data.is_empty() || !fresh => Ok((Applied::Nothing, None)),
            EntryType::EntryNormal => match known {
                Some(command) => Ok((self.apply_command(command), None)),
                None => Ok((self.apply_command(&RaftCommand::decode(&entry.data).map_err(failure)?), None)),
            },
            EntryType::EntryConfChange => {
                let (change, command) = conf_change(&entry.data).map_err(failure)?;
                let applied = if fresh { self.apply_command(&command) } else { Applied::Nothing };
                // Raft needs each of them; a change without an id has no effect.
                let done = matches!(applied, Applied::Roster(Ok(())));
                Ok((applied, Some(if done { change } else { ConfChange::default() })))
            }
            EntryType::EntryConfChangeV2 => {
                let what = "it changes several members at once, which this version does not do".to_owned();
                Err(MemberFailure::Entry { index: entry.index, what })
            }
        }
    }

    fn apply_command(&mut self, command: &RaftCommand) -> Applied {
        let result = match command {
            RaftCommand::Key(command) => {
                self.latest_time = self.latest_time.max(command.at);
                if command.operation == Operation::Expire {
                    self.keyspace.expire(command.at);
                    return Applied::Expired;
                }
                return Applied::Key(self.keyspace.apply(command));
            }
            // etcd keeps users in the store itself, so each change of them raises the index.
            RaftCommand::Auth(change) => {
                let outcome = Arc::make_mut(&mut self.auth).apply(change);
                for _ in 0..outcome.writes {
                    self.keyspace.reserve();
                }
                self.keyspace.end_forbidden_watches(&self.auth);
                return Applied::Auth(outcome.result);
            }
            RaftCommand::Publish { id, name, client_urls, incarnation } => {
                if let Some(member) = self.roster.members.get_mut(id) {
                    member.name.clone_from(name);
                    member.client_urls.clone_from(client_urls);
                    if member.incarnation == 0 {
                        member.incarnation = *incarnation;
                    }
                }
                Ok(())
            }
            RaftCommand::Version(version) => {
                self.roster.version.clone_from(version);
                Ok(())
            }
            RaftCommand::PeerUrls { id, urls } => self.roster.set_peer_urls(*id, urls),
            RaftCommand::Add { id, urls } => self.roster.add(*id, urls),
            RaftCommand::Promote { id } => self.roster.promote(*id),
            RaftCommand::Remove { id } => self.roster.remove(*id),
        };
        self.keyspace.reserve();
        Applied::Roster(result)
    }
}

impl RaftCommand {
    /// Decodes an entry of any type.
    pub(super) fn of(entry: &Entry) -> Result<Self, DecodeError> {
        match entry.get_entry_type() {
            EntryType::EntryNormal => Self::decode(&entry.data),
            EntryType::EntryConfChange => conf_change(&entry.data).map(|(_, command)| command),
            EntryType::EntryConfChangeV2 => Err(DecodeError("a change of several members at once")),
        }
    }
}

/// Decodes a change of raft's own list, together with its command.
fn conf_change(bytes: &[u8]) -> Result<(ConfChange, RaftCommand), DecodeError> {
    let mut change = ConfChange::default();
    change.merge_from_bytes(bytes).map_err(|_| DecodeError("an invalid change of members"))?;
    let command = RaftCommand::decode(&change.context)?;
    match command.conf_change() {
        Some(own) if own.node_id == change.node_id && own.change_type == change.change_type => {
            Ok((change, command))
        }
        _ => Err(DecodeError("a change of members that contradicts itself")),
    }
}
