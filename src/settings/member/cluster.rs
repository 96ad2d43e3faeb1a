//! The initial members of the cluster, and how this member joins.

use super::super::invocation::CommandId;
use super::super::reader::Reader;
use super::urls::{HostUrl, read_member, texts};
use super::{bindable, check_advertised, detected_host_url, report_semantic, warn_if_not_listening};
use crate::client::Discovery;
use crate::consensus::StartMode;

const LOCAL_PEER: &str = "http://localhost:2380";
const DEFAULT_NAME: &str = "default";
const LISTEN: &str = "listen-peer-urls";
const ADVERTISE: &str = "initial-advertise-peer-urls";

/// The members by name and peer URL, this member's own peer URLs, and its peer listeners.
pub(super) struct Cluster {
    /// Empty when they have to be looked up.
    pub(super) members: Vec<(String, HostUrl)>,
    pub(super) peer_urls: Vec<HostUrl>,
    pub(super) listen: Vec<HostUrl>,
    pub(super) start: StartMode,
    pub(super) discovery: Option<Discovery>,
    /// Whether it has no other members, no peer listener, and no data that may name some.
    pub(super) standalone: bool,
}

/// Reads the cluster. Contradictions are reported, unless the member is `initialized`: its data is more recent than its
/// command line, and etcd does not check these flags again either.
pub(super) fn read(read: &mut Reader<'_>, name: &str, initialized: bool) -> Cluster {
    let start = start(read);
    let listen_urls = read.parsed(LISTEN, HostUrl::read_list);
    let listen = bindable(read, LISTEN, listen_urls.as_deref());
    let given = read.parsed(ADVERTISE, HostUrl::read_list);
    check_advertised(read, ADVERTISE, given.as_deref().unwrap_or_default());
    let advertised = given.is_some();
    // A restored cluster is founded by its list.
    let looked_up = read.command != CommandId::StoreRestore && read.rank("discovery-srv").is_some();
    let discovery = if looked_up { discovery(read) } else { None };
    let members = members(read).filter(|_| !looked_up);
    // A store without other members opens no peer port; etcd always does.
    let standalone = !read.is_etcd() && !advertised && members.is_none() && !looked_up;
    let listen = listen.unwrap_or_else(|| {
        let default = HostUrl::read(LOCAL_PEER).ok().filter(|_| !standalone);
        default.and_then(|url| url.bindable()).into_iter().collect()
    });
    let standalone = standalone && listen.is_empty() && !initialized;
    let own = given.unwrap_or_else(|| default_own(read, listen_urls));
    let members = match members {
        Some(members) => members,
        None if looked_up => Vec::new(),
        None => default_members(read, name, &own),
    };
    let mut mine: Vec<HostUrl> =
        members.iter().filter(|(member, _)| member == name).map(|(_, url)| url.clone()).collect();
    mine.sort_by_key(HostUrl::text);
    mine.dedup();
    if !initialized && !looked_up {
        check_consistency(read, (name, advertised, start), &members, &mine, &own);
    }
    // Once initialized, the list is not used any more, so this member's URLs in it may be out of date.
    let peer_urls = if mine.is_empty() || initialized && advertised { own } else { mine };
    if !initialized && read.command != CommandId::StoreRestore && !listen.is_empty() {
        warn_if_not_listening(read, (LISTEN, &listen), (ADVERTISE, &peer_urls));
    }
    Cluster { members, peer_urls, listen, start, discovery, standalone }
}

/// Reports contradictions, and which URL is advertised when only the list has it.
fn check_consistency(
    read: &mut Reader<'_>,
    (name, advertised, start): (&str, bool, StartMode),
    members: &[(String, HostUrl)],
    mine: &[HostUrl],
    own: &[HostUrl],
) {
    // Only etcd counts a default that contradicts the list.
    let compared = start != StartMode::Join && (advertised || read.is_etcd());
    let message = cluster_problem(name, members, mine)
        .or_else(|| if compared { url_mismatch(read, name, mine, own) } else { None });
    if let Some(message) = message {
        report_semantic(read, "initial-cluster", message);
    } else if !advertised && !compared && read.rank("initial-cluster").is_some() {
        read.notices.push(format!(
            "--{ADVERTISE} is not given: this member advertises {}, as in --initial-cluster",
            texts(mine).join(",")
        ));
    }
}

fn start(read: &mut Reader<'_>) -> StartMode {
    let states = [("new", StartMode::New), ("existing", StartMode::Join)];
    let state = read.choice("initial-cluster-state", &states, StartMode::New);
    if read.on("force-new-cluster") { StartMode::ForceNew } else { state }
}

