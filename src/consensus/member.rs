//! The members of the group.

use std::fmt;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberRefusal {
    /// No such id.
    Unknown,
    /// It was a member once.
    Removed,
    /// A member with this id already exists.
    IdTaken,
    /// Another member has one of the URLs.
    UrlTaken,
    /// It would cost the group its quorum.
    Unsafe,
    /// Another member could not reach this one.
    NoListener,
    /// This member was added before and has not started yet.
    NotStarted(u64),
    /// The URLs are too long.
    TooLong,
    /// The group could not be reached in time.
    Unavailable,
}

impl fmt::Display for MemberRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such member"),
            Self::Removed => f.write_str("it was removed for good"),
            Self::IdTaken => f.write_str("another member has its id"),
            Self::UrlTaken => f.write_str("another member has one of its URLs"),
            Self::Unsafe => f.write_str("the members that are left and can be reached would be no majority"),
            Self::NoListener => f.write_str(
                "this member does not listen for other members; start it with --listen-peer-urls and --initial-advertise-peer-urls, \
                 and add the URLs to the cluster (ctl member update)",
            ),
            Self::NotStarted(id) => {
                write!(f, "{id:x} was added before and has not started yet; start it, or remove it")
            }
            Self::TooLong => f.write_str("its URLs are too long"),
            Self::Unavailable => f.write_str("the cluster has no leader, or did not decide in time"),
        }
    }
}
