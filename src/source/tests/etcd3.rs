//! etcd v3: transactions in one batch, compaction, resumption.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

fn txn(revision: u64, ranges: &[&[(&str, &str)]]) -> Reply {
    let responses: Vec<String> = ranges
        .iter()
        .map(|pairs| {
            let kvs: Vec<String> = pairs
                .iter()
                .map(|(key, value)| {
                    format!(r#"{{"key":"{}","value":"{}"}}"#, STANDARD.encode(key), STANDARD.encode(value))
                })
                .collect();
            format!(r#"{{"response_range":{{"kvs":[{}]}}}}"#, kvs.join(","))
        })
        .collect();
    Reply::Complete(
        200,
        0,
        format!(r#"{{"header":{{"revision":"{revision}"}},"responses":[{}]}}"#, responses.join(",")),
    )
}

fn created(watch: u64, revision: u64) -> String {
    format!(r#"{{"result":{{"header":{{"revision":"{revision}"}},"watch_id":"{watch}","created":true}}}}"#)
}

fn put(watch: u64, revision: u64, key: &str, value: &str) -> String {
    let (key, value) = (STANDARD.encode(key), STANDARD.encode(value));
    format!(
        r#"{{"result":{{"header":{{"revision":"{revision}"}},"watch_id":"{watch}","events":[{{"kv":{{"key":"{key}","value":"{value}","mod_revision":"{revision}"}}}}]}}}}"#
    )
}

/// Returns the `start_revision` of each watch in a request's body.
fn starts(body: &str) -> Vec<u64> {
    body.split(r#""start_revision":""#)
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().parse().unwrap())
        .collect()
}

#[tokio::test]
async fn a_transaction_over_two_roots_is_delivered_at_once_without_neighbours() {
    let fake = FakeServer::new(|number, request| match number {
        0 => txn(7, &[&[], &[("/a/x", "1")], &[], &[]]),
        _ => {
            assert_eq!(starts(&request.body), [8, 8]);
            let gone = r#"{"result":{"header":{"revision":"8"},"watch_id":"1","events":[{"type":"DELETE","kv":{"key":"L2Iveg==","mod_revision":"8"}}]}}"#;
            Reply::Stream(
                0,
                vec![
                    created(0, 7),
                    created(1, 7),
                    put(0, 8, "/a/x", "2"),
                    put(0, 8, "/a-b/x", "2"),
                    gone.into(),
                ],
            )
        }
    });
    following(&etcd(Backend::EtcdV3, &fake), &["/a", "/b"], |mut news| async move {
        assert_eq!(snapshot(&mut news).await.entries, [("/a/x".into(), "1".into())]);
        assert_eq!(changes(&mut news).await, [set("/a/x", "2"), delete("/b/z")]);
    })
    .await;
}

#[tokio::test]
async fn a_compacted_watch_is_listed_again() {
    let fake = FakeServer::new(|number, request| match number {
        0 => txn(7, &[&[], &[("/a/x", "1")]]),
        1 => {
            let cancelled = r#"{"result":{"header":{},"canceled":true,"compact_revision":"90"}}"#;
            Reply::Stream(0, vec![created(0, 99), cancelled.into()])
        }
        2 => txn(99, &[&[], &[("/a/x", "2")]]),
        _ => {
            assert_eq!(starts(&request.body), [100]);
            Reply::Stream(0, vec![created(0, 99), put(0, 100, "/a/x", "3")])
        }
    });
    following(&etcd(Backend::EtcdV3, &fake), &["/a"], |mut news| async move {
        snapshot(&mut news).await;
        assert_eq!(snapshot(&mut news).await.revision, 99);
        assert_eq!(changes(&mut news).await, [set("/a/x", "3")]);
    })
    .await;
}

#[tokio::test]
async fn a_gateway_that_moved_in_an_upgrade_is_found_by_the_watch() {
    let fake = FakeServer::new(|number, request| match (number, request.line.as_str()) {
        (1, "POST /v3beta/kv/txn") => txn(7, &[&[], &[]]),
        (2.., "POST /v3/watch") => Reply::Stream(0, vec![created(0, 7), put(0, 8, "/a/x", "1")]),
        _ => Reply::Complete(404, 0, "404 page not found\n".into()),
    });
    following(&etcd(Backend::EtcdV3, &fake), &["/a"], |mut news| async move {
        snapshot(&mut news).await;
        assert_eq!(changes(&mut news).await, [set("/a/x", "1")]);
    })
    .await;
}

#[tokio::test]
async fn after_a_broken_stream_each_range_resumes_at_its_position() {
    let fake = FakeServer::new(|number, request| match number {
        0 => txn(7, &[&[], &[], &[], &[]]),
        1 => Reply::Truncated(0, vec![created(0, 7), created(1, 7), put(1, 9, "/b/x", "1")]),
        2 => Reply::Complete(503, 0, r#"{"error":"etcdserver: no leader","code":14}"#.into()),
        _ => {
            assert_eq!(starts(&request.body), [8, 10]);
            Reply::Stream(0, vec![created(0, 9), created(1, 9), put(0, 10, "/a/x", "2")])
        }
    });
    following(&etcd(Backend::EtcdV3, &fake), &["/a", "/b"], |mut news| async move {
        snapshot(&mut news).await;
        assert_eq!(changes(&mut news).await, [set("/b/x", "1")]);
        assert!(matches!(next(&mut news).await, SourceEvent::Down(_)));
        assert!(matches!(next(&mut news).await, SourceEvent::Up));
        assert_eq!(changes(&mut news).await, [set("/a/x", "2")]);
    })
    .await;
}

/// Returns more roots than one transaction may read, and the number of requests when each is read separately.
fn many() -> (Vec<String>, usize) {
    ((0..300).map(|at| format!("/app/{at}")).collect(), 3)
}

/// Returns whether a request reads one limited range, the common folder of `many`.
fn at_once(body: &str) -> bool {
    let whole = format!(r#""key":"{}","range_end":"{}""#, STANDARD.encode("/app"), STANDARD.encode("/app0"));
    body.matches("request_range").count() == 1 && body.contains(&whole) && body.contains(r#""limit":"7000""#)
}

/// Replies to one of several transactions: the first sets the revision, the others must request it.
fn each(first: bool, request: &Request) -> Reply {
    let asked = request.body.matches("request_range").count();
    assert!(asked <= 128 && !request.body.contains("limit"), "{asked} ranges");
    assert_eq!(request.body.matches(r#""revision":"7""#).count(), if first { 0 } else { asked });
    let mut ranges = vec![[].as_slice(); asked];
    let own = [("/app/0/x", "1"), ("/app/00", "a neighbour")];
    if first {
        ranges[0] = &own;
    }
    txn(if first { 7 } else { 9 }, &ranges)
}

#[tokio::test]
async fn many_roots_are_read_as_one_range_without_its_neighbours() {
    let fake = FakeServer::new(|_, request| {
        assert!(at_once(&request.body), "{}", request.body);
        let pairs = [
            ("/app", "above"),
            ("/app/5", "own"),
            ("/app/5/x", "below"),
            ("/app/5x", "beside"),
            ("/app/x", ""),
        ];
        txn(7, &[&pairs])
    });
    let found = etcd(Backend::EtcdV3, &fake).fetch(&many().0).await.unwrap();
    assert_eq!(found.entries, [("/app/5".into(), "own".into()), ("/app/5/x".into(), "below".into())]);
    assert_eq!((found.revision, fake.seen().len()), (7, 1));
}

#[tokio::test]
async fn many_roots_in_a_large_folder_are_read_separately_at_one_revision() {
    let names: Vec<String> = (0..7000).map(|at| format!("/app/other{at}")).collect();
    let fake = FakeServer::new(move |number, request| match number {
        0 => {
            assert!(at_once(&request.body), "{}", request.body);
            let pairs: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
            txn(5, &[&pairs])
        }
        _ => each(number == 1, request),
    });
    let (roots, requests) = many();
    let found = etcd(Backend::EtcdV3, &fake).fetch(&roots).await.unwrap();
    assert_eq!(found.entries, [("/app/0/x".into(), "1".into())]);
    assert_eq!((found.revision, fake.seen().len()), (7, 1 + requests));
}

#[tokio::test]
async fn many_roots_in_an_unreadable_folder_are_read_separately() {
    let fake = FakeServer::new(|number, request| match number {
        0 => Reply::Complete(403, 0, r#"{"error":"etcdserver: permission denied","code":7}"#.into()),
        _ => each(number == 1, request),
    });
    let (roots, requests) = many();
    let found = etcd(Backend::EtcdV3, &fake).fetch(&roots).await.unwrap();
    assert_eq!(found.entries, [("/app/0/x".into(), "1".into())]);
    assert_eq!((found.revision, fake.seen().len()), (7, 1 + requests));
}

#[tokio::test]
async fn many_roots_of_an_unreachable_store_are_not_requested_one_by_one() {
    let fake = FakeServer::new(|_, _| Reply::Complete(503, 0, String::new()));
    etcd(Backend::EtcdV3, &fake).fetch(&many().0).await.unwrap_err();
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn a_store_that_is_down_at_the_start_is_reported_and_then_listed() {
    let fake = FakeServer::new(|number, _| match number {
        0 | 1 => Reply::Complete(503, 0, String::new()),
        2 => txn(7, &[&[], &[("/a/x", "1")]]),
        _ => Reply::Stream(0, vec![created(0, 7)]),
    });
    following(&etcd(Backend::EtcdV3, &fake), &["/a"], |mut news| async move {
        assert!(matches!(next(&mut news).await, SourceEvent::Down(_)));
        assert!(matches!(next(&mut news).await, SourceEvent::Up));
        assert_eq!(snapshot(&mut news).await.revision, 7);
    })
    .await;
}

#[tokio::test]
async fn a_relist_keeps_the_later_deltas_in_order() {
    let fake = FakeServer::new(|number, request| {
        if request.line.ends_with("/txn") {
            txn(10 + number as u64, &[&[], &[]])
        } else {
            let start = starts(&request.body)[0];
            Reply::Stream(0, vec![created(0, start), put(0, start, "/a/x", &start.to_string())])
        }
    });
    let source = etcd(Backend::EtcdV3, &fake);
    let (sender, mut news) = channel(16);
    let how = Follow { watch: true, relist: Some(Duration::from_millis(150)) };
    tokio::select! {
        () = source.follow(roots(&["/a"]), how, sender) => panic!("it follows for ever"),
        () = async {
            for _ in 0..3 {
                let next = snapshot(&mut news).await.revision + 1;
                assert_eq!(changes(&mut news).await, [set("/a/x", &next.to_string())]);
            }
        } => {}
    }
}

/// Returns a node whose watch sends one change and then nothing more, and which replies to probes with `probe`.
fn quiet_after_one_change(probe: impl Fn() -> Reply + Send + Sync + 'static) -> FakeServer {
    FakeServer::new(move |number, request| match number {
        0 => txn(7, &[&[], &[]]),
        1 => Reply::Stream(0, vec![created(0, 7), put(0, 8, "/a/x", "1")]),
        _ if request.line.ends_with("/range") => probe(),
        _ => {
            assert_eq!(starts(&request.body), [9]);
            Reply::Stream(0, vec![created(0, 9), put(0, 9, "/a/x", "2")])
        }
    })
}

/// Follows until the one change has arrived, so that its stream is open, then runs `body`.
async fn behind_one_change<F>(fake: &FakeServer, body: impl FnOnce(Receiver<SourceEvent>) -> F)
where
    F: Future<Output = ()>,
{
    let source = etcd(Backend::EtcdV3, fake);
    let (sender, mut news) = channel(16);
    tokio::select! {
        () = source.follow(roots(&["/a"]), Follow { watch: true, relist: None }, sender) => panic!("it ended"),
        () = async {
            snapshot(&mut news).await;
            assert_eq!(changes(&mut news).await, [set("/a/x", "1")]);
            body(news).await;
        } => {}
    }
}

#[tokio::test]
async fn a_half_open_stream_is_given_up_after_two_probes_and_nothing_is_missed() {
    let fake = quiet_after_one_change(|| Reply::Silent);
    behind_one_change(&fake, |mut news| async move {
        // From here on only the clock moves: it jumps to the next timer.
        tokio::time::pause();
        let since = tokio::time::Instant::now();
        let told = timeout(10 * LONG_TIMEOUT, news.recv()).await.expect("told in time");
        assert!(matches!(told, Some(SourceEvent::Down(_))), "{told:?}");
        let took = since.elapsed().as_secs();
        tokio::time::resume();
        assert!((60..=70).contains(&took), "{took} s");
        assert!(matches!(next(&mut news).await, SourceEvent::Up));
        assert_eq!(changes(&mut news).await, [set("/a/x", "2")]);
    })
    .await;
}

#[tokio::test]
async fn a_quiet_stream_of_a_responding_node_is_kept() {
    let fake = quiet_after_one_change(|| Reply::Complete(200, 0, r#"{"header":{"revision":"8"}}"#.into()));
    let seen = || fake.seen();
    behind_one_change(&fake, |mut news| async move {
        // While a blocking task runs, a paused clock only moves by hand, so no timeout runs ahead of a real response.
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let blocking = tokio::task::spawn_blocking(move || ended.recv());
        tokio::time::pause();
        for probe in 1..=4 {
            tokio::time::advance(Duration::from_secs(31)).await;
            let since = std::time::Instant::now();
            while seen().len() < 2 + probe || since.elapsed() < Duration::from_millis(50) {
                assert!(since.elapsed() < LONG_TIMEOUT, "no probe: {:?}", seen());
                tokio::task::yield_now().await;
            }
        }
        tokio::time::resume();
        drop(end);
        blocking.await.unwrap().unwrap_err();
        assert!(news.try_recv().is_err(), "no outage and no news");
        assert!(seen()[2..].iter().all(|line| line == "POST /v3/kv/range"), "{:?}", seen());
    })
    .await;
}

#[tokio::test]
async fn a_restored_store_is_listed_again_although_its_revision_is_higher() {
    let restored = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&restored);
    let fake = FakeServer::new(move |_, request| {
        let (id, revision, value) = if now.load(Relaxed) { (8, 5_000, "2") } else { (7, 10, "1") };
        let told =
            |text: String| text.replace(r#""header":{"#, &format!(r#""header":{{"cluster_id":"{id}","#));
        match request.line.as_str() {
            "POST /v3/watch" => Reply::Stream(0, vec![told(created(0, revision))]),
            "POST /v3/kv/txn" => match txn(revision, &[&[], &[("/a/x", value)]]) {
                Reply::Complete(status, index, body) => Reply::Complete(status, index, told(body)),
                _ => unreachable!(),
            },
            "POST /v3/cluster/member/list" => {
                Reply::Complete(200, 0, format!(r#"{{"header":{{"cluster_id":"{id}"}},"members":[]}}"#))
            }
            _ => Reply::Complete(404, 0, "404 page not found\n".into()),
        }
    });
    following(&etcd_at(Backend::EtcdV3, &fake, true), &["/a"], |mut news| {
        let (fake, restored) = (&fake, &restored);
        async move {
            assert_eq!(snapshot(&mut news).await.entries[0].1, Datum::from("1"));
            while !fake.seen().iter().any(|line| line.ends_with("/watch")) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            restored.store(true, Relaxed);
            fake.disconnect();
            loop {
                match next(&mut news).await {
                    SourceEvent::Snapshot(second) if second.entries[0].1 == Datum::from("2") => break,
                    SourceEvent::Changes { changes, .. } => panic!("{changes:?} of another store"),
                    _ => {}
                }
            }
        }
    })
    .await;
}
