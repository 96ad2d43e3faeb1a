//! Member sync, against small scripted servers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::cluster::{Cluster, Get, Keys, Options, RequestError, Set};
use super::fake_server::{FakeServer, Reply, Request};
use super::tests::{client, config, file_reply, unused_address};
use super::v2::V2;
use super::v3::{Range, V3};
use super::{Client, ClientError, Config, Credentials, Trust};

/// The members that a store lists; filled once their addresses are known.
type List = Arc<Mutex<Vec<String>>>;

fn body(urls: &[String]) -> String {
    let members: Vec<String> =
        urls.iter().map(|url| format!(r#"{{"id":"1","name":"n","clientURLs":["{url}"]}}"#)).collect();
    format!(r#"{{"members":[{}]}}"#, members.join(","))
}

/// A member of cluster `id` that lists `list`, and holds `/a`.
fn member(id: u64, list: &List) -> FakeServer {
    let list = Arc::clone(list);
    FakeServer::new(move |_, request| answer(id, &list, request))
}

fn answer(id: u64, list: &List, request: &Request) -> Reply {
    if request.line == "GET /v2/members" {
        assert_eq!(request.authorization, "", "nobody is told a password for the list");
        return Reply::FromCluster(id, 5, body(&list.lock().unwrap()));
    }
    let Reply::Complete(_, index, body) = file_reply(id) else { unreachable!() };
    Reply::FromCluster(id, index, body)
}

fn set(list: &List, urls: &[&str]) {
    *list.lock().unwrap() = urls.iter().map(|url| (*url).to_owned()).collect();
}

fn syncing(nodes: &[&str]) -> Arc<Client> {
    Arc::new(Client::new(&Config { sync: true, ..config(nodes) }).unwrap())
}

/// Runs `work` while the client updates its list of members.
async fn following<T>(client: &Client, work: impl Future<Output = T>) -> T {
    tokio::select! {
        done = work => done,
        never = client.follow_members() => match never {},
    }
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn known(client: &Client) -> Vec<String> {
    let mut known: Vec<String> = client.endpoints.known().iter().map(|node| node.to_string()).collect();
    known.sort();
    known
}

fn sorted(urls: &[&str]) -> Vec<String> {
    let mut urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
    urls.sort();
    urls
}

#[tokio::test]
async fn members_added_later_are_used_when_the_given_ones_are_gone() {
    let list = List::default();
    let (old, new) = (member(7, &list), member(7, &list));
    set(&list, &[&old.url, &new.url]);
    let client = syncing(&[&old.url]);
    let v2 = V2::new(Arc::clone(&client), None);
    following(&client, async {
        eventually("the new member is learnt", || known(&client) == sorted(&[&old.url, &new.url])).await;
        assert_eq!(v2.list("/a").await.unwrap().index, 7);
        assert!(!new.seen().iter().any(|line| line.contains("/keys")), "the node that works is kept");
        old.refuse();
        assert_eq!(v2.list("/a").await.unwrap().index, 7);
        assert!(new.seen().iter().any(|line| line.contains("/keys")));
        // The given nodes stay as the fallback.
        set(&list, &[&new.url]);
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(known(&client), sorted(&[&old.url, &new.url]));
    })
    .await;
}

#[tokio::test]
async fn without_sync_no_member_is_added() {
    let list = List::default();
    let (old, new) = (member(7, &list), member(7, &list));
    set(&list, &[&old.url, &new.url]);
    let client = client(&[&old.url]);
    following(&client, tokio::time::sleep(Duration::from_millis(300))).await;
    assert!(old.seen().is_empty() && new.seen().is_empty());
    old.refuse();
    let said = V2::new(client, None).list("/a").await.unwrap_err();
    assert!(matches!(said, ClientError::Unavailable { .. }), "{said}");
}

#[tokio::test]
async fn a_member_of_another_cluster_gets_no_data_request() {
    let (list, others) = (List::default(), List::default());
    let (own, foreign) = (member(7, &list), member(8, &others));
    set(&list, &[&own.url, &foreign.url]);
    let client = syncing(&[&own.url]);
    let v2 = V2::new(Arc::clone(&client), None);
    following(&client, async {
        eventually("the foreign member was looked at", || !foreign.seen().is_empty()).await;
        assert_eq!(v2.list("/a").await.unwrap().index, 7);
        own.refuse();
        assert!(matches!(v2.list("/a").await, Err(ClientError::Unavailable { .. })));
    })
    .await;
    assert_eq!(known(&client), sorted(&[&own.url]));
    assert!(foreign.seen().iter().all(|line| line == "GET /v2/members"), "{:?}", foreign.seen());
}

/// Reads `/a` until it comes from cluster `id`, a while longer than the client waits for the previous cluster.
async fn comes_from(v2: &V2, id: u64) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        if v2.list("/a").await.is_ok_and(|listing| listing.index == id) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn a_given_node_of_another_cluster_is_not_used_once_seen_beside_the_previous_cluster() {
    let (list, others) = (List::default(), List::default());
    let (own, foreign) = (member(7, &list), member(8, &others));
    let client = syncing(&[&own.url, &foreign.url]);
    let v2 = V2::new(Arc::clone(&client), None);
    assert_eq!(v2.list("/a").await.unwrap().index, 7);
    client.endpoints.failed(&own.url);
    // The other node would be tried first now, but gets no request.
    assert_eq!(v2.list("/a").await.unwrap().index, 7);
    assert_eq!(foreign.seen(), ["GET /v2/members"]);
    own.refuse();
    assert!(!comes_from(&v2, 8).await);
    assert_eq!(client.epoch(), 0);
}

#[tokio::test]
async fn an_unknown_given_node_replaces_the_previous_cluster_after_a_delay() {
    let (list, others) = (List::default(), List::default());
    let (own, spare) = (member(7, &list), member(8, &others));
    let client = syncing(&[&own.url, &spare.url]);
    spare.refuse();
    let v2 = V2::new(Arc::clone(&client), None);
    assert_eq!(v2.list("/a").await.unwrap().index, 7);
    own.refuse();
    spare.accept();
    // The previous node may only be restarting.
    assert!(v2.list("/a").await.is_err());
    assert!(comes_from(&v2, 8).await);
    assert_eq!(client.epoch(), 1);
}

#[tokio::test]
async fn a_store_that_was_restored_at_its_old_address_is_followed() {
    let id = Arc::new(AtomicU64::new(7));
    let (now, list) = (Arc::clone(&id), List::default());
    let store = FakeServer::new(move |_, request| answer(now.load(Ordering::Relaxed), &list, request));
    let client = syncing(&[&store.url]);
    let v2 = V2::new(Arc::clone(&client), None);
    assert_eq!(v2.list("/a").await.unwrap().index, 7);
    id.store(8, Ordering::Relaxed);
    assert_eq!(v2.list("/a").await.unwrap().index, 8);
    assert_eq!(client.epoch(), 1);
}

/// Returns the node that this client has requested data from, and the other one.
fn in_use<'f>(one: &'f FakeServer, other: &'f FakeServer) -> (&'f FakeServer, &'f FakeServer) {
    if one.seen().iter().any(|line| line.contains("/keys")) { (one, other) } else { (other, one) }
}

/// The URLs of two clusters are given, and the one in use restarts.
async fn writes_go_to_one_of_two(follows: bool) {
    let (one, other) = (member(7, &List::default()), member(8, &List::default()));
    let cluster = cluster_at(&[&one.url, &other.url]);
    let keys = Keys::new(&cluster, None);
    let how = Set::default();
    let writes = async {
        // The first response decides, whichever node it is from.
        keys.set(b"/a", b"1", &how).await.unwrap();
        let (own, foreign) = in_use(&one, &other);
        if follows {
            eventually("the other one was looked at", || !foreign.seen().is_empty()).await;
        }
        own.refuse();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(if follows { 3_000 } else { 1 }) {
            let said = keys.set(b"/a", b"2", &how).await.unwrap_err().to_string();
            assert!(said.contains("it belongs to another cluster"), "{said}");
            keys.get(b"/a", Get::default()).await.unwrap_err();
        }
        own.accept();
        keys.set(b"/a", b"3", &how).await.unwrap();
        // It got neither a write nor a password.
        assert!(foreign.seen().iter().all(|line| line == "GET /v2/members"), "{:?}", foreign.seen());
    };
    tokio::select! {
        () = writes => {}
        never = cluster.follow_members(), if follows => match never {},
    }
}

#[tokio::test]
async fn no_write_goes_to_a_node_before_its_cluster_is_known() {
    writes_go_to_one_of_two(false).await;
}

#[tokio::test]
async fn nothing_is_written_to_another_cluster_however_long_the_own_one_is_down() {
    writes_go_to_one_of_two(true).await;
}

#[tokio::test]
async fn a_watch_on_an_index_of_a_store_that_was_replaced_ends() {
    let id = Arc::new(AtomicU64::new(7));
    let (now, list) = (Arc::clone(&id), List::default());
    let store = FakeServer::new(move |_, request| match now.load(Ordering::Relaxed) {
        id if request.line.contains("wait=true") => Reply::StreamFromCluster(id, 100 * id, Vec::new()),
        id => answer(id, &list, request),
    });
    let cluster = cluster(&store.url);
    let keys = Keys::new(&cluster, None);
    let restored = async {
        eventually("it watches", || store.seen().iter().any(|line| line.contains("wait=true"))).await;
        // The idle watch is reopened soon.
        id.store(8, Ordering::Relaxed);
    };
    let (ended, ()) = tokio::join!(keys.next(b"/a", (700, 0), true), restored);
    assert_eq!(ended.unwrap_err(), RequestError::Replaced);
    // The caller may keep the index for longer than a request lasts.
    assert_eq!(keys.next(b"/a", (700, 0), true).await.unwrap_err(), RequestError::Replaced);
}

#[tokio::test]
async fn an_invalid_member_list_is_harmless() {
    let list = List::default();
    let (own, silent) = (member(7, &list), FakeServer::new(|_, _| Reply::Silent));
    let stranger = FakeServer::new(|_, _| Reply::Complete(200, 0, "<html>".into()));
    // The content of a list that is too long is ignored.
    let good = member(7, &list);
    let mut many: Vec<String> = (0..10_000).map(|number| format!("http://10.0.0.1:{number}")).collect();
    many[0].clone_from(&good.url);
    let lists: [&[&str]; 4] = [
        &[&unused_address(), &silent.url, &stranger.url, "http://", "ftp://x", "http://u:p@h", "x", ""],
        &["http://\u{0}", "http://[::1", "http://h:99999", "http://h/?x", "https://127.0.0.1:1"],
        &many.iter().map(String::as_str).collect::<Vec<_>>(),
        &many.iter().take(100).map(String::as_str).collect::<Vec<_>>(),
    ];
    let client = syncing(&[&own.url]);
    let v2 = V2::new(Arc::clone(&client), None);
    following(&client, async {
        for urls in lists {
            set(&list, urls);
            let (asked, begun) = (own.seen().len(), Instant::now());
            eventually("the list was taken", || own.seen().len() > asked + 1).await;
            for _ in 0..10 {
                assert_eq!(v2.list("/a").await.unwrap().index, 7);
            }
            assert_eq!(known(&client), sorted(&[&own.url]), "{:.200}", format!("{urls:?}"));
            assert!(begun.elapsed() < Duration::from_secs(15));
        }
    })
    .await;
    assert!(good.seen().is_empty(), "{:?}", good.seen());
}

#[tokio::test]
async fn a_client_of_https_nodes_never_uses_http() {
    let list = List::default();
    let plain = member(7, &list);
    set(&list, &[&plain.url]);
    // The list comes from the plain node of a mixed set; with one https node, all synced members must use https.
    let client = syncing(&[&plain.url, "https://127.0.0.1:1"]);
    let other = member(7, &list);
    set(&list, &[&plain.url, &other.url]);
    following(&client, async {
        eventually("the list was asked for", || plain.seen().len() > 2).await;
    })
    .await;
    assert_eq!(known(&client), sorted(&[&plain.url, "https://127.0.0.1:1"]));
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn an_unreachable_member_causes_no_delay_and_is_used_once_it_responds() {
    let list = List::default();
    let (own, late) = (member(7, &list), member(7, &list));
    let (late_url, silent) = (late.url.clone(), FakeServer::new(|_, _| Reply::Silent));
    late.refuse();
    set(&list, &[&own.url, &late_url, &silent.url]);
    let client = syncing(&[&own.url]);
    let v2 = V2::new(Arc::clone(&client), None);
    following(&client, async {
        eventually("the silent one was tried", || !silent.seen().is_empty()).await;
        let begun = Instant::now();
        for _ in 0..20 {
            v2.list("/a").await.unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(known(&client), sorted(&[&own.url]));
        late.accept();
        eventually("it is learnt", || known(&client) == sorted(&[&own.url, &late_url])).await;
    })
    .await;
}

#[tokio::test]
async fn without_the_v2_api_the_gateway_provides_the_member_list() {
    let url = Arc::new(Mutex::new(String::new()));
    let serve = |url: &Arc<Mutex<String>>| {
        let url = Arc::clone(url);
        FakeServer::new(move |_, request| {
            match request.line.as_str() {
            "POST /v3/cluster/member/list" => {
                let (url, id) = (url.lock().unwrap(), u64::MAX);
                Reply::Complete(
                    200,
                    0,
                    format!(
                        r#"{{"header":{{"cluster_id":"{id}","member_id":"3"}},"members":[{{"ID":"3","clientURLs":["{url}"]}},{{"ID":"4","isLearner":true,"clientURLs":["http://127.0.0.1:1"]}},{{"ID":"5"}}]}}"#
                    ),
                )
            }
            "POST /v3/kv/txn" => {
                Reply::Complete(200, 0, r#"{"header":{"cluster_id":"18446744073709551615","revision":"7"},"responses":[{"response_range":{}}]}"#.into())
            }
            _ => Reply::Complete(404, 0, "404 page not found\n".into()),
        }
        })
    };
    let (old, new) = (serve(&url), serve(&url));
    new.url.clone_into(&mut url.lock().unwrap());
    let client = syncing(&[&old.url]);
    let v3 = V3::new(Arc::clone(&client), None);
    let all = [Range { from: "/".into(), to: "0".into() }];
    following(&client, async {
        eventually("the new member is learnt", || known(&client) == sorted(&[&old.url, &new.url])).await;
        old.refuse();
        assert_eq!(v3.ranges(&all, None).await.unwrap().revision, 7);
    })
    .await;
}

fn cluster(url: &str) -> Cluster {
    cluster_at(&[url])
}

fn cluster_at(urls: &[&str]) -> Cluster {
    let login = Some(Credentials::new("root", "hunter2"));
    Cluster::new(Options {
        endpoints: urls.iter().map(|url| (*url).to_owned()).collect(),
        trust: Trust::default(),
        login,
        timeout: Duration::from_secs(5),
        dial: Duration::from_secs(5),
        trace: None,
        sync: true,
    })
    .unwrap()
}

#[tokio::test]
async fn a_watch_from_now_on_continues_at_its_position_on_the_next_member() {
    let list = List::default();
    let watched = |list: &List, index: u64| {
        let list = Arc::clone(list);
        FakeServer::new(move |_, request| {
            if request.line.contains("wait=true") {
                Reply::Stream(index, Vec::new())
            } else {
                answer(7, &list, request)
            }
        })
    };
    let (old, new) = (watched(&list, 41), watched(&list, 60));
    set(&list, &[&old.url, &new.url]);
    let cluster = cluster(&old.url);
    let watch = |fake: &FakeServer| {
        fake.seen().into_iter().filter(|line| line.contains("wait=true")).collect::<Vec<_>>()
    };
    let keys = Keys::new(&cluster, None);
    tokio::select! {
        _ = keys.next(b"/a", (0, 0), true) => panic!("nothing happens there"),
        never = cluster.follow_members() => match never {},
        () = async {
            eventually("it watches", || !watch(&old).is_empty()).await;
            eventually("the new member is learnt", || cluster.endpoints().len() == 2).await;
            old.refuse();
            eventually("it watches elsewhere", || !watch(&new).is_empty()).await;
        } => {}
    }
    // A watch that was idle for long is not reopened at the old index.
    tokio::select! {
        _ = keys.next(b"/a", (30, 0), true) => panic!("nothing happens there"),
        () = eventually("it asks anew", || watch(&new).iter().any(|line| line.ends_with("waitIndex=61"))) => {}
    }
    assert!(watch(&new).iter().any(|line| line.ends_with("waitIndex=30")), "{:?}", watch(&new));
    assert!(watch(&old)[0].ends_with("waitIndex=0"), "{:?}", watch(&old));
    assert!(watch(&new)[0].ends_with("waitIndex=42"), "{:?}", watch(&new));
}

#[tokio::test]
async fn a_member_that_responds_but_cannot_serve_lists_the_others() {
    let list = List::default();
    let ill_list = Arc::clone(&list);
    let ill = FakeServer::new(move |_, request| match request.line.as_str() {
        "GET /v2/members" => Reply::FromCluster(7, 5, body(&ill_list.lock().unwrap())),
        _ => Reply::Unavailable(7),
    });
    let well = member(7, &list);
    set(&list, &[&ill.url, &well.url]);
    // One request, and no concurrent update of the members.
    assert_eq!(V2::new(syncing(&[&ill.url]), None).list("/a").await.unwrap().index, 7);
    let cluster = cluster(&ill.url);
    let found = Keys::new(&cluster, None).get(b"/a", Get::default()).await.unwrap();
    assert_eq!(found.node.value, "1");
}