/// Returns the domain whose records name the members. The list and the domain exclude each other.
pub(super) fn discovery(read: &mut Reader<'_>) -> Option<Discovery> {
    let service_name = read.text("discovery-srv-name");
    let domain = read.text("discovery-srv")?;
    let message = match domain.trim_end_matches('.') {
        _ if read.rank("initial-cluster").is_some() => {
            "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \"discovery\" or \
             \"discovery-srv\""
        }
        bare if bare.is_empty()
            || bare.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/') =>
        {
            "is not a domain; write one such as example.com"
        }
        bare => return Some(Discovery { domain: bare.to_owned(), service_name }),
    };
    report_semantic(read, "discovery-srv", message);
    None
}

/// Returns the peer URLs of a member that has no explicit ones. Under our own name they are the URLs it listens on, if
/// others can use them. Under both names, this host's address replaces a wildcard.
fn default_own(read: &mut Reader<'_>, listen: Option<Vec<HostUrl>>) -> Vec<HostUrl> {
    let local = || HostUrl::read_list(LOCAL_PEER).expect("the default is a URL");
    let Some(listen) = listen else { return local() };
    let tells = |urls: &[HostUrl]| urls.iter().all(|url| !url.is_wildcard() && url.port != 0);
    if !read.is_etcd() && tells(&listen) {
        return listen;
    }
    // The list has it, if there is one.
    if !read.is_etcd() && read.rank("initial-cluster").is_some() {
        return local();
    }
    detected_host_url(read, ADVERTISE, &listen).unwrap_or_else(local)
}

/// Returns the members without a list: this one. Under its own default name etcd expects the default URL.
fn default_members(read: &Reader<'_>, name: &str, own: &[HostUrl]) -> Vec<(String, HostUrl)> {
    let local = HostUrl::read_list(LOCAL_PEER).expect("the default is a URL");
    let urls = if read.is_etcd() && name == DEFAULT_NAME { &local } else { own };
    urls.iter().map(|url| (name.to_owned(), url.clone())).collect()
}

/// Returns what is wrong with the cluster itself, in etcd's words.
fn cluster_problem(name: &str, members: &[(String, HostUrl)], mine: &[HostUrl]) -> Option<String> {
    if mine.is_empty() {
        return Some(format!("couldn't find local name \"{name}\" in the initial cluster configuration"));
    }
    let mut urls: Vec<String> = members.iter().map(|(_, url)| url.text()).collect();
    urls.sort_unstable();
    let all = urls.len();
    urls.dedup();
    if urls.len() < all {
        let mut pairs: Vec<String> = members.iter().map(|(name, url)| pair(name, url)).collect();
        pairs.sort_unstable();
        return Some(format!("initial cluster {} has duplicate url", pairs.join(",")));
    }
    None
}

/// Returns the difference between two flags on this member's URLs, in etcd's words.
fn url_mismatch(read: &mut Reader<'_>, name: &str, mine: &[HostUrl], own: &[HostUrl]) -> Option<String> {
    let missing = |from: &[HostUrl], to: &[HostUrl]| -> Vec<HostUrl> {
        from.iter().filter(|url| !to.contains(url)).cloned().collect()
    };
    let (only_mine, only_own) = (missing(mine, own), missing(own, mine));
    if only_mine.is_empty() && only_own.is_empty() {
        return None;
    }
    let pairs = |urls: &[HostUrl]| urls.iter().map(|url| pair(name, url)).collect::<Vec<_>>().join(",");
    let both = mine.len() == own.len();
    let met =
        |url: &HostUrl, others: &[HostUrl]| others.iter().any(|other| url.may_equal(other, read.is_etcd()));
    if both
        && only_mine.iter().all(|url| met(url, &only_own))
        && only_own.iter().all(|url| met(url, &only_mine))
    {
        let known = |url: &HostUrl| url.bindable().is_some();
        if !(only_mine.iter().all(known) && only_own.iter().all(known)) {
            read.warnings.push(format!(
                "{} in --initial-cluster is assumed to be the same as {} in --initial-advertise-peer-urls; names are not \
                 looked up to compare them",
                pairs(&only_mine),
                texts(&only_own).join(",")
            ));
        }
        return None;
    }
    if only_mine.is_empty() {
        return Some(format!(
            "--initial-advertise-peer-urls has {} but missing from --initial-cluster={}; write the same in both",
            texts(&only_own).join(","),
            pairs(mine)
        ));
    }
    Some(format!(
        "--initial-cluster has {} but missing from --initial-advertise-peer-urls={}; write the same in both",
        pairs(&only_mine),
        texts(own).join(",")
    ))
}

fn pair(name: &str, url: &HostUrl) -> String {
    format!("{name}={}", url.text())
}

/// Parses `n0=url,n1=url`; a name may be repeated with another URL.
fn members(read: &mut Reader<'_>) -> Option<Vec<(String, HostUrl)>> {
    let text = read.text("initial-cluster")?;
    // As in etcd, an extra comma is harmless.
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    match parts.map(read_member).collect::<Result<Vec<_>, String>>() {
        Ok(members) => Some(members).filter(|members| !members.is_empty()),
        Err(message) => {
            report_semantic(read, "initial-cluster", message);
            None
        }
    }
}
