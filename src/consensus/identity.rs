//! Who a member is: its ids, computed as etcd does, and the file that stores them beside the format's version.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use sha1::{Digest as _, Sha1};

use super::data_dir::{self, DataDir};
use super::error::OpenError;
use super::member::Member;
use super::peers::RemoteCluster;
use super::settings::{Settings, StartMode};

/// The version of everything in the data folder. It is raised when this program could not read the new form.
const FORMAT_VERSION: u32 = 1;

/// The content of the identity file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: u64,
    pub(super) cluster: u64,
    /// Distinguishes the marks in this folder's log from bytes that clients chose.
    pub(super) secret: u64,
    /// The group is new: until its log exists, nothing else in the folder counts.
    pub(super) uninitialized: bool,
}

impl Identity {
    /// Reads the identity file, or writes one with the ids of a new group or of the group to join. `found` is what
    /// the other members reported.
    pub(super) fn open(
        folder: &DataDir,
        settings: &Settings,
        found: Option<&RemoteCluster>,
    ) -> Result<(Self, IdentityInit), OpenError> {
        let path = folder.identity();
        match fs::read(&path) {
            Ok(bytes) => {
                let known = Self::read(&path, &bytes)?;
                if !known.uninitialized {
                    return Ok((known, IdentityInit::default()));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if folder.holds_something()? {
                    return Err(OpenError::Damaged {
                        path,
                        what: "it is missing although there are other files of a member: put it back from a backup, or \
                               move the data folder away to begin with an empty store"
                            .to_owned(),
                    });
                }
            }
            Err(error) => return Err(OpenError::io(&path, "reading")(error)),
        }
        let (id, cluster, beginning) = match (settings.start, found) {
            (StartMode::Join, Some(found)) => join(settings, found)?,
            (StartMode::Join, None) => {
                let what = "none of the other members in --initial-cluster could be asked about the cluster to join: is \
                            one of them running, and can it be reached from here?";
                return Err(OpenError::Settings(what.to_owned()));
            }
            (StartMode::New | StartMode::ForceNew, found) => bootstrap(settings, found)?,
        };
        let identity = Self { id, cluster, secret: rand::random(), uninitialized: true };
        identity.save(folder)?;
        Ok((identity, beginning))
    }

    /// Returns the number that distinguishes this data folder from any other that claims to be the same member's.
    pub(super) fn incarnation(&self) -> u64 {
        let text = format!("incarnation {:x} {:x}", self.id, self.secret);
        hash(text.as_bytes()).max(1)
    }

    /// Makes the ids of a new group without writing them.
    pub(super) fn for_new_group(settings: &Settings) -> Result<(Self, IdentityInit), OpenError> {
        let (id, cluster, beginning) = bootstrap(settings, None)?;
        Ok((Self { id, cluster, secret: rand::random(), uninitialized: true }, beginning))
    }

    /// Reads the identity of an existing member.
    pub(super) fn load(folder: &DataDir) -> Result<Self, OpenError> {
        let path = folder.identity();
        let bytes = fs::read(&path).map_err(OpenError::io(&path, "reading"))?;
        let known = Self::read(&path, &bytes)?;
        if known.uninitialized {
            let what = "its member never completed its first start, so it is empty".to_owned();
            return Err(OpenError::Foreign { path, what });
        }
        Ok(known)
    }

    /// Records that the group's log exists. After a crash before this, the group is founded again.
    pub(super) fn mark_created(&mut self, folder: &DataDir) -> Result<(), OpenError> {
        self.uninitialized = false;
        self.save(folder)
    }

    fn save(&self, folder: &DataDir) -> Result<(), OpenError> {
        let state = if self.uninitialized { "new" } else { "member" };
        let ids = format!("member {:x}\ncluster {:x}\nsecret {:x}", self.id, self.cluster, self.secret);
        let body = format!("retune store\nformat {FORMAT_VERSION}\n{ids}\nstate {state}\n");
        let text = format!("{body}check {:08x}\n", crc32fast::hash(body.as_bytes()));
        data_dir::write_whole(&folder.identity(), text.as_bytes())
    }

    fn read(path: &Path, bytes: &[u8]) -> Result<Self, OpenError> {
        let damaged = |what: &str| OpenError::Damaged {
            path: path.to_path_buf(),
            what: format!("{what}: put it back from a backup of the data folder"),
        };
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
        let (body, check) =
            text.rsplit_once("check ").ok_or_else(|| damaged("its last line is not a checksum"))?;
        if check.trim_end_matches('\n') != format!("{:08x}", crc32fast::hash(body.as_bytes())) {
            return Err(damaged("its checksum does not match"));
        }
        let field = |name: &str| body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        match field("format").and_then(|text| text.parse().ok()) {
            Some(FORMAT_VERSION) => {}
            Some(other) => {
                return Err(OpenError::Foreign {
                    path: path.to_path_buf(),
                    what: format!(
                        "it has format {other}, and this version knows {FORMAT_VERSION}: start the version that wrote it"
                    ),
                });
            }
            None => return Err(damaged("it names no format")),
        }
        let number = |name| field(name).and_then(|text| u64::from_str_radix(text, 16).ok());
        let id = |name| number(name).filter(|id| *id != 0);
        match (id("member"), id("cluster"), number("secret")) {
            (Some(id), Some(cluster), Some(secret)) => {
                Ok(Self { id, cluster, secret, uninitialized: field("state") == Some("new") })
            }
            _ => Err(damaged("it names no member or no cluster")),
        }
    }
}

/// Returns whether this data folder has never held a member.
#[must_use]
pub fn is_new(data_dir: &Path) -> bool {
    let path = data_dir.join("member/identity");
    // Other faults of the file are reported when the folder is opened.
    fs::read(&path)
        .map_or(true, |bytes| Identity::read(&path, &bytes).is_ok_and(|identity| identity.uninitialized))
}

/// The initial content of a new data folder.
#[derive(Debug, Default)]
pub(super) struct IdentityInit {
    pub(super) members: BTreeMap<u64, Member>,
    /// The group exists: this member receives everything else from the others.
    pub(super) joins: bool,
}

/// Founds a new group, unless the group already exists.
fn bootstrap(
    settings: &Settings,
    found: Option<&RemoteCluster>,
) -> Result<(u64, u64, IdentityInit), OpenError> {
    let members = initial_members(settings);
    let name = &settings.name;
    let own = members.values().find(|member| member.name == *name).ok_or_else(|| missing(name))?;
    let id = own.id;
    let started = |member: &&Member| member.id == id && !member.client_urls.is_empty();
    if let Some(found) = found
        && found.members.iter().any(|member| started(&member))
    {
        return Err(OpenError::Settings(format!(
            "member {id:x} has already been bootstrapped: {} knows it as a member that has run, but this data folder is \
             empty. A member that lost its data must not come back as itself: remove it (ctl member remove {id:x}), add it \
             again (ctl member add), and start it with --initial-cluster-state existing",
            found.from
        )));
    }
    let cluster = hash(&members.keys().flat_map(|id| id.to_be_bytes()).collect::<Vec<u8>>());
    Ok((id, cluster, IdentityInit { members, joins: false }))
}

/// Joins the running group, to which this member must have been added.
fn join(settings: &Settings, found: &RemoteCluster) -> Result<(u64, u64, IdentityInit), OpenError> {
    let refused = |what: String| OpenError::Settings(format!("{what} (according to {})", found.from));
    let known: Vec<&Member> = found.members.iter().filter(|member| !member.client_urls.is_empty()).collect();
    if let Some(other) = known.iter().find(|member| member.name == settings.name) {
        let (name, id) = (&settings.name, other.id);
        return Err(refused(format!(
            "the running member {id:x} is named {name:?} already: give this one a --name of its own; if it is that member \
             with an empty data folder, remove it and add it again first"
        )));
    }
    let mut own: Vec<&str> = settings.peer_urls.iter().map(String::as_str).collect();
    own.sort_unstable();
    let same = |member: &&Member| {
        let mut urls: Vec<&str> = member.peer_urls.iter().map(String::as_str).collect();
        urls.sort_unstable();
        urls == own
    };
    let Some(member) = found.members.iter().find(same) else {
        return Err(refused(format!(
            "error validating peerURLs: no member of the cluster has the peer URLs {}: add this one first (ctl member add \
             {} {})",
            own.join(","),
            settings.name,
            own.join(",")
        )));
    };
    if !member.client_urls.is_empty() {
        return Err(refused(format!(
            "member {:x} has already been bootstrapped, but this data folder is empty: remove the member and add it again",
            member.id
        )));
    }
    let named: BTreeSet<&str> = settings.initial_cluster.iter().map(|(name, _)| name.as_str()).collect();
    if named.len() != found.members.len() {
        return Err(refused(format!(
            "error validating peerURLs: member count is unequal: --initial-cluster names {}, the cluster has {}",
            named.len(),
            found.members.len()
        )));
    }
    let members = found.members.iter().map(|member| (member.id, member.clone())).collect();
    Ok((member.id, found.cluster_id, IdentityInit { members, joins: true }))
}

fn missing(name: &str) -> OpenError {
    OpenError::Settings(format!("couldn't find local name \"{name}\" in the initial cluster configuration"))
}

/// Returns the members of a new group by id, each the SHA-1 of the sorted peer URLs and the token.
fn initial_members(settings: &Settings) -> BTreeMap<u64, Member> {
    let mut urls: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, url) in &settings.initial_cluster {
        urls.entry(name).or_default().push(url.clone());
    }
    let members = urls.into_iter().map(|(name, mut peer_urls)| {
        peer_urls.sort();
        let text: String = peer_urls.concat() + &settings.cluster_token;
        let id = hash(text.as_bytes());
        (id, Member { id, name: name.to_owned(), peer_urls, ..Member::default() })
    });
    members.collect()
}

