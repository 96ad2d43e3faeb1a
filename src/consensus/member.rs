//! The members of the group.

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
    /// It would cost the group its quorum, or a member that was added before has not started yet.
    Unsafe,
    /// The group could not be reached in time.
    Unavailable,
}
