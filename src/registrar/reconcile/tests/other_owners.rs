//! Keys of other owners.

use std::time::Duration;

use super::super::ReconcilerConfig;
use super::store::{RequestFate, Store};
use super::{Running, config, desired, map, until};

fn other_host() -> ReconcilerConfig {
    ReconcilerConfig { node: "h2".into(), host: "machine-2".into(), ..config() }
}

#[tokio::test]
async fn a_successors_key_is_neither_deleted_nor_replaced_nor_renewed() {
    let store = Store::new();
    let reconciler =
        Running::start(&store, config(), desired(&[("/web/a", "1"), ("/web/b", "1"), ("/web/c", "1")]));
    until("they are known", || reconciler.count("keys_added_total") == 3).await;
    for key in ["/web/a", "/web/b", "/web/c"] {
        store.set(key, "theirs").await;
    }
    let theirs = store.get("/web/a").await.node.modified;
    reconciler.desired(&[("/web/b", "2"), ("/web/c", "1")]);
    until("that is seen", || reconciler.kept("/web/a").is_none()).await;
    until("the others are conflicts", || reconciler.count("key_conflicts_total") >= 6).await;
    assert_eq!(store.get("/web/a").await.node.modified, theirs);
    assert_eq!(store.all(), map(&[("/web/a", "theirs"), ("/web/b", "theirs"), ("/web/c", "theirs")]));
    let (held, why) = reconciler.kept("/web/b").unwrap();
    assert!(!held && why == "held by another owner with value \"theirs\"", "{why}");
    reconciler.desired(&[]);
    until("that is forgotten", || reconciler.kept("/web/c").is_none()).await;
    reconciler.end().await.unwrap();
    assert_eq!(store.all().len(), 3);
}

#[tokio::test]
async fn of_two_registrars_that_claim_a_key_one_holds_it_and_the_other_follows() {
    let store = Store::new();
    let first = Running::start(&store, config(), desired(&[("/web/a", "first")]));
    until("the first holds it", || first.kept("/web/a").is_some_and(|(held, _)| held)).await;
    let second = Running::start(&store, other_host(), desired(&[("/web/a", "second")]));
    until("the second says so", || second.kept("/web/a").is_some_and(|(held, _)| !held)).await;
    until("it tries again", || second.count("key_conflicts_total") >= 3).await;
    assert_eq!(store.value("/web/a").as_deref(), Some("first"));
    first.desired(&[]);
    until("the second holds it", || second.kept("/web/a").is_some_and(|(held, _)| held)).await;
    assert_eq!(store.value("/web/a").as_deref(), Some("second"));
    first.desired(&[("/web/a", "first")]);
    until("now the first says so", || first.count("key_conflicts_total") >= 1).await;
    // The second's lease expires after it dies, and the first gets the key again.
    second.crash().await;
    until("the first holds it again", || store.value("/web/a").as_deref() == Some("first")).await;
}

#[tokio::test]
async fn a_key_with_the_right_value_is_adopted_without_waking_a_watcher() {
    let store = Store::new();
    store.set("/web/a", "1").await;
    let before = store.get("/web/a").await.node;
    let reconciler = Running::start(&store, config(), desired(&[("/web/a", "1")]));
    until("it is held", || reconciler.kept("/web/a").is_some_and(|(held, _)| held)).await;
    let keys = store.keys();
    let watch = keys.next(b"/web/a", (before.modified + 1, 0), false);
    assert!(tokio::time::timeout(Duration::from_millis(500), watch).await.is_err(), "a watcher was woken");
    assert_eq!(store.get("/web/a").await.node.created, before.created);
    assert_eq!(reconciler.count("keys_added_total"), 0);
}

#[tokio::test]
async fn a_live_host_of_the_same_name_keeps_its_list_and_its_keys() {
    let store = Store::new();
    let first = Running::start(&store, config(), desired(&[("/web/a", "1")]));
    until("it is known", || first.count("keys_added_total") == 1).await;
    store.set("/_retune/nodes/h1", r#"{"name":"h1","host":"machine-1"}"#).await;
    let list = store.value("/_retune/owned/h1/s");
    let twin = ReconcilerConfig { host: "machine-2".into(), ..config() };
    let second = Running::start(&store, twin, desired(&[("/web/b", "2")]));
    until("the second works without a list", || second.kept("/web/b").is_some_and(|(held, _)| held)).await;
    assert_eq!(store.all(), map(&[("/web/a", "1"), ("/web/b", "2")]));
    assert_eq!(store.value("/_retune/owned/h1/s"), list);
    // When the first is gone for good, the second gets the name.
    first.end().await.unwrap();
    store.delete("/_retune/nodes/h1").await;
    let taken = || store.value("/_retune/owned/h1/s").is_some_and(|list| list.contains("machine-2"));
    until("the list is the second's", taken).await;
}

#[tokio::test]
async fn a_directory_in_place_of_a_key_is_reported_and_kept() {
    let store = Store::new();
    store.set("/web/a/inside", "x").await;
    store.set("/file", "x").await;
    let reconciler =
        Running::start(&store, config(), desired(&[("/web/a", "1"), ("/file/b", "1"), ("/c", "1")]));
    until("the free one is held", || reconciler.kept("/c").is_some_and(|(held, _)| held)).await;
    until("one is told", || reconciler.kept("/web/a").is_some_and(|(_, why)| why.contains("a directory")))
        .await;
    until("the other is told", || {
        reconciler.kept("/file/b").is_some_and(|(_, why)| why.contains("delete it"))
    })
    .await;
    reconciler.desired(&[]);
    until("nothing of ours is left", || !store.has("/c")).await;
    reconciler.end().await.unwrap();
    assert_eq!(store.all(), map(&[("/file", "x"), ("/web/a/inside", "x")]));
}

#[tokio::test]
async fn an_unwritable_list_is_not_required() {
    let store = Store::new();
    store.guard(|request| {
        let no = r#"{"errorCode":110,"message":"The request requires user authentication","cause":"Insufficient credentials","index":0}"#;
        if request.contains("/_retune/") { RequestFate::Say(401, no.into()) } else { RequestFate::Open }
    });
    let reconciler = Running::start(&store, config(), desired(&[("/web/a", "1")]));
    until("it is held", || reconciler.kept("/web/a").is_some_and(|(held, _)| held)).await;
    reconciler.desired(&[]);
    until("it is gone", || !store.has("/web")).await;
    let asked = store.seen().iter().filter(|request| request.contains("/_retune/")).count();
    assert_eq!(asked, 1, "what is refused is not asked for again");
}
