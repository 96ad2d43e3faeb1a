//! The group's members as part of the replicated state, with their byte form.

use std::collections::{BTreeMap, BTreeSet};

use raft::prelude::ConfState;

use super::entry::{DecodeError, FieldReader, put_text, put_texts};
use super::member::{Member, MembershipError};

/// Current and former members, and the version that they agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Roster {
    pub(super) members: BTreeMap<u64, Member>,
    /// Ids that must never be used again.
    pub(super) removed: BTreeSet<u64>,
    /// Empty until agreed.
    pub(super) version: String,
}

impl Roster {
    /// Returns voters and learners in raft's form.
    pub(super) fn conf_state(&self) -> ConfState {
        let ids = |learners: bool| {
            let some = self.members.values().filter(move |member| member.learner == learners);
            some.map(|member| member.id).collect::<Vec<_>>()
        };
        ConfState::from((ids(false), ids(true)))
    }

    /// Removes what could be used to pose as a member.
    pub(super) fn without_incarnations(mut self) -> Self {
        for member in self.members.values_mut() {
            member.incarnation = 0;
        }
        self
    }

    /// Adds a member without a vote.
    pub(super) fn add(&mut self, id: u64, urls: &[String]) -> Result<(), MembershipError> {
        if self.removed.contains(&id) {
            return Err(MembershipError::Removed);
        }
        if self.members.contains_key(&id) {
            return Err(MembershipError::IdTaken);
        }
        // One at a time: if several did not start, the cause would be unclear.
        if let Some(waiting) = self.members.values().find(|member| member.incarnation == 0) {
            return Err(MembershipError::NotStarted(waiting.id));
        }
        self.check_urls_unused(id, urls)?;
        let peer_urls = urls.to_vec();
        self.members.insert(id, Member { id, peer_urls, learner: true, ..Member::default() });
        Ok(())
    }

    /// Gives a member a vote.
    pub(super) fn promote(&mut self, id: u64) -> Result<(), MembershipError> {
        self.known(id)?.learner = false;
        Ok(())
    }

    /// Removes a member for good. The last voter stays: without it nothing could be decided.
    pub(super) fn remove(&mut self, id: u64) -> Result<(), MembershipError> {
        let member = self.known(id)?;
        let votes = !member.learner;
        if votes && self.members.values().filter(|member| !member.learner).count() == 1 {
            return Err(MembershipError::Unsafe);
        }
        self.members.remove(&id);
        self.removed.insert(id);
        Ok(())
    }

    /// Changes a member's peer URLs.
    pub(super) fn set_peer_urls(&mut self, id: u64, urls: &[String]) -> Result<(), MembershipError> {
        self.known(id)?;
        self.check_urls_unused(id, urls)?;
        self.known(id)?.peer_urls = urls.to_vec();
        Ok(())
    }

    fn known(&mut self, id: u64) -> Result<&mut Member, MembershipError> {
        if self.removed.contains(&id) {
            return Err(MembershipError::Removed);
        }
        self.members.get_mut(&id).ok_or(MembershipError::Unknown)
    }

    /// Checks that no other member has one of the URLs.
    fn check_urls_unused(&self, id: u64, urls: &[String]) -> Result<(), MembershipError> {
        let others = self.members.values().filter(|member| member.id != id);
        let taken = others.flat_map(|member| &member.peer_urls).any(|url| urls.contains(url));
        if taken { Err(MembershipError::UrlTaken) } else { Ok(()) }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![1];
        out.extend((self.members.len() as u32).to_le_bytes());
        for member in self.members.values() {
            out.extend(member.id.to_le_bytes());
            put_text(&mut out, &member.name);
            put_texts(&mut out, &member.peer_urls);
            put_texts(&mut out, &member.client_urls);
            out.push(u8::from(member.learner));
            out.extend(member.incarnation.to_le_bytes());
        }
        out.extend((self.removed.len() as u32).to_le_bytes());
        for id in &self.removed {
            out.extend(id.to_le_bytes());
        }
        put_text(&mut out, &self.version);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut read = FieldReader::new(bytes);
        if read.byte()? != 1 {
            return Err(DecodeError("a list of members of another format"));
        }
        let mut roster = Self::default();
        for _ in 0..read.count()? {
            let (id, name) = (read.number()?, read.text()?);
            let (peer_urls, client_urls) = (read.texts()?, read.texts()?);
            let (learner, incarnation) = (read.byte()? == 1, read.number()?);
            roster.members.insert(id, Member { id, name, peer_urls, client_urls, learner, incarnation });
        }
        for _ in 0..read.count()? {
            roster.removed.insert(read.number()?);
        }
        roster.version = read.text()?;
        read.end()?;
        Ok(roster)
    }
}