pub(super) fn hash(bytes: &[u8]) -> u64 {
    let digest = Sha1::digest(bytes);
    u64::from_be_bytes(digest[..8].try_into().expect("a digest has twenty bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn settings(url: &str) -> Settings {
        Settings {
            name: "a".to_owned(),
            data_dir: "unused".into(),
            cluster_token: "etcd-cluster".to_owned(),
            initial_cluster: vec![("a".to_owned(), url.to_owned())],
            listen_peer_urls: Vec::new(),
            peer_tls: crate::tls::TlsFiles::default(),
            peer_secret: None,
            start: StartMode::New,
            peer_urls: vec![url.to_owned()],
            client_urls: Vec::new(),
            snapshot_count: 10,
            heartbeat: Duration::from_millis(100),
            election: Duration::from_secs(1),
            quota: None,
            version: "3.4.0".to_owned(),
        }
    }

    #[test]
    fn ids_match_those_of_etcd() {
        let members = initial_members(&settings("http://127.0.0.1:22380"));
        let id = *members.keys().next().unwrap();
        assert_eq!(format!("{id:x}"), "9e737febb6b99eee");
        assert_eq!(format!("{:x}", hash(&id.to_be_bytes())), "c8730d66636ff140");
    }

    #[test]
    fn a_changed_byte_of_the_file_is_detected() {
        let body = format!("retune store\nformat {FORMAT_VERSION}\nmember a\ncluster b\nsecret c\n");
        let text = format!("{body}check {:08x}\n", crc32fast::hash(body.as_bytes()));
        let path = Path::new("identity");
        assert!(Identity::read(path, text.as_bytes()).is_ok());
        for at in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(Identity::read(path, &bytes).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_folder_of_a_later_format_is_refused() {
        let body = "retune store\nformat 99\nmember a\ncluster b\nsecret c\n";
        let text = format!("{body}check {:08x}\n", crc32fast::hash(body.as_bytes()));
        let error = Identity::read(Path::new("identity"), text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("format 99"), "{error}");
    }
}
