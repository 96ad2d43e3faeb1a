//! The members of the group.

use thiserror::Error;

/// One member, as every member knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Never 0; shown as lower-case hex.
    pub id: u64,
    /// Empty until it has started once.
    pub name: String,
    /// Where its peers reach it; sorted.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty until it has started once.
    pub client_urls: Vec<String>,
    /// It has not caught up yet, so it has no vote and does not count towards a quorum.
    pub learner: bool,
    /// Distinguishes its data folder from any other; 0 until it has started once.
    pub incarnation: u64,
}

/// The group as this member knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Never 0; shown as lower-case hex.
    pub cluster_id: u64,
    /// This member.
    pub own_id: u64,
    /// Ordered by id.
    pub all: Vec<Member>,
    /// The leader, when one is known.
    pub leader: Option<u64>,
}

/// Why a change of the membership was refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum MembershipError {
    /// No such id.
    #[error("there is no such member")]
    Unknown,
    /// It was a member once.
    #[error("it was removed for good")]
    Removed,
    /// A member with this id already exists.
    #[error("another member has its id")]
    IdTaken,
    /// Another member has one of the URLs.
    #[error("another member has one of its URLs")]
    UrlTaken,
    /// It would cost the group its quorum.
    #[error("the members that are left and can be reached would be no majority")]
    Unsafe,
    /// Another member could not reach this one.
    #[error(
        "this member does not listen for other members; start it with --listen-peer-urls and --initial-advertise-peer-urls, \
         and tell the cluster of them (ctl member update)"
    )]
    NoListener,
    /// This member was added before and has not started yet.
    #[error("{0:x} was added before and has not started yet; start it, or remove it")]
    NotStarted(u64),
    /// The URLs are too long.
    #[error("its URLs are too long")]
    TooLong,
    /// The group could not be reached in time.
    #[error("the cluster has no leader, or did not decide in time")]
    Unavailable,
}
