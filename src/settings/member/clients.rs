//! The client port: where a member listens, and the URLs that it advertises to clients.

use super::super::layers::Rank;
use super::super::reader::Reader;
use super::urls::HostUrl;
use super::{
    bindable, check_advertised, default_listener, detected_host_url, report_semantic, warn_if_not_listening,
};

const LOCAL_CLIENT: &str = "http://localhost:2379";
const LISTEN: &str = "listen-client-urls";
const ADVERTISE: &str = "advertise-client-urls";

/// Both sides of the client port.
pub(super) struct Clients {
    pub(super) listen: Vec<HostUrl>,
    pub(super) advertise: Vec<HostUrl>,
}

/// Reads both; one that is missing is derived from the other where possible.
pub(super) fn read(read: &mut Reader<'_>) -> Clients {
    let listen_urls = read.parsed(LISTEN, HostUrl::read_list);
    let advertised = read.parsed(ADVERTISE, HostUrl::read_list);
    check_advertised(read, ADVERTISE, advertised.as_deref().unwrap_or_default());
    let listen = bindable(read, LISTEN, listen_urls.as_deref());
    let advertise = advertise(read, listen_urls, advertised);
    let listen = listen.unwrap_or_else(|| vec![default_listener()]);
    warn_if_not_listening(read, (LISTEN, &listen), (ADVERTISE, &advertise));
    Clients { listen, advertise }
}

fn advertise(
    read: &mut Reader<'_>,
    listen_urls: Option<Vec<HostUrl>>,
    advertised: Option<Vec<HostUrl>>,
) -> Vec<HostUrl> {
    let local = HostUrl::read_list(LOCAL_CLIENT).expect("the default is a URL");
    let given = read.rank(ADVERTISE).is_some();
    // In its settings file, etcd accepts one without the other.
    let filed = read.rank(LISTEN) == Some(Rank::File);
    match (advertised, listen_urls) {
        // etcd treats its default as not given, even if it was given.
        (Some(urls), Some(listen)) if read.is_etcd() && urls == local => {
            detected_host_url(read, ADVERTISE, &listen).unwrap_or(urls)
        }
        (Some(urls), _) => urls,
        // An invalid value was already reported.
        (None, Some(urls)) if given => urls,
        (None, Some(listen)) if read.is_etcd() && filed => {
            detected_host_url(read, ADVERTISE, &listen).unwrap_or(local)
        }
        // etcd always requires both; here the second is derived from the first where possible.
        (None, Some(urls)) if !read.is_etcd() && !urls.iter().any(HostUrl::is_wildcard) => urls,
        (None, Some(_)) => {
            let message = "--advertise-client-urls is required when --listen-client-urls is set explicitly: clients \
                        need a URL that they can reach";
            report_semantic(read, LISTEN, message);
            local
        }
        (None, None) => local,
    }
}
