//! Who belongs to the group at the start, and how this member gets there.

use super::super::options::{Commands, ETCD};
use super::super::reader::Reader;
use super::urls::{HostUrl, texts};
use super::{bindable, object};
use crate::consensus::Start;

const LOCAL_PEER: &str = "http://localhost:2380";

/// The members by name and peer URL, this member's own peer URLs, and where it listens for the others.
pub(super) struct Cluster {
    pub(super) members: Vec<(String, HostUrl)>,
    pub(super) peer_urls: Vec<HostUrl>,
    pub(super) listen: Vec<HostUrl>,
    pub(super) start: Start,
}

/// Reads the group. What does not fit together is noted, unless the member is `settled`: one that has its data knows
/// its group better than its command line, and etcd does not look at these flags again either.
pub(super) fn read(read: &mut Reader<'_>, command: Commands, name: &str, settled: bool) -> Cluster {
    let start = start(read);
    let told = read.parsed("listen-peer-urls", HostUrl::read_list);
    let listen = bindable(read, command, "listen-peer-urls", told.as_deref());
    let given = read.parsed("initial-advertise-peer-urls", HostUrl::read_list);
    let advertised = given.is_some();
    let members = members(read, command);
    // A store that was told nothing of others opens no port for them; etcd always does.
    let alone = command != ETCD && !advertised && members.is_none();
    let listen = listen.unwrap_or_else(|| {
        let default = HostUrl::read(LOCAL_PEER).ok().filter(|_| !alone);
        default.and_then(|url| url.bindable()).into_iter().collect()
    });
    let own = given.unwrap_or_else(|| default_own(command, told));
    let Some(members) = members else {
        let members = own.iter().map(|url| (name.to_owned(), url.clone())).collect();
        return Cluster { members, peer_urls: own, listen, start };
    };
    let mut mine: Vec<HostUrl> =
        members.iter().filter(|(member, _)| member == name).map(|(_, url)| url.clone()).collect();
    mine.sort_by_key(HostUrl::text);
    mine.dedup();
    if !settled {
        let several = members.iter().any(|(member, _)| member != name);
        // Without others there is nobody to whom a default could have been told wrongly, and only etcd has it that a
        // default counts when the list says better.
        let compared = start != Start::Join && (advertised || several && command == ETCD);
        let says = misfit(name, &members, &mine)
            .or_else(|| if compared { mismatch(read, name, &mine, &own) } else { None });
        if let Some(says) = says {
            object(read, command, "initial-cluster", says);
        }
    }
    let peer_urls = if mine.is_empty() { own } else { mine };
    Cluster { members, peer_urls, listen, start }
}

fn start(read: &mut Reader<'_>) -> Start {
    let states = [("new", Start::New), ("existing", Start::Join)];
    let state = read.choice("initial-cluster-state", &states, Start::New);
    if read.on("force-new-cluster") { Start::ForceNew } else { state }
}

/// The peer URLs of a member that was not told any: under our own name those it listens on, when others can be told
/// them.
fn default_own(command: Commands, listen: Option<Vec<HostUrl>>) -> Vec<HostUrl> {
    let tells = |urls: &Vec<HostUrl>| urls.iter().all(|url| !url.is_everywhere() && url.port != 0);
    listen
        .filter(|urls| command != ETCD && tells(urls))
        .unwrap_or_else(|| HostUrl::read_list(LOCAL_PEER).expect("the default is a URL"))
}

/// What is wrong with the group itself, in etcd's words.
fn misfit(name: &str, members: &[(String, HostUrl)], mine: &[HostUrl]) -> Option<String> {
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

/// What this member is said to be in one flag and not in the other, in etcd's words.
fn mismatch(read: &mut Reader<'_>, name: &str, mine: &[HostUrl], own: &[HostUrl]) -> Option<String> {
    let missing = |from: &[HostUrl], to: &[HostUrl]| -> Vec<HostUrl> {
        from.iter().filter(|url| !to.contains(url)).cloned().collect()
    };
    let (only_mine, only_own) = (missing(mine, own), missing(own, mine));
    if only_mine.is_empty() && only_own.is_empty() {
        return None;
    }
    let pairs = |urls: &[HostUrl]| urls.iter().map(|url| pair(name, url)).collect::<Vec<_>>().join(",");
    let both = mine.len() == own.len();
    let met = |url: &HostUrl, others: &[HostUrl]| others.iter().any(|other| url.may_be(other));
    if both
        && only_mine.iter().all(|url| met(url, &only_own))
        && only_own.iter().all(|url| met(url, &only_mine))
    {
        let known = |url: &HostUrl| url.bindable().is_some();
        if !(only_mine.iter().all(known) && only_own.iter().all(known)) {
            read.warnings.push(format!(
                "{} in --initial-cluster is taken for the same as {} in --initial-advertise-peer-urls; names are not \
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

/// `n0=url,n1=url`; a name may come again with another URL.
fn members(read: &mut Reader<'_>, command: Commands) -> Option<Vec<(String, HostUrl)>> {
    let text = read.text("initial-cluster")?;
    let pair = |part: &str| match part.split_once('=') {
        Some((name, url)) if !name.is_empty() && !url.is_empty() => {
            Ok((name.to_owned(), HostUrl::read(url)?))
        }
        Some(_) | None => Err(format!("{part:?} is no member; write NAME=URL, separated by commas")),
    };
    // As in etcd, a comma too many does no harm.
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    match parts.map(pair).collect::<Result<Vec<_>, String>>() {
        Ok(members) => Some(members).filter(|members| !members.is_empty()),
        Err(says) => {
            object(read, command, "initial-cluster", says);
            None
        }
    }
}
