//! etcd v2: exact resumption, lost history, levelling, outages.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::*;
use crate::client::ClientError;
use crate::source::SourceError;

fn dir(index: u64, files: &[(&str, &str)]) -> Reply {
    let nodes: Vec<String> = files
        .iter()
        .map(|(key, value)| format!(r#"{{"key":"{key}","value":"{value}","modifiedIndex":1}}"#))
        .collect();
    let body =
        format!(r#"{{"action":"get","node":{{"key":"/app","dir":true,"nodes":[{}]}}}}"#, nodes.join(","));
    Reply::Complete(200, index, body)
}

fn event(key: &str, value: &str, index: u64) -> String {
    format!(
        r#"{{"action":"set","node":{{"key":"{key}","value":"{value}","modifiedIndex":{index},"createdIndex":1}}}}"#
    )
}

fn once(accepted: u64, line: String) -> Reply {
    // One event ends a watch; the rest of the connection does not matter.
    Reply::Stream(accepted, vec![line])
}

/// Returns the `waitIndex` of each watch so far.
fn waits(fake: &FakeServer) -> Vec<u64> {
    fake.seen()
        .iter()
        .filter_map(|line| line.split("waitIndex=").nth(1).and_then(|index| index.parse().ok()))
        .collect()
}

#[tokio::test]
async fn a_watch_resumes_after_the_last_event_or_after_the_index_of_its_last_response() {
    let fake = FakeServer::new(|number, _| match number {
        0 => dir(10, &[("/app/a", "1")]),
        1 => once(11, event("/app/a", "2", 12)),
        2 => Reply::Stream(40, Vec::new()),
        _ => Reply::Stream(41, Vec::new()),
    });
    following(&etcd(Backend::Etcd, &fake), &["/app"], |mut news| async move {
        let first = snapshot(&mut news).await;
        assert_eq!((first.revision, first.entries.len()), (10, 1));
        assert_eq!(changes(&mut news).await, [set("/app/a", "2")]);
        // The idle watch is restarted meanwhile.
        assert!(timeout(Duration::from_millis(800), news.recv()).await.is_err());
    })
    .await;
    assert_eq!(waits(&fake)[..3], [11, 13, 41]);
}

#[tokio::test]
async fn past_events_are_delivered_together() {
    let fake = FakeServer::new(|number, _| match number {
        0 => dir(10, &[]),
        1 => once(13, event("/app/a", "1", 11)),
        2 => once(13, event("/app/a", "2", 12)),
        3 => once(13, event("/app/b", "3", 13)),
        _ => Reply::Stream(13, Vec::new()),
    });
    following(&etcd(Backend::Etcd, &fake), &["/app"], |mut news| async move {
        snapshot(&mut news).await;
        assert_eq!(changes(&mut news).await, [set("/app/a", "1"), set("/app/a", "2"), set("/app/b", "3")]);
    })
    .await;
    assert_eq!(waits(&fake)[..3], [11, 12, 13]);
}

#[tokio::test]
async fn a_cleared_history_is_listed_again_and_resumed_from_the_new_index() {
    let fake = FakeServer::new(|number, _| {
        match number {
        0 => dir(10, &[("/app/a", "1")]),
        1 => Reply::Complete(
            400,
            5000,
            r#"{"errorCode":401,"message":"The event in requested index is outdated and cleared","cause":"the requested history has been cleared [4001/11]","index":5000}"#.into(),
        ),
        2 => dir(5000, &[("/app/a", "2")]),
        _ => Reply::Stream(5000, Vec::new()),
    }
    });
    following(&etcd(Backend::Etcd, &fake), &["/app"], |mut news| async move {
        snapshot(&mut news).await;
        let second = snapshot(&mut news).await;
        assert_eq!((second.revision, &second.entries[0].1), (5000, &Datum::from("2")));
        assert!(timeout(Duration::from_millis(200), news.recv()).await.is_err());
    })
    .await;
    assert_eq!(waits(&fake)[..2], [11, 5001]);
}

#[tokio::test]
async fn a_store_whose_index_decreased_is_listed_again() {
    let fake = FakeServer::new(|_, request| {
        if request.line.contains("wait=true") { Reply::Stream(4, Vec::new()) } else { dir(10, &[]) }
    });
    // The listing has index 10 and the watch 4: two members, or a store that was replaced.
    following(&etcd(Backend::Etcd, &fake), &["/app"], |mut news| async move {
        snapshot(&mut news).await;
        snapshot(&mut news).await;
    })
    .await;
}

#[tokio::test]
async fn an_outage_is_reported_once_and_nothing_is_missed_after_it() {
    let fake = FakeServer::new(|number, _| match number {
        0 => dir(10, &[]),
        1 => Reply::Truncated(10, Vec::new()),
        2..=4 => Reply::Complete(503, 0, "no leader".into()),
        5 => once(11, event("/app/a", "1", 11)),
        _ => Reply::Stream(11, Vec::new()),
    });
    following(&etcd(Backend::Etcd, &fake), &["/app"], |mut news| async move {
        snapshot(&mut news).await;
        assert!(matches!(
            next(&mut news).await,
            SourceEvent::Down(SourceError::Store(ClientError::Unavailable { .. }))
        ));
        assert!(matches!(next(&mut news).await, SourceEvent::Up));
        assert_eq!(changes(&mut news).await, [set("/app/a", "1")]);
    })
    .await;
    assert!(waits(&fake)[..5].iter().all(|index| *index == 11));
}

#[tokio::test]
async fn roots_read_at_different_indexes_are_reread_and_each_watched_from_its_index() {
    let fake = FakeServer::new(|number, request| match (number, request.line.contains("/app/b")) {
        _ if request.line.contains("wait=true") => Reply::Stream(12, Vec::new()),
        (0 | 1, false) => dir(10, &[("/app/a/x", "old")]),
        (_, false) => dir(12, &[("/app/a/x", "new")]),
        (_, true) => dir(12, &[("/app/b/x", "1"), ("/app/other", "1")]),
    });
    following(&etcd(Backend::Etcd, &fake), &["/app/a", "/app/b"], |mut news| async move {
        let mut first = snapshot(&mut news).await;
        first.entries.sort_by(|a, b| a.0.cmp(&b.0));
        let want = [("/app/a/x", "new"), ("/app/b/x", "1")].map(|(key, value)| (key.into(), value.into()));
        assert_eq!((first.revision, first.entries), (12, want.to_vec()));
        assert!(timeout(Duration::from_millis(200), news.recv()).await.is_err());
    })
    .await;
    assert_eq!(waits(&fake)[..2], [13, 13]);
}

#[tokio::test]
async fn many_roots_need_one_read_and_one_watch_of_their_common_directory() {
    let fake = FakeServer::new(|number, _| match number {
        0 => dir(10, &[("/app/r03/x", "1"), ("/app/other", "1")]),
        1 => once(12, event("/app/other", "2", 11)),
        2 => once(12, event("/app/r04", "3", 12)),
        _ => Reply::Stream(12, Vec::new()),
    });
    let names: Vec<String> = (0..20).map(|at| format!("/app/r{at:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    following(&etcd(Backend::Etcd, &fake), &names, |mut news| async move {
        assert_eq!(snapshot(&mut news).await.entries.len(), 1);
        assert_eq!(changes(&mut news).await, [set("/app/r04", "3")]);
    })
    .await;
    assert!(fake.seen()[..3].iter().all(|line| line.starts_with("GET /v2/keys/app?")));
}

#[tokio::test]
async fn a_store_without_the_v2_api_is_read_by_its_v3_api() {
    let fake = FakeServer::new(|_, request| {
        if request.line.starts_with("GET /v2/") {
            return Reply::Complete(404, 0, "404 page not found\n".into());
        }
        Reply::Complete(200, 0, r#"{"header":{"revision":"7"},"responses":[{"response_range":{}},{"response_range":{"kvs":[{"key":"L2FwcC9h","value":"MQ=="}]}}]}"#.into())
    });
    let source = etcd(Backend::Etcd, &fake);
    for _ in 0..2 {
        let found = source.fetch(&roots(&["/app"])).await.unwrap();
        assert_eq!((found.revision, &*found.entries[0].0), (7, "/app/a"));
    }
    assert_eq!(fake.seen().len(), 3, "the v2 API is asked for once");
}

/// After a restore the index may be lower or higher than before, and the history may or may not reach back to the old
/// one.
#[tokio::test]
async fn a_restored_store_is_listed_again_wherever_its_index_is() {
    for index in [4, 10, 5_000] {
        let restored = Arc::new(AtomicBool::new(false));
        let now = Arc::clone(&restored);
        let fake = FakeServer::new(move |_, request| {
            let (id, index, value) = if now.load(Relaxed) { (8, index, "2") } else { (7, 10, "1") };
            if request.line == "GET /v2/members" {
                return Reply::FromCluster(id, index, r#"{"members":[]}"#.into());
            }
            if request.line.contains("wait=true") {
                return Reply::StreamFromCluster(id, index, Vec::new());
            }
            let Reply::Complete(_, index, body) = dir(index, &[("/app/a", value)]) else { unreachable!() };
            Reply::FromCluster(id, index, body)
        });
        following(&etcd_at(Backend::Etcd, &fake, true), &["/app"], |mut news| {
            let fake = &fake;
            let restored = &restored;
            async move {
                assert_eq!(snapshot(&mut news).await.entries[0].1, Datum::from("1"));
                while waits(fake).is_empty() {
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
}

#[tokio::test]
async fn a_key_of_any_depth_is_read_beside_the_others() {
    const LEVELS: usize = 3_000;
    let nested = format!(
        r#"{}{{"key":"/app/deep","value":"2"}}{}"#,
        r#"{"key":"/app/d","dir":true,"nodes":["#.repeat(LEVELS),
        "]}".repeat(LEVELS)
    );
    let body = format!(
        r#"{{"action":"get","node":{{"key":"/app","dir":true,"nodes":[{{"key":"/app/a","value":"1"}},{nested},{{"key":"/app/z","value":"3"}}]}}}}"#
    );
    let fake = FakeServer::new(move |_, _| Reply::Complete(200, 10, body.clone()));
    let mut found = etcd(Backend::Etcd, &fake).fetch(&roots(&["/app"])).await.unwrap().entries;
    found.sort_by(|one, other| one.0.cmp(&other.0));
    let keys: Vec<&str> = found.iter().map(|(key, _)| &**key).collect();
    assert_eq!(keys, ["/app/a", "/app/deep", "/app/z"]);
}

#[tokio::test]
async fn a_store_that_repeats_an_old_event_is_asked_again_only_after_growing_waits() {
    let fake = FakeServer::new(|_, request| match request.line.contains("wait=true") {
        false => dir(10, &[("/app/a", "1")]),
        true => once(10, event("/app/a", "2", 3)),
    });
    following(&etcd(Backend::Etcd, &fake), &["/app"], |mut news| async move {
        assert_eq!(snapshot(&mut news).await.entries.len(), 1);
        let SourceEvent::Down(SourceError::Store(error)) = next(&mut news).await else { panic!("not down") };
        assert!(error.to_string().contains("index 3, although those from 11 on"), "{error}");
        // The value of the old event is not taken: only the state of the connection changes.
        let until = tokio::time::Instant::now() + Duration::from_millis(1200);
        while let Ok(Some(event)) = tokio::time::timeout_at(until, news.recv()).await {
            assert!(matches!(event, SourceEvent::Up | SourceEvent::Down(_)), "{event:?}");
        }
    })
    .await;
    let asked = waits(&fake).len();
    assert!((2..=7).contains(&asked), "{asked} requests in about a second");
}
