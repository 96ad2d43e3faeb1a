//! What a reconciler does with the keys of an earlier run.

use std::time::Duration;

use super::super::{ReconcilerConfig, WantedKeys};
use super::store::Store;
use super::{Running, config, desired, map, until};
use crate::registrar::settings::Lease;

#[tokio::test]
async fn after_a_crash_desired_keys_are_kept_and_the_rest_is_removed_once_everything_was_inspected() {
    let store = Store::new();
    let long = ReconcilerConfig {
        lease: Lease { ttl: Some(Duration::from_secs(60)), ..config().lease },
        ..config()
    };
    let first =
        Running::start(&store, long.clone(), desired(&[("/web/a", "1"), ("/web/b", "1"), ("/old/c", "1")]));
    until("they are known", || first.count("keys_added_total") == 3).await;
    first.crash().await;
    store.set("/foreign/d", "1").await;
    let same = store.get("/web/a").await.node.created;
    let second = Running::start(
        &store,
        long,
        WantedKeys { complete: false, ..desired(&[("/web/a", "1"), ("/web/b", "2")]) },
    );
    until("the value is the new one", || store.value("/web/b").as_deref() == Some("2")).await;
    until("the other is held", || second.kept("/web/a").is_some_and(|(held, _)| held)).await;
    assert!(store.has("/old/c"), "what is not looked at yet is not deleted");
    second.desired(&[("/web/a", "1"), ("/web/b", "2")]);
    until("the rest is gone", || !store.has("/old")).await;
    assert_eq!(store.all(), map(&[("/foreign/d", "1"), ("/web/a", "1"), ("/web/b", "2")]));
    assert_eq!(store.get("/web/a").await.node.created, same, "it was never away");
    assert_eq!(second.count("key_conflicts_total"), 0);
}

#[tokio::test]
async fn keys_of_an_earlier_run_are_renewed_until_it_is_known_whether_they_are_desired() {
    let store = Store::new();
    let first = Running::start(&store, config(), desired(&[("/web/a", "1"), ("/web/b", "1")]));
    until("they are known", || first.count("keys_added_total") == 2).await;
    first.crash().await;
    store.set("/web/b", "theirs").await;
    let same = store.get("/web/a").await.node.created;
    let second = Running::start(&store, config(), WantedKeys { complete: false, ..desired(&[]) });
    let ttl = config().lease.ttl.unwrap();
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < 3 * ttl {
        assert!(store.has("/web/a"), "its lease ran out after {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.get("/web/a").await.node.created, same, "it was never away");
    second.desired(&[]);
    until("then it goes", || !store.has("/web/a")).await;
    assert_eq!(store.value("/web/b").as_deref(), Some("theirs"));
}

#[tokio::test]
async fn a_key_is_recorded_before_it_is_written() {
    let store = Store::new();
    let reconciler = Running::start(&store, config(), desired(&[("/web/a", "1"), ("/web/b", "1")]));
    until("they are known", || reconciler.count("keys_added_total") == 2).await;
    reconciler.desired(&[("/web/a", "2"), ("/web/b", "1")]);
    until("it is changed", || store.value("/web/a").as_deref() == Some("2")).await;
    let puts: Vec<String> = store.seen().into_iter().filter(|request| request.starts_with("PUT")).collect();
    let place = |what: &str| {
        puts.iter().position(|put| put.contains(what)).unwrap_or_else(|| panic!("{what}: {puts:?}"))
    };
    assert!(
        place("/_retune/owned/h1/s") < place("/web/a?prevExist=false").min(place("/web/b?prevExist=false"))
    );
    assert!(place("%2C%222%22%3A%7B") < place("value=2"), "{puts:?}");
    let lists = puts.iter().filter(|put| put.contains("/_retune/")).count();
    assert!(lists <= 3, "one write of the list for many keys: {puts:?}");
    until("what is no longer so goes from the list", || {
        store.value("/_retune/owned/h1/s").is_some_and(|list| list.contains(r#""/web/a":{"values":{"2":{"#))
    })
    .await;
}

#[tokio::test]
async fn a_crash_between_the_record_and_the_key_leaves_no_conflict() {
    let store = Store::new();
    let list =
        r#"{"host":"machine-1","keys":{"/web/a":{"values":{"1":{},"2":{}}},"/web/b":{"values":{"1":{}}}}}"#;
    for key_state in ["1", "2"] {
        store.set("/_retune/owned/h1/s", list).await;
        store.set("/web/a", key_state).await;
        let reconciler = Running::start(&store, config(), desired(&[("/web/a", "2")]));
        until("it is as wished", || store.value("/web/a").as_deref() == Some("2")).await;
        until("it is held", || reconciler.kept("/web/a").is_some_and(|(held, _)| held)).await;
        assert_eq!(reconciler.count("key_conflicts_total"), 0);
        reconciler.crash().await;
    }
}

#[tokio::test]
async fn a_foreign_value_in_place_of_a_recorded_key_stays() {
    let store = Store::new();
    let list = r#"{"host":"machine-1","keys":{"/web/a":{"values":{"1":{}}},"/web/b":{"values":{"1":{}}}}}"#;
    store.set("/_retune/owned/h1/s", list).await;
    store.set("/web/a", "theirs").await;
    store.set("/web/b", "1").await;
    let _reconciler = Running::start(&store, config(), desired(&[]));
    until("ours is gone", || !store.has("/web/b")).await;
    assert_eq!(store.all(), map(&[("/web/a", "theirs")]));
}

#[tokio::test]
async fn a_corrupted_list_is_started_anew() {
    let store = Store::new();
    store.set("/_retune/owned/h1/s", "{garbage").await;
    let _reconciler = Running::start(&store, config(), desired(&[("/web/a", "1")]));
    until("the key is there", || store.has("/web/a")).await;
    assert!(store.value("/_retune/owned/h1/s").unwrap().contains("/web/a"));
}
